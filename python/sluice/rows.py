"""Reads rows and their metadata from the server, and joins rows of several partitions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from tensordict import NonTensorStack, TensorDict

from sluice._link import Arg
from sluice.columns import Blob, decode, decode_rows
from sluice.errors import RequestError, ServerError
from sluice.field_schema import Schema, Shape, field_schema
from sluice.metadata import BatchMeta
from sluice.values import DTYPES, Layout, joined
from sluice.wire import Wire, packed, unpacked

_PIPELINED_MAX = 1000


def read(
    wire: Wire,
    get: Sequence[Arg],
    reply: Any,
    fields: Sequence[str] | None,
    rows: int,
    *,
    allow_pickle: bool,
    layout: Layout = "auto",
) -> TensorDict:
    """Returns the TensorDict of the reply of KV.MGET. Asks again, row by row, if the ranks of rows differ.

    `fields`: the fields that were asked for; None means those that all rows have, sorted by name. Errors: RequestError;
    ValueError for a pickle that is not allowed, and for rows that the layout does not allow.
    """
    if ranks_differ(reply) and "PAD" not in get:
        each = wire.call(*(word for word in get if word != "DICT"), "FORMAT", "rows", repeat=True, arrays=True)
        return decode_rows(each, fields, allow_pickle=allow_pickle, layout=layout)
    columns = _of_rows(wire, str(get[1]), reply)
    if fields is None:
        columns.sort(key=lambda entry: entry[0])  # the order of the server differs from run to run
    return decode(columns, rows, allow_pickle=allow_pickle, layout=layout)


def ranks_differ(reply: Any) -> bool:
    """Returns whether the reply is the error for rows that make no column, because their ranks differ."""
    return isinstance(reply, RequestError) and reply.code == "SHAPE"


def in_order(parts: Sequence[TensorDict], order: Sequence[int], layout: Layout) -> TensorDict:
    """Joins TensorDicts with the same fields. Row i of all rows moves to position order[i].

    Raises ValueError for a field with different dtypes in the parts, and for rows that the layout does not allow.
    """
    at = [0] * len(order)
    for i, position in enumerate(order):
        at[position] = i
    columns = {name: _joined(name, [part.get(name) for part in parts], at, layout) for name in map(str, parts[0].keys())}
    return TensorDict(columns, batch_size=[len(order)])


def _joined(name: str, columns: Sequence[Any], at: Sequence[int], layout: Layout) -> Any:
    each = [row for column in columns for row in (column.unbind() if isinstance(column, torch.Tensor) else column.tolist())]
    dtypes = {row.dtype if isinstance(row, torch.Tensor) else None for row in each}
    if len(dtypes) > 1:
        raise ValueError(f"field '{name}' differs between the partitions: {sorted(map(str, dtypes))}")
    if None in dtypes:
        return NonTensorStack(*(each[i] for i in at))
    dense = all(isinstance(c, torch.Tensor) and not c.is_nested for c in columns) and len({c.shape[1:] for c in columns}) == 1
    if dense and layout != "jagged":
        return torch.cat(list(columns))[list(at)]
    return joined(name, [each[i] for i in at], layout)


class RowsOf(NamedTuple):
    """Rows of one partition, by index."""

    partition: str
    indexes: Sequence[int]
    incarnation: int | None
    """If the partition is another one by now, commands about these rows raise RequestError (code STALE). None: unknown."""

    @property
    def words(self) -> list[Arg]:
        """The arguments of commands: ROWS, and OF."""
        of: list[Arg] = [] if self.incarnation is None else ["OF", self.incarnation]
        return ["ROWS", packed(self.indexes), *of]

    def some(self, indexes: Sequence[int]) -> RowsOf:
        """Returns other rows of the same partition."""
        return RowsOf(self.partition, indexes, self.incarnation)


def rows_of(metadata: BatchMeta, partition: str, positions: Sequence[int]) -> RowsOf:
    """Returns the rows at these positions of a batch. REQUIRES: they are of this partition."""
    return RowsOf(partition, [metadata.global_indexes[i] for i in positions], metadata.incarnations.get(partition))


def written_rows(partition: str, reply: Any) -> RowsOf:
    """Returns the rows of the reply of KV.MPUT ... RETURN INCARNATION."""
    (_, indexes), incarnation = reply
    return RowsOf(partition, unpacked(indexes).tolist(), incarnation)


def unless_missing(wire: Wire, *command: Arg) -> Any:
    """Returns the reply of a repeatable command, or None if the partition or the task does not exist."""
    [reply] = wire.pipeline(command, repeat=True)
    if isinstance(reply, RequestError) and reply.code in ("NOPARTITION", "NOTASK"):
        return None
    return checked(reply)


def incarnation_of(wire: Wire, partition: str) -> int | None:
    """Returns the incarnation of a partition now; None if it does not exist.

    Ask before the indexes: if the partition is made again in between, the indexes are refused, and never used wrongly.
    """
    info = unless_missing(wire, "PARTITION.INFO", partition)
    number: int | None = info and info[b"incarnation"]
    return number


def look_for(wire: Wire, parts: Sequence[RowsOf]) -> None:
    """Raises RequestError if one of these rows does not exist, or its partition was made again (code STALE)."""
    for reply in wire.pipeline(*(["KV.FIELDS", rows.partition, *rows.words] for rows in parts), repeat=True):
        checked(reply)


_READ_AT_ONCE = "use fetch(), a StreamingDataset, or get_meta with dp_rank and batch_index, all with a sampler of the server"


def refuse_eviction(info: Mapping[bytes, Any], partition: str, task: str) -> None:
    """Raises ValueError if the server removes a row as soon as this task has consumed it. `info`: PARTITION.INFO.

    Rows that other tasks must consume, too, may still be there for get_data: they are not refused.
    """
    limits = info[b"limits"]
    if limits[b"autoevict"] and limits[b"tasks"] == [task.encode()]:
        raise ValueError(
            f"partition '{partition}' removes a row as soon as task '{task}' has consumed it (AUTOEVICT), before get_data can "
            f"read it: {_READ_AT_ONCE}"
        )


def _of_rows(wire: Wire, partition: str, reply: Any) -> Any:
    """As checked(), for a reply about existing rows. If one of them was removed, says whether the partition evicts rows."""
    if isinstance(reply, RequestError) and reply.code == "NOKEY":
        info = unless_missing(wire, "PARTITION.INFO", partition)
        if info is not None and info[b"limits"][b"autoevict"]:
            text = f"{reply}; the partition removes rows that its tasks have consumed (AUTOEVICT): {_READ_AT_ONCE}"
            raise RequestError(reply.code, text)
    return checked(reply)


def positions_by_partition(metadata: BatchMeta) -> dict[str, list[int]]:
    """Returns the positions of the rows of each partition in a batch."""
    positions: dict[str, list[int]] = {}
    for i, name in enumerate(metadata.partition_ids):
        positions.setdefault(name, []).append(i)
    return positions


def from_json(text: bytes) -> Any:
    """Parses JSON. Integers may have any number of digits: without that, one long integer of another client would make all
    tags unreadable.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python refuses integers over 4,300 digits
        return json.loads(text, parse_int=_integer)


