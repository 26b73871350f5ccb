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

import torch

from sluice.values import Rows

Schema = dict[str, Any]
Shape = tuple[int, ...]


def field_schema(dtype: torch.dtype | None, shapes: Sequence[Shape | None]) -> Schema:
    """Returns the dict of one field, from its dtype and the shape of each row."""
    if dtype is None:
        return {"dtype": None, "shape": None, "is_nested": False, "is_non_tensor": True}
    nested = len(set(shapes)) != 1
    schema = {"dtype": dtype, "shape": None if nested else shapes[0], "is_nested": nested, "is_non_tensor": False}
    return schema | ({"per_sample_shapes": list(shapes)} if nested else {})


def schema_of(fields: Mapping[str, Rows]) -> dict[str, Schema]:
    """Returns the field_schema of the rows of fields."""
    return {name: _schema_of_rows(rows) for name, rows in fields.items()}


def _schema_of_rows(rows: Rows) -> Schema:
    if isinstance(rows, torch.Tensor) and not rows.is_nested:
        return field_schema(rows.dtype, [tuple(rows.shape[1:])] * len(rows))
    each = rows.unbind() if isinstance(rows, torch.Tensor) else rows
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
