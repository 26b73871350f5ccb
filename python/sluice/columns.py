"""Converts the rows of fields to the columns of KV.MPUT, and columns of the server to TensorDicts.

put                      on the wire          returned as
dense tensor [n, ...]    its dtype            the same
nested tensor, n rows,   its dtype, ragged    jagged if rows differ in one dimension, else strided; dense if all
n tensors                                     rows have the same shape (unless the layout is "jagged"). Rows of
                                              different rank (put in separate calls) are a NonTensorStack of tensors
NumPy arrays             as tensors           tensors
n x bytes, dtype S       bytes                NonTensorStack
n x str, None, bool,     json                 NonTensorStack. All of these have one dtype, so the rows of a field can
int, finite float, list,                      be put one by one in any mixture. (If another client made the field
dict with str keys,                           with dtype utf8, str is sent as utf8.) NumPy scalars are returned as
NumPy scalars, dtype U                        Python's
n x other objects        json, but a pickle   NonTensorStack if pickles are allowed, else an error

A cell of a json field that holds a pickle begins with the byte 0x80. No JSON text begins with this byte.
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from tensordict import NonTensorStack, TensorDict

from sluice._link import Arg
from sluice.errors import RequestError
from sluice.values import DTYPES, Layout, NotJson, Rows, joined, json_text, laid_out
from sluice.wire import packed, unpacked

Blob: TypeAlias = "bytes | npt.NDArray[np.uint8]"

_PICKLE = 0x80  # every pickle since protocol 2 begins with this byte


# --- encoding


def encode(
    fields: Mapping[str, Rows],
    rows: int,
    *,
    allow_pickle: bool,
    dedup: bool = False,
    utf8: Collection[str] = (),
) -> list[Arg]:
    """Returns the COLUMN arguments of KV.MPUT for `rows` rows of these fields.

    The arguments refer to the memory of contiguous CPU tensors, so the tensors must not change before the arguments
    are sent. `dedup`: equal rows of a field are sent and stored once. `utf8`: fields whose strings are sent as utf8
    and not as JSON.

    Errors: ValueError for rows of different dtypes or ranks, TypeError for a dtype or object that cannot be stored.
    Both name the field.
    """
    arguments: list[Arg] = []
    for name, value in fields.items():
        column = _text(name, value) if name in utf8 else _column(name, value, allow_pickle)
        arguments += ["COLUMN", name, *(_distinct(*column, rows) if dedup else _spelled(*column))]
    return arguments


_Column: TypeAlias = "tuple[str, npt.NDArray[np.int64] | tuple[int, ...], memoryview]"
"""dtype, the shape of one row or of each row [n, rank], and the bytes of the rows one after another."""


def _spelled(dtype: str, shape: npt.NDArray[np.int64] | tuple[int, ...], data: memoryview, *positions: Arg) -> list[Arg]:
    if isinstance(shape, tuple):
        return [dtype, *shape, *positions, "BLOB", data]
    return [dtype, "SHAPES", shape.shape[1], packed(shape), *positions, "BLOB", data]


def _column(name: str, rows: Rows, allow_pickle: bool) -> _Column:
    if isinstance(rows, torch.Tensor):
        return _nested(name, rows) if rows.is_nested else (_dtype(name, rows), tuple(rows.shape[1:]), _bytes_of(rows))
    if all(isinstance(row, torch.Tensor) for row in rows):
        return _ragged(name, rows)
    if all(isinstance(row, bytes) for row in rows):
        return _strings("bytes", rows)
    return _strings("json", [_json(name, i, row, allow_pickle) for i, row in enumerate(rows)])


def _nested(name: str, tensor: torch.Tensor) -> _Column:
    if tensor.layout == torch.jagged and tensor._lengths is None and tensor._ragged_idx == 1 and tensor.dim() > 1:  # type: ignore[attr-defined]
        values, lengths = tensor.values(), tensor.offsets().diff().cpu().numpy()  # type: ignore[attr-defined]
        if values.shape[0] == lengths.sum():
            shapes = np.empty((len(lengths), values.dim()), np.int64)
            shapes[:, 0], shapes[:, 1:] = lengths, values.shape[1:]
            return _dtype(name, tensor), shapes, _bytes_of(values)
    return _ragged(name, list(tensor.unbind()))


def _ragged(name: str, tensors: Sequence[torch.Tensor]) -> _Column:
    """Returns the column of tensors that may differ in shape, but not in rank or dtype."""
    first = tensors[0]
    for i, tensor in enumerate(tensors):
        if tensor.dtype != first.dtype:
            raise ValueError(
                f"field '{name}': row {i} is {tensor.dtype}, row 0 is {first.dtype}; convert the rows to one dtype, such as "
                f"row.to({first.dtype})"
            )
        if tensor.dim() != first.dim():
            raise ValueError(
                f"field '{name}': row {i} has rank {tensor.dim()}, row 0 has rank {first.dim()}; put rows of different rank in "
                "separate calls"
            )
    dtype = _dtype(name, first)
    data = _bytes_of(torch.cat([tensor.detach().reshape(-1) for tensor in tensors]))
    if all(tensor.shape == first.shape for tensor in tensors):
        return dtype, tuple(first.shape), data
    return dtype, np.array([tensor.shape for tensor in tensors], np.int64).reshape(len(tensors), first.dim()), data


def _text(name: str, rows: Rows) -> _Column:
    """Returns the column of a utf8 field. Raises TypeError for a value that is not str."""
    if isinstance(rows, list) and all(isinstance(row, str) for row in rows):
        return _strings("utf8", [row.encode("utf-8", "surrogatepass") for row in rows])
    raise TypeError(f"field '{name}' is utf8: its values must be str")


def _strings(dtype: str, cells: Sequence[bytes]) -> _Column:
    return dtype, np.array([[len(cell)] for cell in cells], np.int64), memoryview(b"".join(cells))


def _json(name: str, row: int, value: Any, allow_pickle: bool) -> bytes:
    """Returns JSON text that reads back as the same value, or a pickle of any other value."""
    try:
        return json_text(value).encode("utf-8", "surrogatepass")
    except NotJson as error:
        if not allow_pickle:
            hint = "init({'allow_pickle': True}) allows pickles, for jobs that trust all writers"
            raise TypeError(f"field '{name}', row {row}{error}; {hint}") from None
    return pickle.dumps(value, protocol=5)


def _dtype(name: str, tensor: torch.Tensor) -> str:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise TypeError(f"field '{name}' is {tensor.dtype}; the server stores {', '.join(DTYPES)}")
    return dtype


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    """Returns the bytes of a tensor in row-major order, without a copy if possible."""
    whole = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    flat = whole.as_strided((whole.numel(),), (1,))  # the stride of a dim of size 1 may be any number
    return memoryview(flat.view(torch.uint8).numpy())  # type: ignore[arg-type]


def _distinct(dtype: str, shape: npt.NDArray[np.int64] | tuple[int, ...], data: memoryview, rows: int) -> list[Arg]:
    """Returns the column with equal rows stored once (DICT), or the plain column if all rows differ."""
    item = 1 if dtype in ("utf8", "json", "bytes") else DTYPES[dtype].itemsize
    if isinstance(shape, tuple):
        sizes = np.full(rows, item * math.prod(shape), np.int64)
        shapes: list[bytes] = [b""] * rows
    else:
        sizes = shape.prod(axis=1) * item
        shapes = [row.tobytes() for row in shape]
    ends = sizes.cumsum()
    firsts: dict[tuple[bytes, bytes], int] = {}
    kept: list[int] = []
    positions = np.empty(rows, np.int64)
    for i, (end, size) in enumerate(zip(ends.tolist(), sizes.tolist(), strict=True)):
        position = firsts.setdefault((bytes(data[end - size : end]), shapes[i]), len(kept))
        if position == len(kept):
            kept.append(i)
        positions[i] = position
    if len(kept) == rows:
        return _spelled(dtype, shape, data)
    once = memoryview(b"".join(cell for cell, _ in firsts))
    return _spelled(dtype, shape if isinstance(shape, tuple) else shape[kept], once, "DICT", packed(positions))


# --- decoding


def decode(reply: Sequence[Any], rows: int, *, allow_pickle: bool, layout: Layout = "auto") -> TensorDict:
    """Returns the TensorDict [rows] of a reply of KV.MGET in the format `columns`, with or without DICT.

    Tensors are writable and share memory with nothing else. A row that was sent once (DICT) is copied to each of its
    positions.

    Errors: ValueError for a pickle if `allow_pickle` is False, and for rows that the layout does not allow; the text
    names the field.
    """
    fields: dict[str, Any] = {}
    for name, dtype, shape, shapes, data, *positions in reply:
        name, dtype = str(name, "utf-8"), str(dtype, "ascii")
        at = unpacked(positions[0]) if positions else None
        each = None if -1 not in shape else unpacked(shapes).reshape(-1, len(shape) - 1)  # PAD sends shapes of dense fields, too
        if dtype in DTYPES:
            fields[name] = _tensor(name, _as_tensor(data, DTYPES[dtype]), shape, each, at, layout)
        else:
            cells = _cells(data, each)
            values = [_READ_CELL[dtype](name, cell, allow_pickle) for cell in cells]
            fields[name] = NonTensorStack(*(values if at is None else [values[i] for i in at.tolist()]))
    return TensorDict(fields, batch_size=[rows])


def _as_tensor(data: Blob, dtype: torch.dtype) -> torch.Tensor:
    if len(data) == 0:
        return torch.empty(0, dtype=dtype)
    if isinstance(data, np.ndarray):
        return torch.from_numpy(data).view(dtype)  # keeps the array alive, and so its block
    return torch.frombuffer(bytearray(data), dtype=dtype)


def _tensor(
    name: str,
    flat: torch.Tensor,
    shape: list[int],
    shapes: npt.NDArray[np.int64] | None,
    at: npt.NDArray[np.int64] | None,
    layout: Layout,
) -> torch.Tensor:
    if shapes is None:
        dense = flat.reshape(shape) if at is None else flat.reshape(shape)[torch.from_numpy(at)]
        return dense if layout != "jagged" else laid_out(name, dense.reshape(-1), np.tile(shape[1:], (len(dense), 1)), layout)
    if at is not None:
        ends = shapes.prod(axis=1).cumsum().tolist()
        parts = [flat[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
        flat, shapes = torch.cat([parts[i] for i in at.tolist()]), shapes[at]
    return laid_out(name, flat, shapes, layout)


def decode_rows(reply: Sequence[Any], fields: Sequence[str] | None, *, allow_pickle: bool, layout: Layout = "auto") -> TensorDict:
    """Returns the TensorDict of a reply in the format `rows`: the way to read rows of different rank.

    `fields`: the fields to return; None means those that all rows have, sorted by name. Errors: RequestError for a row
    or a field that was removed; as decode().
    """
    each = [{str(cell[0], "utf-8"): cell[1:] for cell in row or ()} for row in reply]
    names = sorted(set(each[0]).intersection(*each)) if fields is None else fields
    columns: dict[str, Any] = {}
    for name in names:
        if any(name not in row for row in each):
            raise RequestError("NOTREADY", f"field '{name}' is not ready in one of the rows")
        dtype = str(each[0][name][0], "ascii")
        cells = [row[name] for row in each]
        if dtype in DTYPES:
            tensors = [_as_tensor(data, DTYPES[dtype]).reshape(shape) for _, shape, data in cells]
            columns[name] = joined(name, tensors, layout)
        else:
            columns[name] = NonTensorStack(*(_READ_CELL[dtype](name, bytes(data), allow_pickle) for _, _, data in cells))
    return TensorDict(columns, batch_size=[len(reply)])


def _cells(data: Blob, lengths: npt.NDArray[np.int64] | None) -> list[bytes]:
    assert lengths is not None  # byte strings always have lengths
    view = memoryview(data)  # type: ignore[arg-type]
    ends = lengths[:, 0].cumsum().tolist()
    return [bytes(view[begin:end]) for begin, end in zip([0, *ends], ends, strict=False)]


def _read_json(name: str, cell: bytes, allow_pickle: bool) -> Any:
    if cell[:1] != bytes([_PICKLE]):
        return json.loads(cell.decode("utf-8", "surrogatepass"))
    if not allow_pickle:
        raise ValueError(
            f"field '{name}' holds a pickled Python object, and pickles are not allowed: reading one runs code of its writer; "
            "init({'allow_pickle': True}) allows it"
        )
    return pickle.loads(cell)


_READ_CELL: dict[str, Callable[[str, bytes, bool], Any]] = {
    "utf8": lambda _name, cell, _pickle: cell.decode("utf-8", "surrogatepass"),
    "bytes": lambda _name, cell, _pickle: cell,
    "json": _read_json,
}
