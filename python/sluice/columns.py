"""Converts TensorDicts to the columns of KV.MPUT, and columns of the server to TensorDicts.

put                      on the wire          returned as
dense tensor [n, ...]    its dtype            the same
nested tensor, n rows    its dtype, ragged    jagged if rows differ only in their first dimension, else strided;
                                              dense if all rows have the same shape
NumPy arrays             as tensors           tensors
n x bytes                bytes                NonTensorStack
n x str, None, bool,     json                 NonTensorStack. All of these have one dtype, so the rows of a field can
int, finite float, list,                      be put one by one in any mixture. (If another client made the field
dict with str keys                            with dtype utf8, str is sent as utf8.)
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
from tensordict import NonTensorData, NonTensorStack, TensorDict, TensorDictBase

from sluice._link import Arg
from sluice.wire import packed, unpacked

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2),
    )
}
"""The tensor dtypes of the server, by name. The names are those of torch."""

Blob: TypeAlias = "bytes | npt.NDArray[np.uint8]"

_PICKLE = 0x80  # every pickle since protocol 2 begins with this byte


# --- encoding


def encode(
    fields: TensorDictBase | Mapping[str, Any],
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

    Errors: ValueError for a field with another number of rows, TypeError for a dtype or object that cannot be stored.
    Both name the field.
    """
    arguments: list[Arg] = []
    for name in fields.keys():  # noqa: SIM118  -- a TensorDict iterates over its rows
        value = fields.get(name)
        column = _text(name, value, rows) if name in utf8 else _column(str(name), value, rows, allow_pickle)
        arguments += ["COLUMN", str(name), *(_distinct(*column, rows) if dedup else _spelled(*column))]
    return arguments


_Column: TypeAlias = "tuple[str, npt.NDArray[np.int64] | tuple[int, ...], memoryview]"
"""dtype, the shape of one row or of each row [n, rank], and the bytes of the rows one after another."""


def _spelled(dtype: str, shape: npt.NDArray[np.int64] | tuple[int, ...], data: memoryview, *positions: Arg) -> list[Arg]:
    if isinstance(shape, tuple):
        return [dtype, *shape, *positions, "BLOB", data]
    return [dtype, "SHAPES", shape.shape[1], packed(shape), *positions, "BLOB", data]


def _column(name: str, value: Any, rows: int, allow_pickle: bool) -> _Column:
    if isinstance(value, torch.Tensor):
        return _nested(name, value, rows) if value.is_nested else _dense(name, value, rows)
    if isinstance(value, np.ndarray) and value.dtype != object:
        return _dense(name, _from_numpy(name, value), rows)
    return _objects(name, values_by_row(name, value, rows), allow_pickle)


def _dense(name: str, tensor: torch.Tensor, rows: int) -> _Column:
    if tensor.dim() == 0 or tensor.shape[0] != rows:
        raise ValueError(f"field '{name}' has shape {list(tensor.shape)}; its first dimension must be {rows}, the number of rows")
    return _dtype(name, tensor), tuple(tensor.shape[1:]), _bytes_of(tensor)


def _nested(name: str, tensor: torch.Tensor, rows: int) -> _Column:
    if tensor.size(0) != rows:
        raise ValueError(f"field '{name}' has {tensor.size(0)} rows, expected {rows}")
    if tensor.layout == torch.jagged and tensor._lengths is None and tensor._ragged_idx == 1 and tensor.dim() > 1:  # type: ignore[attr-defined]
        values, lengths = tensor.values(), tensor.offsets().diff().cpu().numpy()  # type: ignore[attr-defined]
        if values.shape[0] == lengths.sum():
            shapes = np.empty((rows, values.dim()), np.int64)
            shapes[:, 0], shapes[:, 1:] = lengths, values.shape[1:]
            return _dtype(name, tensor), shapes, _bytes_of(values)
    return _ragged(name, list(tensor.unbind()))


def _ragged(name: str, tensors: Sequence[torch.Tensor]) -> _Column:
    """Returns the column of tensors that may differ in shape, but not in rank or dtype."""
    first = tensors[0]
    for i, tensor in enumerate(tensors):
        if tensor.dim() != first.dim() or tensor.dtype != first.dtype:
            raise ValueError(
                f"field '{name}': row {i} is {tensor.dtype} of rank {tensor.dim()}, row 0 is {first.dtype} of rank {first.dim()}"
            )
    dtype = _dtype(name, first)
    data = _bytes_of(torch.cat([tensor.detach().reshape(-1) for tensor in tensors]))
    if all(tensor.shape == first.shape for tensor in tensors):
        return dtype, tuple(first.shape), data
    return dtype, np.array([tensor.shape for tensor in tensors], np.int64).reshape(len(tensors), first.dim()), data


def values_by_row(name: str, value: Any, rows: int) -> list[Any]:
    """Returns one object per row of a value that is not a tensor. Errors: ValueError, TypeError; both name the field."""
    if isinstance(value, NonTensorData):
        shared = value.data
        if not (isinstance(shared, np.ndarray) and shared.dtype == object and shared.shape[:1] == (rows,)):
            return [shared] * rows
        value = shared  # TensorDict stores an array of objects like this
    if isinstance(value, NonTensorStack):
        value = value.tolist()
    if isinstance(value, TensorDictBase) or not isinstance(value, (list, tuple, np.ndarray)):
        raise TypeError(
            f"field '{name}' is a {type(value).__name__}; expected a tensor, a NumPy array, or a list or NonTensorStack of "
            "one value per row (use flatten_keys() for a nested TensorDict)"
        )
    if len(value) != rows:
        raise ValueError(f"field '{name}' has {len(value)} values for {rows} rows")
    return list(value)