def _integer(digits: str) -> int:
    if len(digits) <= 4000:
        return int(digits)
    if digits[0] == "-":
        return -_integer(digits[1:])
    low = len(digits) // 2
    shifted: int = _integer(digits[:-low]) * 10**low
    return shifted + _integer(digits[-low:])


def read_tags(reply: Sequence[Any]) -> list[dict[str, Any]]:
    """Parses tags from their JSON texts."""
    tags: list[dict[str, Any]] = from_json(b"[" + b",".join(reply) + b"]")
    return tags


def listing(wire: Wire, partition: str) -> list[dict[str, Any]]:
    """Returns `key`, `index` and `tag` of each row, by index. A partition that does not exist has none."""
    return _read_lines(wire.call("KV.LIST", partition, "FORMAT", "lines", repeat=True))


def tags_of_partitions(wire: Wire, partition: str | None, selection: Sequence[Arg] = ()) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns {partition: {key: tag}} of one partition or of all, by index. `selection`: options of KV.LIST."""
    names = [partition] if partition is not None else [str(name, "utf-8") for name in wire.call("KV.LIST", repeat=True)]
    replies = wire.pipeline(*(["KV.LIST", name, *selection, "FORMAT", "lines"] for name in names), repeat=True) if names else []
    lists = [_read_lines(checked(reply)) for reply in replies]
    return {name: {row["key"]: row["tag"] for row in rows} for name, rows in zip(names, lists, strict=True)}


def _read_lines(text: bytes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = from_json(b"[" + text.replace(b"\n", b",") + b"]")
    return rows


def describe(wire: Wire, rows: RowsOf, fields: Sequence[str] | None) -> BatchMeta:
    """Returns the metadata of rows that have all of these fields. Without `fields`: the fields that all rows have."""
    named: list[Arg] = [rows.partition, *rows.words]
    described, tags = wire.pipeline(["KV.FIELDS", *named, "SHAPES"], ["KV.TAGS", *named], repeat=True)
    described = _of_rows(wire, rows.partition, described)
    names = [str(entry[0], "utf-8") for entry in described] if fields is None else fields
    schema = schema_of_stored(wire, rows, names, described)
    return metadata_of(rows, schema, [1] * len(rows.indexes), read_tags(checked(tags)))


def metadata_of(
    rows: RowsOf, schema: Mapping[str, Schema] | None, ready: Sequence[int] | None, tags: Sequence[Mapping[str, Any]] | None
) -> BatchMeta:
    """Returns the metadata of rows of one partition."""
    partitions = [rows.partition] * len(rows.indexes)
    incarnations = {} if rows.incarnation is None else {rows.partition: rows.incarnation}
    return BatchMeta(rows.indexes, partitions, schema, ready, custom_meta=tags, incarnations=incarnations)


def describe_all(wire: Wire, partition: str, fields: Sequence[str], listed: Sequence[Any]) -> BatchMeta:
    """Returns the metadata of all rows of a partition. `listed` is the argument FIELDS with these fields."""
    info, status, described = wire.pipeline(
        ["PARTITION.INFO", partition], ["PARTITION.READY", partition, *listed], ["KV.FIELDS", partition], repeat=True
    )
    ready = list(bytes(checked(status)[1]))
    rows = RowsOf(partition, unpacked(checked(status)[0]).tolist(), checked(info)[b"incarnation"])
    if not rows.indexes:
        return BatchMeta.empty()
    known = {str(entry[0], "utf-8") for entry in checked(described)}
    unknown = [name for name in fields if name not in known]
    if unknown:
        raise RequestError("NOFIELD", f"no row of partition '{partition}' has fields {unknown}")
    schema = schema_of_stored(wire, rows, fields, described)
    tags = wire.call("KV.TAGS", partition, *rows.words, repeat=True)
    tags = read_tags([b"{}" if tag is None else tag for tag in tags])  # a row may have been removed since
    return metadata_of(rows, schema, ready, tags)


def schema_of_stored(wire: Wire, rows: RowsOf, fields: Sequence[str], described: Any) -> dict[str, Schema]:
    """Returns the field_schema of these rows.

    `described` is KV.FIELDS of these and other rows, or KV.FIELDS ... SHAPES of these rows. The server is asked again
    only if `described` says that the shapes of a field differ, but not how.
    """
    entries = _entries(described)
    unlike = [name for name in fields if name in entries and entries[name].differs and entries[name].by_row is None]
    by_row = _shapes_by_row(wire, rows, unlike) if unlike else {}
    schema = {}
    for name in fields:
        if name in entries:
            entry = entries[name]
            schema[name] = field_schema(entry.dtype, by_row.get(name) or entry.by_row or [entry.shape] * len(rows.indexes))
    return schema


def _shapes_by_row(wire: Wire, rows: RowsOf, names: Sequence[str]) -> dict[str, list[Shape | None]]:
    """Returns the shape of each row in each of these fields. None if a row does not have the field."""
    described = _entries(wire.call("KV.FIELDS", rows.partition, *rows.words, "SHAPES", repeat=True))
    shapes: dict[str, list[Shape | None]] = {}
    for name in names:
        having = rows
        entry = described.get(name)
        if entry is None:  # a row lacks the field
            all_rows, ready = wire.call("PARTITION.READY", rows.partition, "FIELDS", 1, name, repeat=True)
            chosen = set(unpacked(all_rows)[np.frombuffer(ready, np.uint8) == 1].tolist())
            having = rows.some([row for row in rows.indexes if row in chosen])
            reply = wire.call("KV.FIELDS", rows.partition, *having.words, "SHAPES", repeat=True)
            entry = _entries(reply).get(name)
        if entry is not None and entry.by_row is None:  # ranks differ
            each = _one_by_one(wire, having, name)
        else:
            each = [] if entry is None or entry.by_row is None else entry.by_row
        shape_of = dict(zip(having.indexes, each, strict=False))
        shapes[name] = [shape_of.get(row) for row in rows.indexes]
    return shapes


def _one_by_one(wire: Wire, rows: RowsOf, name: str) -> list[Shape | None]:
    asks: list[list[Arg]] = [["KV.FIELDS", rows.partition, *rows.some([row]).words] for row in rows.indexes]
    entries = [_entries(reply).get(name) for reply in pipeline_in_parts(wire, asks)]
    return [None if entry is None else entry.shape for entry in entries]


def pipeline_in_parts(wire: Wire, commands: Sequence[Sequence[Arg]]) -> list[Any]:
    """Sends many repeatable commands in parts. Sending all of them before reading a reply could block forever."""
    parts = [commands[at : at + _PIPELINED_MAX] for at in range(0, len(commands), _PIPELINED_MAX)]
    return [reply for part in parts for reply in wire.pipeline(*part, repeat=True)]


@dataclass(frozen=True)
class _Entry:
    """A field in the reply of KV.FIELDS."""

    dtype: torch.dtype | None
    """The torch dtype; None for byte strings."""
    shape: Shape | None
    """The shape of one row: -1 if a dimension differs, None if the ranks differ."""
    by_row: list[Shape | None] | None
    """The shape of each row. None if it was not requested, or the ranks differ."""

    @property
    def differs(self) -> bool:
        return self.dtype is not None and (self.shape is None or -1 in self.shape)


def _entries(reply: Any) -> dict[str, _Entry]:
    return {str(name, "utf-8"): _entry(dtype, shape, *shapes) for name, dtype, shape, _, _, *shapes in checked(reply)}


def _entry(dtype: bytes, shape: list[int] | None, shapes: Blob | None = None) -> _Entry:
    by_row: list[Shape | None] | None = None
    if shapes is not None and shape:
        by_row = [tuple(row) for row in unpacked(shapes).reshape(-1, len(shape)).tolist()]
    return _Entry(DTYPES.get(str(dtype, "ascii")), None if shape is None else tuple(shape), by_row)


def checked(reply: Any) -> Any:
    """Returns the reply of one of several commands. Raises an error reply."""
    if isinstance(reply, ServerError):
        raise reply
    return reply
