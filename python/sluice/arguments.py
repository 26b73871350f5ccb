"""What commands are made of: lists of names, tags, columns before they are sent. Shared by kv.py and client.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tensordict import TensorDictBase

from sluice._link import Arg
from sluice.columns import values_by_row
from sluice.session import current
from sluice.wire import lines

Tag = Mapping[str, Any]
DataParser = Callable[[dict[str, Any]], Any]

_json = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def name_list(names: Sequence[str] | str) -> list[str]:
    """One name or several, as a list."""
    return [names] if isinstance(names, str) else list(names)


def listed(argument: str, names: list[str]) -> list[Arg]:
    """A list argument. What would be cut elsewhere than between two names is refused here, not by the server."""
    if not names:
        raise ValueError(f"{argument} is empty")
    for name in names:
        if not isinstance(name, str) or not name or "\n" in name:
            raise ValueError(f"{argument}: {name!r} is no name; names are not empty, and without control characters")
    return lines(names)


def block(wait_s: float | None) -> list[Arg]:
    """BLOCK, for as many seconds; None: as long as it takes; 0: not at all."""
    if wait_s is None:
        return ["BLOCK", 0]
    return ["BLOCK", max(1, round(wait_s * 1000))] if wait_s > 0 else []


def tag_texts(keys: list[str], tags: Sequence[Tag]) -> list[str]:
    """The tags as JSON. Raises ValueError for another number of them, and for one that is not JSON; it names the key."""
    if len(tags) != len(keys):
        raise ValueError(f"{len(keys)} keys need as many tags, got {len(tags)}")
    texts = []
    for key, tag in zip(keys, tags, strict=True):
        try:
            texts.append(_json(dict(tag)))
        except (TypeError, ValueError) as error:
            raise ValueError(f"the tag of '{key}' is not JSON: {error}") from error
    return texts


def field_names(fields: TensorDictBase | Mapping[str, Any] | None) -> list[str]:
    """Of a TensorDict, which itself iterates over its rows, or a mapping."""
    return [] if fields is None else [str(name) for name in fields.keys()]  # noqa: SIM118


def parsed(fields: TensorDictBase | Mapping[str, Any], rows: int, data_parser: DataParser) -> dict[str, Any]:
    """What `data_parser` makes of the columns."""
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
            raise ValueError(f"data_parser added or removed field '{name}', or rows of it")
    return columns


def utf8_fields(partition_id: str, fields: TensorDictBase | Mapping[str, Any] | None) -> set[str]:
    """Those of `fields` that are utf8 in the partition (another client has made them so), and no tensors here."""
    there = current().wire.call("KV.FIELDS", partition_id, repeat=True)
    utf8 = {str(entry[0], "utf-8") for entry in there if entry[1] == b"utf8"}
    columns: Any = () if fields is None else fields.items()
    return {name for name, value in columns if name in utf8 and not isinstance(value, torch.Tensor)}
