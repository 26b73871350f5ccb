"""Arguments of commands: lists of names, tags, and columns before they are sent. Used by kv.py and client.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, get_args

import numpy as np
import torch

from sluice._link import Arg
from sluice.errors import RequestError
from sluice.values import Fields, Layout, NotJson, Rows, columns_of, json_text, rows_of_value
from sluice.wire import Wire, lines

Tag = Mapping[str, Any]
DataParser = Callable[[dict[str, Any]], Any]

Where: TypeAlias = "Sequence[tuple[str, str, Any]]"
"""Conditions on tags: (name, operator, value). All must hold. Operators: = != < <= > >= PREFIX, and IN with a list."""

Pad: TypeAlias = "tuple[str, float]"
"""("left" or "right", the value) with which ragged tensors are padded."""


def name_list(names: Sequence[str] | str) -> list[str]:
    """Returns one name or several names as a list."""
    return [names] if isinstance(names, str) else list(names)


def listed(argument: str, names: list[str]) -> list[Arg]:
    """Returns the arguments of a list. Raises ValueError for names that LINES would split in the wrong place."""
    if not names:
        raise ValueError(f"{argument} is empty")
    for name in names:
        if not isinstance(name, str) or not name or "\n" in name:
            raise ValueError(f"{argument}: invalid name {name!r}: a name must be a non-empty str without control characters")
    return lines(names)


def block(wait_s: float | None) -> list[Arg]:
    """Returns BLOCK for this many seconds. None means no limit, 0 means no BLOCK."""
    if wait_s is None:
        return ["BLOCK", 0]
    return ["BLOCK", max(1, round(wait_s * 1000))] if wait_s > 0 else []


def where_words(where: Where) -> list[Arg]:
    """Returns WHERE with these conditions. Raises ValueError for a value that is not JSON."""
    words: list[Arg] = ["WHERE", len(where)] if where else []
    for name, op, value in where:
        try:
            words += [name, op, value if isinstance(value, str) else json_text(value, exact=False)]
        except NotJson as error:
            raise ValueError(f"where: the value of '{name}' is not JSON{error}") from None
    return words


def selection(match: str | None, where: Where, select_fields: Sequence[str] | str | None) -> list[Arg]:
    """Returns MATCH, WHERE and FIELDS."""
    words: list[Arg] = ["MATCH", match] if match is not None else []
    fields = ["FIELDS", *listed("select_fields", name_list(select_fields))] if select_fields is not None else []
    return [*words, *where_words(where), *fields]


def padding(pad: Pad | None, layout: Layout = "auto") -> list[Arg]:
    """Returns PAD. Raises ValueError for an unknown layout, and for "jagged" together with `pad`."""
    if layout not in get_args(Layout):
        raise ValueError(f"layout must be one of {', '.join(get_args(Layout))}, got {layout!r}")
    if pad is not None and layout == "jagged":
        raise ValueError("pad returns dense tensors, so it cannot be combined with layout 'jagged'")
    return [] if pad is None else ["PAD", *pad]


def tag_texts(keys: list[str], tags: Sequence[Tag]) -> list[str]:
    """Returns the tags as JSON texts. Raises ValueError for a wrong number of tags, and for a tag that is not JSON."""
    if len(tags) != len(keys):
        raise ValueError(f"expected one tag per key: {len(keys)} keys, got {len(tags)} tags")
    texts = []
    for key, tag in zip(keys, tags, strict=True):
        try:
            texts.append(json_text(dict(tag), exact=False))
        except NotJson as error:
            raise ValueError(f"the tag of '{key}' is not JSON{error}") from None
    return texts


def parsed(fields: Fields, rows: int, data_parser: DataParser) -> dict[str, Any]:
    """Calls `data_parser` on the columns and returns them. Raises ValueError if it changes fields or numbers of rows."""
    columns: dict[str, Any] = {}
    for name, value in columns_of(fields).items():
        each = rows_of_value(name, value, rows)
        if isinstance(each, torch.Tensor):
            # A dense column may be an array: the parser changes it in place.
            columns[name] = list(each.unbind()) if each.is_nested else value if isinstance(value, np.ndarray) else each
        else:
            columns[name] = each
    sizes = {name: len(value) for name, value in columns.items()}
    data_parser(columns)
    for name in sizes.keys() | columns.keys():
        if name not in sizes or name not in columns or len(columns[name]) != sizes[name]:
            raise ValueError(f"data_parser added or removed field '{name}', or changed its number of rows")
    return columns


def utf8_fields(wire: Wire, partition_id: str, fields: Mapping[str, Rows]) -> set[str]:
    """Returns the fields that have dtype utf8 in the partition (made by another client) and are not tensors here."""
    there = wire.call("KV.FIELDS", partition_id, repeat=True)
    utf8 = {str(entry[0], "utf-8") for entry in there if entry[1] == b"utf8"}
    return {name for name, rows in fields.items() if name in utf8 and not isinstance(rows, torch.Tensor)}


def put_columns(
    wire: Wire,
    put: Sequence[Arg],
    fields: Mapping[str, Rows],
    encoded: Callable[..., list[Arg]],
    columns: Sequence[Arg],
    wait_s: float | None,
) -> Any:
    """Sends KV.MPUT with the columns of fields. Text is sent as utf8 if another client made the field with dtype utf8.

    `encoded`: makes the columns again, with the argument `utf8`.
    """
    try:
        return wire.call(*put, *columns, wait_s=wait_s)
    except RequestError as error:
        utf8 = utf8_fields(wire, str(put[1]), fields) if error.code == "DTYPE" else set()
        if not utf8:
            raise
    return wire.call(*put, *encoded(utf8=utf8), wait_s=wait_s)
