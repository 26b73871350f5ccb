"""What a put takes: the rows of each field, as tensors or Python objects; and rows joined to the column of a TensorDict.

The one interpretation of values: what is sent (columns.py) and what is known of the fields (field_schema.py) follow from
`field_rows`. All errors name the field, and the row where there is one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from tensordict import LazyStackedTensorDict, NonTensorData, NonTensorStack, TensorDictBase

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn, torch.float8_e5m2),
    )
}
"""The tensor dtypes of the server, by name. The names are those of torch."""

Fields: TypeAlias = "TensorDictBase | Mapping[str, Any]"
Rows: TypeAlias = "torch.Tensor | list[Any]"
"""The rows of a field: a tensor [n, ...], a nested tensor, or n tensors or Python objects."""
Layout: TypeAlias = Literal["auto", "jagged", "dense"]
"""How a get joins the rows of a tensor field. "auto": dense if all rows have one shape, else nested. "jagged": nested in
any case; only one scalar per row is [n]. "dense": rows of different shapes are an error."""


def field_rows(fields: Fields, rows: int) -> dict[str, Rows]:
    """Returns the rows of each field. Errors: ValueError for another number of rows, TypeError for a kind of value."""
    return {name: rows_of_value(name, value, rows) for name, value in columns_of(fields).items()}


def columns_of(fields: Fields) -> dict[str, Any]:
    """Returns the value of each field. Errors: as field_rows; ValueError for a lazy stack that cannot be stored by row."""
    if not isinstance(fields, LazyStackedTensorDict):
        return {str(name): fields.get(name) for name in fields.keys()}  # noqa: SIM118  -- a TensorDict iterates over its rows
    each = [_columns_of_row(f"row {i}", row) for i, row in enumerate(fields.unbind(0))]
    return _by_name([f"row {i}" for i in range(len(each))], each)


def _by_name(places: Sequence[str], each: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for values in each for name in values)
    for place, values in zip(places, each, strict=True):
        for name in names:
            if name not in values:
                raise ValueError(f"field '{name}' is missing in {place}: put rows with different fields in separate calls")
    return {name: [values[name] for values in each] for name in names}


def _columns_of_row(place: str, row: TensorDictBase) -> dict[str, Any]:
    """Returns the value of each field in one row of a lazy stack. The row is a lazy stack if the stack has another dim."""
    if isinstance(row, LazyStackedTensorDict):
        places = [f"{place}, item {i}" for i in range(len(row))]
        columns = _by_name(places, [_columns_of_row(at, item) for at, item in zip(places, row.unbind(0), strict=True)])
        return {name: _item_stack(f"field '{name}', {place}", items) for name, items in columns.items()}
    columns = {}
    for name, value in columns_of(row).items():
        if isinstance(value, TensorDictBase) and not isinstance(value, (NonTensorData, NonTensorStack)):
            raise TypeError(f"field '{name}', {place} is a TensorDict; use flatten_keys() to make each entry a field")
        columns[name] = value.tolist() if isinstance(value, (NonTensorData, NonTensorStack)) else value
    return columns


def _item_stack(where: str, items: list[Any]) -> Any:
    """Returns what one row has of a field, if the row is a stack of items: one tensor, or a list of objects."""
    items = [_of_row(f"{where}, item {i}", item) for i, item in enumerate(items)]
    if not any(isinstance(item, torch.Tensor) for item in items):
        return items
    kinds = {(item.dtype, item.shape) if isinstance(item, torch.Tensor) else type(item).__name__ for item in items}
    if len(kinds) > 1:
        raise ValueError(
            f"{where}: the items of this lazy stack differ in shape or dtype, and a row is one tensor: pad them, or stack "
            "along dim 0 and put one row per item"
        )
    return torch.stack(items)


def rows_of_value(name: str, value: Any, rows: int) -> Rows:
    """Returns the rows of one field. Errors: as field_rows."""
    if isinstance(value, torch.Tensor):
        _check_layout(f"field '{name}'", value)
        if value.is_nested:
            if value.size(0) != rows:
                raise ValueError(f"field '{name}' has {value.size(0)} rows, expected {rows}")
        elif value.dim() == 0 or value.shape[0] != rows:
            raise ValueError(
                f"field '{name}' has shape {list(value.shape)}; its first dimension must be {rows}, the number of rows"
            )
        return value
    if isinstance(value, NonTensorData):
        if not isinstance(value.data, (list, tuple, np.ndarray)):
            return [value.data] * rows
        if len(value.data) != rows:
            raise ValueError(
                f"field '{name}' is a NonTensorData with {len(value.data)} values for {rows} rows: expected one value per row; "
                "NonTensorStack(*[value] * n) has the same list in each of n rows"
            )
        value = value.data
    elif isinstance(value, NonTensorStack):
        value = value.tolist()
    if isinstance(value, TensorDictBase) or not isinstance(value, (list, tuple, np.ndarray)):
        raise TypeError(
            f"field '{name}' is a {type(value).__name__}; expected a tensor, a NumPy array, or a list or NonTensorStack of "
            "one value per row (use flatten_keys() for a nested TensorDict)"
        )
    if isinstance(value, np.ndarray):
        value = _of_array(f"field '{name}'", value)
        if isinstance(value, torch.Tensor):
            return rows_of_value(name, value, rows)
    if not isinstance(value, (list, tuple)) or len(value) != rows:
        count = len(value) if isinstance(value, (list, tuple)) else "no"  # an array without dimensions has one text
        raise ValueError(f"field '{name}' has {count} values for {rows} rows")
    return [_of_row(f"field '{name}', row {i}", row) for i, row in enumerate(value)]


def _of_row(where: str, row: Any) -> Any:
    if isinstance(row, torch.Tensor):
        _check_layout(where, row)
        if row.is_nested:
            raise TypeError(f"{where} is a nested tensor, and a row is one tensor: pad it, or put each of its rows as a row")
    return _of_array(where, row) if isinstance(row, np.ndarray) else row


def _check_layout(where: str, tensor: torch.Tensor) -> None:
    if tensor.layout not in (torch.strided, torch.jagged):
        raise TypeError(
            f"{where} is a sparse tensor ({tensor.layout}): use .to_dense(), or put its indices and its values as two fields"
        )
    if tensor.is_meta:
        raise TypeError(f"{where} is a meta tensor, which has no values: put a tensor that has memory")


def _of_array(where: str, array: npt.NDArray[Any]) -> Any:
    """Returns a tensor of numbers; a list of texts, bytes or objects. Errors: TypeError for other dtypes, and for a mask."""
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{where} is a masked array: use .filled(value), and put np.ma.getmaskarray() of it as another field")
    kind = array.dtype.kind
    if kind == "O":
        # NumPy makes one array of rows of equal shape, and keeps only their numbers.
        kinds = {type(item) for item in array.flat} if array.ndim > 1 else set()
        dtype = {bool: np.bool_, int: np.int64, float: np.float64}.get(kinds.pop()) if len(kinds) == 1 else None
        unboxed = np.array(array.tolist()) if dtype is not None else array
        # NumPy makes floats of integers of which some need uint64.
        return torch.from_numpy(unboxed) if unboxed.dtype == dtype else array.tolist()
    if kind in "SU":
        return array.tolist()
    try:
        # Torch reads neither negative strides nor the other byte order.
        return torch.from_numpy(np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape))
    except TypeError:
        hint = ".astype('int64') makes numbers of it, .astype(str) texts" if kind in "mM" else "convert it with .astype()"
        raise TypeError(
            f"{where} is a NumPy array of {array.dtype}; the server stores {', '.join(DTYPES)}, texts and bytes: {hint}"
        ) from None


def some_rows(rows: Rows, positions: Sequence[int]) -> Rows:
    """Returns some of the rows of a field."""
    if isinstance(rows, torch.Tensor) and not rows.is_nested:
        return rows[list(positions)]
    each = rows.unbind() if isinstance(rows, torch.Tensor) else rows
    return [each[i] for i in positions]


def joined(name: str, tensors: Sequence[torch.Tensor], layout: Layout = "auto") -> Any:
    """Returns the column of these rows, as laid_out() does; a NonTensorStack of the tensors if their ranks differ.

    Requires one dtype. Raises ValueError if the layout is "dense", and rows differ in shape.
    """
    if any(row.dim() != tensors[0].dim() for row in tensors):
        if layout == "dense":
            raise _not_dense(name, [tuple(row.shape) for row in tensors])
        return NonTensorStack(*tensors)
    flat = torch.cat([row.reshape(-1) for row in tensors])
    return laid_out(name, flat, np.array([row.shape for row in tensors], np.int64).reshape(len(tensors), -1), layout)


def laid_out(name: str, flat: torch.Tensor, shapes: npt.NDArray[np.int64], layout: Layout) -> torch.Tensor:
    """Returns the column of rows of these shapes [n, rank]. `flat` has their values one after another.

    Nested rows are jagged if they differ in at most one dimension, which is then the ragged one; otherwise strided.
    Raises ValueError if the layout is "dense", and rows differ in shape.
    """
    unlike = np.flatnonzero((shapes != shapes[0]).any(axis=0))
    if layout == "dense" and len(unlike):
        raise _not_dense(name, [tuple(shape) for shape in shapes.tolist()])
    if not len(unlike) and (layout != "jagged" or not shapes.shape[1]):
        return flat.reshape(len(shapes), *shapes[0].tolist())
    return strided(flat, shapes) if len(unlike) > 1 else _jagged(flat, shapes, int(unlike[0]) if len(unlike) else 0)


def _jagged(flat: torch.Tensor, shapes: npt.NDArray[np.int64], dim: int) -> torch.Tensor:
    """Returns rows of these shapes, which differ in this dimension only. It is a view of `flat` if the dimension is 0."""
    lengths = shapes[:, dim]
    offsets = torch.zeros(len(shapes) + 1, dtype=torch.int64)
    offsets[1:] = torch.from_numpy(lengths.cumsum())
    if dim == 0:
        values = flat.reshape(int(lengths.sum()), *shapes[0, 1:].tolist())
    else:
        parts = torch.tensor_split(flat, shapes.prod(axis=1).cumsum()[:-1].tolist())
        values = torch.cat([part.reshape(shape) for part, shape in zip(parts, shapes.tolist(), strict=True)], dim)
    least, most = int(lengths.min()), int(lengths.max())
    return torch.nested.nested_tensor_from_jagged(values, offsets, jagged_dim=dim + 1, min_seqlen=least, max_seqlen=most)


def _not_dense(name: str, shapes: Sequence[tuple[int, ...]]) -> ValueError:
    other = next(i for i, shape in enumerate(shapes) if shape != shapes[0])
    first, unlike = list(shapes[0]), list(shapes[other])
    return ValueError(f"field '{name}' is not dense: row {other} has shape {unlike}, row 0 {first}; `pad` pads rows")


def strided(flat: torch.Tensor, shapes: npt.NDArray[np.int64]) -> torch.Tensor:
    """Returns rows of these shapes as a strided nested tensor, a view of `flat`."""
    sizes = torch.from_numpy(np.ascontiguousarray(shapes))
    strides = torch.ones_like(sizes)
    for dim in range(sizes.shape[1] - 2, -1, -1):
        strides[:, dim] = strides[:, dim + 1] * sizes[:, dim + 1]
    counts = sizes.prod(dim=1)
    # As torch does when it sends a nested tensor to another process; nested_tensor() has no kernel for float8.
    return torch._nested_view_from_buffer(flat, sizes, strides, counts.cumsum(0) - counts)


# --- JSON


_SCALARS = (bool, int, float, str)


class NotJson(TypeError):
    """A value, or a part of it, that JSON cannot give back as it was."""


def json_text(value: Any, *, exact: bool = True) -> str:
    """Returns JSON text that reads back as the same value. NumPy scalars are numbers and texts.

    `exact`: False means that a tuple may read back as a list, and an enum or another subclass as its base class.
    Errors: NotJson with the path in the value, and what to do.
    """
    try:
        return json.dumps(_plain(value, "", exact), separators=(",", ":"), ensure_ascii=False)
    except RecursionError:
        raise NotJson(": JSON cannot represent a value that is nested too deep") from None


def _plain(value: Any, path: str, exact: bool) -> Any:
    if isinstance(value, np.generic) and value.dtype.kind in "biufU" and type(value.item()) in _SCALARS:
        value = value.item()
    kind = type(value) if exact else next((base for base in (*_SCALARS, list, tuple, dict) if isinstance(value, base)), None)
    if value is None or kind in (bool, int, str) or (kind is float and math.isfinite(value)):
        return value
    if kind is list or (kind is tuple and not exact):
        return [_plain(item, f"{path}[{i}]", exact) for i, item in enumerate(value)]
    if kind is dict:
        return {_key(key, path): _plain(item, f"{path}[{key!r}]", exact) for key, item in value.items()}
    raise NotJson(f"{path and f', at {path}'}: JSON cannot represent {_what_to_do(value)}")


def _key(key: Any, path: str) -> str:
    if isinstance(key, str):
        return str(key)
    raise NotJson(f"{path and f', at {path}'}: JSON cannot represent this dict exactly: its key {key!r} is no str")


def _what_to_do(value: Any) -> str:
    if isinstance(value, float):
        return f"{value!r}: use None, or put numbers in a tensor"
    if isinstance(value, TensorDictBase):
        return "this TensorDict: use flatten_keys() to make each entry a field"
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return f"this {type(value).__name__}: make it a field of its own, or use .tolist()"
    if isinstance(value, bytes):
        return "bytes: put one bytes object per row, or make texts with .decode(), of an array with .astype(str)"
    if isinstance(value, np.generic):
        return f"this {type(value).__name__} exactly: convert it to int, float or str"
    return f"this {type(value).__name__} exactly"