def _objects(name: str, values: list[Any], allow_pickle: bool) -> _Column:
    if all(_is_numeric(value) for value in values):
        return _ragged(name, [_from_numpy(name, v) if isinstance(v, np.ndarray) else v for v in values])
    if all(type(value) is bytes for value in values):
        dtype, cells = "bytes", values
    else:
        dtype, cells = "json", [_json(name, i, value, allow_pickle) for i, value in enumerate(values)]
    return _strings(dtype, cells)


def _text(name: str, value: Any, rows: int) -> _Column:
    """Returns the column of a utf8 field. Raises TypeError for a value that is not str."""
    values = values_by_row(name, value, rows)
    if all(type(value) is str for value in values):
        return _strings("utf8", [value.encode("utf-8", "surrogatepass") for value in values])
    raise TypeError(f"field '{name}' is utf8: its values must be str")


def _strings(dtype: str, cells: Sequence[bytes]) -> _Column:
    return dtype, np.array([[len(cell)] for cell in cells], np.int64), memoryview(b"".join(cells))


def _is_numeric(value: Any) -> bool:
    return isinstance(value, torch.Tensor) or (isinstance(value, np.ndarray) and value.dtype != object)


def _json(name: str, row: int, value: Any, allow_pickle: bool) -> bytes:
    """Returns JSON text that reads back as the same value, or a pickle of any other value."""
    if _is_json(value):
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
    if not allow_pickle:
        raise TypeError(
            f"field '{name}', row {row}: JSON cannot represent this {type(value).__name__} exactly; "
            "init({'allow_pickle': True}) allows pickles, for jobs that trust all writers"
        )
    return pickle.dumps(value, protocol=5)


def _is_json(value: Any) -> bool:
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    if kind is list:
        return all(map(_is_json, value))
    if kind is dict:
        return all(type(key) is str and _is_json(item) for key, item in value.items())
    return value is None or kind in (bool, int, str)


def _dtype(name: str, tensor: torch.Tensor) -> str:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise TypeError(f"field '{name}' is {tensor.dtype}; the server stores {', '.join(DTYPES)}")
    return dtype


def _from_numpy(name: str, array: npt.NDArray[Any]) -> torch.Tensor:
    try:
        return torch.from_numpy(np.ascontiguousarray(array).reshape(array.shape))
    except TypeError:
        raise TypeError(f"field '{name}' is a NumPy array of {array.dtype}; the server stores {', '.join(DTYPES)}") from None


def _bytes_of(tensor: torch.Tensor) -> memoryview:
    """Returns the bytes of a tensor in row-major order, without a copy if possible."""
    flat = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
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


def decode(reply: Sequence[Any], rows: int, *, allow_pickle: bool) -> TensorDict:
    """Returns the TensorDict [rows] of a reply of KV.MGET in the format `columns`, with or without DICT.

    Tensors are writable and share memory with nothing else. A row that was sent once (DICT) is copied to each of its
    positions.

    Errors: ValueError for a pickle if `allow_pickle` is False; the text names the field.
    """
    fields: dict[str, Any] = {}
    for name, dtype, shape, shapes, data, *positions in reply:
        name, dtype = str(name, "utf-8"), str(dtype, "ascii")
        at = unpacked(positions[0]) if positions else None
        each = None if shapes is None else unpacked(shapes).reshape(-1, len(shape) - 1)
        if dtype in DTYPES:
            fields[name] = _tensor(_as_tensor(data, DTYPES[dtype]), shape, each, at)
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
    flat: torch.Tensor, shape: list[int], shapes: npt.NDArray[np.int64] | None, at: npt.NDArray[np.int64] | None
) -> torch.Tensor:
    if shapes is None:
        dense = flat.reshape(shape)
        return dense if at is None else dense[torch.from_numpy(at)]
    if at is not None:
        ends = shapes.prod(axis=1).cumsum().tolist()
        parts = [flat[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
        flat, shapes = torch.cat([parts[i] for i in at.tolist()]), shapes[at]
    rest = shapes[0, 1:]
    if (shapes[:, 1:] == rest).all():
        offsets = torch.zeros(len(shapes) + 1, dtype=torch.int64)
        offsets[1:] = torch.from_numpy(shapes[:, 0].cumsum())
        lengths = shapes[:, 0]
        if (lengths == lengths[0]).all():
            return flat.reshape(len(shapes), *shapes[0].tolist())
        return torch.nested.nested_tensor_from_jagged(
            flat.reshape(-1, *rest.tolist()),
            offsets,
            min_seqlen=int(lengths.min()),
            max_seqlen=int(lengths.max()),
        )
    ends = shapes.prod(axis=1).cumsum().tolist()
    return torch.nested.nested_tensor(
        [flat[b:e].reshape(s) for b, e, s in zip([0, *ends], ends, shapes.tolist(), strict=False)], layout=torch.strided
    )


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
