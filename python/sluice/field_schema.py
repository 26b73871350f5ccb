"""field_schema: what a batch knows of its fields. There is one dict per field, with these names:

dtype              the torch dtype; None for text, JSON and bytes
shape              the shape of one row as a tuple: () for a column of numbers; None if the rows differ or dtype is None
is_nested          whether the rows differ in shape
per_sample_shapes  the shape of each row; only present if is_nested
is_non_tensor      whether dtype is None
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from tensordict import TensorDictBase

Schema = dict[str, Any]
Shape = tuple[int, ...]


def field_schema(dtype: torch.dtype | None, shapes: Sequence[Shape | None]) -> Schema:
    """Returns the dict of one field, from its dtype and the shape of each row."""
    if dtype is None:
        return {"dtype": None, "shape": None, "is_nested": False, "is_non_tensor": True}
    nested = len(set(shapes)) != 1
    schema = {"dtype": dtype, "shape": None if nested else shapes[0], "is_nested": nested, "is_non_tensor": False}
    return schema | ({"per_sample_shapes": list(shapes)} if nested else {})


def schema_of(data: TensorDictBase | Mapping[str, Any], rows: int) -> dict[str, Schema]:
    """Returns the field_schema of columns as kv_batch_put takes them, with this number of rows."""
    return {str(name): _schema_of_value(value, rows) for name, value in data.items()}


def _schema_of_value(value: Any, rows: int) -> Schema:
    if isinstance(value, np.ndarray) and value.dtype != object:
        value = torch.from_numpy(value)
    if isinstance(value, torch.Tensor) and not value.is_nested:
        return field_schema(value.dtype, [tuple(value.shape[1:])] * rows)
    each = value.unbind() if isinstance(value, torch.Tensor) else value if isinstance(value, list) else []
    if each and all(isinstance(row, torch.Tensor) for row in each):
        return field_schema(each[0].dtype, [tuple(row.shape) for row in each])
    return field_schema(None, [])


def shapes_of(schema: Schema, rows: int) -> list[Shape | None]:
    """Returns the shape of each row of a batch."""
    return list(schema.get("per_sample_shapes") or [schema.get("shape")] * rows)


def schema_of_rows(schema: Schema, positions: Sequence[int]) -> Schema:
    """Returns the dict of one field for these rows of the batch."""
    shapes = schema.get("per_sample_shapes")
    if shapes is None:
        return dict(schema)
    others = {name: value for name, value in schema.items() if name != "per_sample_shapes"}
    return others | field_schema(schema.get("dtype"), [shapes[i] for i in positions])


def joined_schema(parts: Sequence[tuple[Mapping[str, Schema], int]]) -> dict[str, Schema]:
    """Returns the joined field_schema of batches, each given with its number of rows.

    Raises ValueError if field names or dtypes differ.
    """
    first, _ = parts[0]
    for i, (schema, _) in enumerate(parts):
        if schema.keys() != first.keys():
            raise ValueError(f"batch {i} has fields {sorted(schema)}, batch 0 has {sorted(first)}")
        for name in first:
            dtype, expected = schema[name].get("dtype"), first[name].get("dtype")
            if dtype != expected:
                raise ValueError(f"field {name!r} is {dtype} in batch {i}, {expected} in batch 0")
    joined = {}
    for name, entry in first.items():
        shapes = chain.from_iterable(shapes_of(schema[name], rows) for schema, rows in parts)
        joined[name] = entry | field_schema(entry.get("dtype"), list(shapes))
    return joined
