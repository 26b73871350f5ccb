"""Fields whose rows have different dtypes: the field takes the dtype that fits all of its rows.

The server has one dtype per field. TransferQueue has one per row. Here, if a put brings another dtype, or several:

- numbers become what torch.promote_types says: int64 rows in a float32 field are stored as float32. If the field has to
  change, such as int64 to float32, all its rows are written again in one step. Rows of different rank take two puts, of
  which only the first may fit in the memory: such a field does not change;
- tensors beside texts or objects, or bytes beside texts, make a field of objects. Its tensors are pickled.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from tensordict import NonTensorStack, TensorDict

from sluice._link import Arg
from sluice.columns import decode_rows, encode
from sluice.errors import RequestError
from sluice.rows import checked, from_json, unless_missing
from sluice.session import Session
from sluice.values import DTYPES, Rows, joined
from sluice.wire import Wire, packed

T = TypeVar("T")


def put_fitting(session: Session, partitions: Sequence[str], values: dict[str, Rows], put: Callable[[dict[str, Rows]], T]) -> T:
    """Calls `put` with the values, each field in one dtype. If it is not that of the field, makes both fit, and calls again."""
    values = {name: _of_one_dtype(rows) for name, rows in values.items()}
    while True:
        try:
            return put(values)
        except RequestError as error:
            if error.code != "DTYPE":
                raise
        for partition in partitions:
            values = fitting(session, partition, values)


def fitting(session: Session, partition: str, values: Mapping[str, Rows]) -> dict[str, Rows]:
    """Returns the rows in the dtypes of their fields. Changes fields that do not fit the rows."""
    info = unless_missing(session.wire, "PARTITION.INFO", partition)
    there = {} if info is None else _dtypes(info[b"fields"])
    declared = {} if info is None else _dtypes(info[b"limits"][b"fields"])
    fitted = {}
    for name, rows in values.items():
        mine = _dtype(rows)
        target = _common(declared.get(name, there.get(name, mine)), mine)
        if target != declared.get(name, target):
            raise ValueError(f"field '{name}' of partition '{partition}' is {declared[name]} by its schema, not {mine}")
        if target != there.get(name, target):
            _rewrite(session, partition, name, mine)
        fitted[name] = rows if target == mine else _converted(rows, target)
    return fitted


def unmixed(data: TensorDict) -> TensorDict:
    """Makes nested tensors of fields of objects whose rows are tensors of one dtype. Changes and returns `data`."""
    for name, value in data.items():
        each = value.tolist() if isinstance(value, NonTensorStack) else []
        if each and all(isinstance(row, torch.Tensor) for row in each) and len({row.dtype for row in each}) == 1:
            data.set(name, joined(name, each, "jagged"))
    return data


def _rewrite(session: Session, partition: str, name: str, other: str) -> None:
    """Writes all rows of a field again, in one step, in the dtype that fits them and rows of the `other` dtype.

    If the rows do not fit the limits of the partition or the server any more, they stay as they are. Errors: FullError.
    """

    def commands(wire: Wire) -> list[list[Arg]]:
        # Not as fitting() saw it: another process may have changed the dtype since.
        now = _dtypes(unless_missing(wire, "KV.FIELDS", partition) or []).get(name, other)
        target = _common(now, other)
        field: list[Arg] = ["FIELDS", 1, name]
        listed = wire.call("KV.LIST", partition, *field, "FORMAT", "lines")
        indexes = np.array([row["index"] for row in from_json(b"[" + listed.replace(b"\n", b",") + b"]")], np.int64)
        if target == now or not len(indexes):
            return []
        reply = wire.call("KV.MGET", partition, "ROWS", packed(indexes), *field, "FORMAT", "rows", arrays=True)
        column = decode_rows(reply, [name], allow_pickle=session.config.allow_pickle).get(name)
        rows = list(column.unbind()) if isinstance(column, torch.Tensor) else column.tolist()
        by_rank = _by_rank(rows)
        if target in DTYPES and len(by_rank) > 1:  # two puts, of which only the first may fit
            raise ValueError(
                f"field '{name}' of partition '{partition}' has rows of different rank, so it cannot change from {now} to "
                f"{target} in one step: put {now} rows, or use another field"
            )

        def put(some: list[int], cells: Rows) -> list[Arg]:
            columns = encode({name: cells}, len(some), allow_pickle=session.config.allow_pickle)
            return ["KV.MPUT", partition, "ROWS", packed(indexes[some]), *columns]

        # The puts of the old values take effect only if that of the new ones fails: otherwise the dtype is another one.
        return [
            ["KV.CLEAR", partition, "ROWS", packed(indexes), *field],
            put(list(range(len(rows))), _converted(rows, target)),
            *(put(some, [rows[i] for i in some]) for some in by_rank),
        ]

    for reply in session.wire.transact([partition], commands)[:2]:
        checked(reply)


def _of_one_dtype(rows: Rows) -> Rows:
    """Returns tensors of several dtypes in the dtype that fits all of them, and other rows as they are."""
    if isinstance(rows, torch.Tensor) or not all(isinstance(row, torch.Tensor) for row in rows):
        return rows
    dtypes = dict.fromkeys(str(row.dtype).removeprefix("torch.") for row in rows)
    # A dtype that the server lacks is left to the put, which names it.
    return _converted(rows, functools.reduce(_common, dtypes)) if len(dtypes) > 1 and dtypes.keys() <= DTYPES.keys() else rows


def _dtypes(described: Any) -> dict[str, str]:
    """Returns the dtype of each field in a reply of KV.FIELDS."""
    return {str(entry[0], "utf-8"): str(entry[1], "ascii") for entry in described}


def _by_rank(rows: Sequence[Any]) -> list[list[int]]:
    """Returns the positions of rows of one rank each: they make one column."""
    positions: dict[int, list[int]] = {}
    for i, row in enumerate(rows):
        positions.setdefault(row.dim() if isinstance(row, torch.Tensor) else -1, []).append(i)
    return list(positions.values())


def _dtype(rows: Rows) -> str:
    """Returns the dtype that the server would store these rows with. Lists of tensors: of the first one."""
    first = rows if isinstance(rows, torch.Tensor) else rows[0]
    if isinstance(first, torch.Tensor) and (first is rows or all(isinstance(row, torch.Tensor) for row in rows)):
        return str(first.dtype).removeprefix("torch.")
    return "bytes" if all(isinstance(row, bytes) for row in rows) else "json"


def _common(one: str, other: str) -> str:
    if one == other or {one, other} == {"utf8", "json"}:  # a put of texts into a utf8 field is no error
        return one
    if one in DTYPES and other in DTYPES:
        # Torch does not promote float8. bfloat16 has all of its values.
        wide = [torch.bfloat16 if name.startswith("float8") else DTYPES[name] for name in (one, other)]
        return str(torch.promote_types(*wide)).removeprefix("torch.")
    return "json"


def _converted(rows: Rows, target: str) -> Rows:
    if target in DTYPES:
        to = DTYPES[target]
        return rows.to(to) if isinstance(rows, torch.Tensor) and not rows.is_nested else [row.to(to) for row in rows]
    return [_Object(row) if isinstance(row, (torch.Tensor, bytes)) else row for row in rows]


class _Object:
    """Makes a pickle of a tensor or of bytes in a field of objects. Reading the pickle returns the value itself."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        value = self._value
        if isinstance(value, torch.Tensor) and str(value.dtype).startswith("torch.float8"):
            return viewed, (value.view(torch.uint8), value.dtype)  # torch cannot read its pickles of float8
        return itself, (value,)


def itself(value: T) -> T:
    """Returns its argument. Pickles of tensors in fields of objects name this function."""
    return value


def viewed(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Returns a tensor of another dtype with the same bytes. Pickles of float8 tensors name this function."""
    return value.view(dtype)
