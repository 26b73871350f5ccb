"""Arguments of commands: lists of names, tags, and columns before they are sent. Used by kv.py and client.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tensordict import TensorDictBase

from sluice._link import Arg
from sluice.columns import values_by_row
from sluice.wire import Wire, lines

Tag = Mapping[str, Any]
DataParser = Callable[[dict[str, Any]], Any]

_json = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


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


def tag_texts(keys: list[str], tags: Sequence[Tag]) -> list[str]:
    """Returns the tags as JSON texts. Raises ValueError for a wrong number of tags, and for a tag that is not JSON."""
    if len(tags) != len(keys):
        raise ValueError(f"expected one tag per key: {len(keys)} keys, got {len(tags)} tags")
    texts = []
    for key, tag in zip(keys, tags, strict=True):
        try:
            texts.append(_json(dict(tag)))
        except (TypeError, ValueError) as error:
            raise ValueError(f"the tag of '{key}' is not JSON: {error}") from error
    return texts


def field_names(fields: TensorDictBase | Mapping[str, Any] | None) -> list[str]:
    """Returns the field names of a TensorDict (which itself iterates over its rows) or of a mapping."""
    return [] if fields is None else [str(name) for name in fields.keys()]  # noqa: SIM118


def parsed(fields: TensorDictBase | Mapping[str, Any], rows: int, data_parser: DataParser) -> dict[str, Any]:
    """Calls `data_parser` on the columns and returns them. Raises ValueError if it changes fields or numbers of rows."""
    columns: dict[str, Any] = {}
    for name in field_names(fields):
        value = fields.get(name)
        if isinstance(value, torch.Tensor):
            columns[name] = list(value.unbind()) if value.is_nested else value
        elif isinstance(value, np.ndarray) and value.dtype != object:
            columns[name] = value
        else:
            columns[name] = values_by_row(name, value, rows)
    sizes = {name: len(value) for name, value in columns.items()}
    data_parser(columns)
    for name in sizes.keys() | columns.keys():
        if name not in sizes or name not in columns or len(columns[name]) != sizes[name]:
            raise ValueError(f"data_parser added or removed field '{name}', or changed its number of rows")
    return columns


def utf8_fields(wire: Wire, partition_id: str, fields: TensorDictBase | Mapping[str, Any] | None) -> set[str]:
    """Returns the fields that have dtype utf8 in the partition (made by another client) and are not tensors here."""
    there = wire.call("KV.FIELDS", partition_id, repeat=True)
    utf8 = {str(entry[0], "utf-8") for entry in there if entry[1] == b"utf8"}
    columns: Any = () if fields is None else fields.items()
    return {name for name, value in columns if name in utf8 and not isinstance(value, torch.Tensor)}
