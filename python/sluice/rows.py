"""Rows of a TensorDict taken out and put together, and what the server knows of rows by index."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tensordict import NonTensorStack, TensorDict, TensorDictBase

from sluice._link import Arg
from sluice.columns import DTYPES, values_by_row
from sluice.errors import RequestError, ServerError
from sluice.field_schema import Schema, field_schema
from sluice.metadata import BatchMeta
from sluice.wire import Wire, packed, unpacked


def rows_of(data: TensorDictBase | Mapping[str, Any], rows: int, positions: Sequence[int]) -> dict[str, Any]:
    """Some of the rows of these columns: a dense tensor, or a list of what the rows hold."""
    taken: dict[str, Any] = {}
    for name in map(str, data.keys()):
        value = data.get(name)
        if isinstance(value, (torch.Tensor, np.ndarray)) and not getattr(value, "is_nested", False):
            taken[name] = value[list(positions)]
        else:
            values = value.unbind() if isinstance(value, torch.Tensor) else values_by_row(name, value, rows)
            taken[name] = [values[i] for i in positions]
    return taken


def in_order(parts: Sequence[TensorDict], order: Sequence[int]) -> TensorDict:
    """One TensorDict of several with the same fields: the i-th of all rows comes to position order[i].

    Raises ValueError for a field that the parts have in different dtypes.
    """
    at = [0] * len(order)
    for i, position in enumerate(order):
        at[position] = i
    joined = {name: _joined(name, [part.get(name) for part in parts], at) for name in map(str, parts[0].keys())}
    return TensorDict(joined, batch_size=[len(order)])


def _joined(name: str, columns: Sequence[Any], at: Sequence[int]) -> Any:
    dtypes = {column.dtype if isinstance(column, torch.Tensor) else None for column in columns}
    if len(dtypes) > 1:
        raise ValueError(f"field '{name}' differs between the partitions: {sorted(map(str, dtypes))}")
    if None in dtypes:
        values = [value for column in columns for value in column.tolist()]
        return NonTensorStack(*(values[i] for i in at))
    if not any(column.is_nested for column in columns) and len({column.shape[1:] for column in columns}) == 1:
        return torch.cat(list(columns))[list(at)]
    rows = [row for column in columns for row in column.unbind()]
    if len({row.dim() for row in rows}) > 1:
        raise ValueError(f"field '{name}' differs between the partitions in its number of dimensions")
    layout = torch.jagged if len({row.shape[1:] for row in rows}) == 1 else torch.strided
    return torch.nested.nested_tensor([rows[i] for i in at], layout=layout)


def positions_by_partition(metadata: BatchMeta) -> dict[str, list[int]]:
    """Where each partition's rows stand in a batch."""
    positions: dict[str, list[int]] = {}
    for i, name in enumerate(metadata.partition_ids):
        positions.setdefault(name, []).append(i)
    return positions


def read_tags(reply: Sequence[Any]) -> list[dict[str, Any]]:
    """Tags from their texts."""
    tags: list[dict[str, Any]] = json.loads(b"[" + b",".join(reply) + b"]")
    return tags


def listing(wire: Wire, partition: str) -> list[dict[str, Any]]:
    """`key`, `index` and `tag` of each row, by index; none of a partition that does not exist."""
    text = bytes(wire.call("KV.LIST", partition, "FORMAT", "lines", repeat=True))
    rows: list[dict[str, Any]] = json.loads(b"[" + text.replace(b"\n", b",") + b"]")
    return rows


def describe(wire: Wire, partition: str, rows: Sequence[int], fields: Sequence[str] | None) -> BatchMeta:
    """The metadata of rows that have all of these fields; without `fields`: all that each of the rows has."""
    described, tags = wire.pipeline(
        ["KV.FIELDS", partition, "ROWS", packed(rows)], ["KV.TAGS", partition, "ROWS", packed(rows)], repeat=True
    )
    names = [str(entry[0], "utf-8") for entry in checked(described)] if fields is None else fields
    schema = schema_of_stored(wire, partition, rows, names, described)
    return BatchMeta(rows, [partition] * len(rows), schema, [1] * len(rows), custom_meta=read_tags(checked(tags)))


def describe_all(wire: Wire, partition: str, fields: Sequence[str], listed: Sequence[Any]) -> BatchMeta:
    """The metadata of all rows of a partition; `listed` is FIELDS and these fields."""
    status, described = wire.pipeline(["PARTITION.READY", partition, *listed], ["KV.FIELDS", partition], repeat=True)
    rows, ready = (unpacked(checked(status)[0]).tolist(), list(bytes(checked(status)[1])))
    if not rows:
        return BatchMeta.empty()
    known = {str(entry[0], "utf-8") for entry in checked(described)}
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise RequestError("NOFIELD", f"no row of partition '{partition}' has fields {unknown}")
    schema = schema_of_stored(wire, partition, rows, fields, described)
    tags = wire.call("KV.TAGS", partition, "ROWS", packed(rows), repeat=True)
    tags = read_tags([b"{}" if tag is None else tag for tag in tags])  # a row may be gone by now
    return BatchMeta(rows, [partition] * len(rows), schema, ready, custom_meta=tags)


def schema_of_stored(wire: Wire, partition: str, rows: Sequence[int], fields: Sequence[str], described: Any) -> dict[str, Schema]:
    """The field_schema of these rows; `described` is a reply of KV.FIELDS for more rows than these, or for them.

    Only where that says that a field's shapes differ, the rows are asked one by one.
    """
    entries = _entries(described)
    unlike = [name for name in fields if name in entries and entries[name][0] is not None and _differs(entries[name][1])]
    each: list[Mapping[str, Any]] = []
    if unlike:
        asks: list[list[Arg]] = [["KV.FIELDS", partition, "ROWS", packed([row])] for row in rows]
        each = [_entries(reply) for reply in wire.pipeline(*asks, repeat=True)]
    schema = {}
    for name in fields:
        if name in entries:
            dtype, shape = entries[name]
            shapes = [row[name][1] if name in row else None for row in each] if name in unlike else [shape] * len(rows)
            schema[name] = field_schema(dtype, shapes)
    return schema


def _entries(reply: Any) -> dict[str, tuple[torch.dtype | None, tuple[int, ...] | None]]:
    """KV.FIELDS by name: torch's dtype (None: not tensors), one row's shape (None where ranks differ)."""
    return {
        str(name, "utf-8"): (DTYPES.get(str(dtype, "ascii")), None if shape is None else tuple(shape))
        for name, dtype, shape, *_ in checked(reply)
    }


def _differs(shape: tuple[int, ...] | None) -> bool:
    return shape is None or -1 in shape


def checked(reply: Any) -> Any:
    """The reply of one of several commands; raises what it says."""
    if isinstance(reply, ServerError):
        raise reply
    return reply
