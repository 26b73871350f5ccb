"""Describes a batch without its tensors: KVBatchMeta by keys, BatchMeta by row indexes.

Both are plain data, without a connection. They can be pickled, compared with ==, cut, joined and sent to other
processes. A batch owns its data: tags and infos are copied when it is made.

Thread safety: several threads may read one batch at the same time, but not change it.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tensordict import TensorDictBase

from sluice.batches import (
    equal,
    joined_incarnations,
    joined_info,
    not_empty,
    own,
    parts,
    permutation,
    positions_in,
    refuse_duplicates,
)
from sluice.field_schema import Schema, Shape, joined_schema, schema_of, schema_of_rows, shapes_of
from sluice.samples import Sample, Samples
from sluice.values import field_rows

Tag = dict[str, Any]


@dataclass(eq=False)
class KVBatchMeta:
    """The keys of a batch of one partition, and their tags.

    keys          unique names of rows
    tags          one dict per key, in the same order
    partition_id  the partition of the keys
    fields        the fields that all keys have, each name once; None if unknown
    extra_info    information about the whole batch

    Raises ValueError for a duplicate key or field, and for different numbers of keys and tags.
    """

    keys: list[str] = field(default_factory=list)
    tags: list[Tag] = field(default_factory=list)
    partition_id: str | None = None
    fields: list[str] | None = None
    extra_info: dict[str, Any] | None = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.keys = list(self.keys)
        self.fields = None if self.fields is None else list(self.fields)
        if len(self.keys) != len(self.tags):
            raise ValueError(f"expected one tag per key: {len(self.keys)} keys, got {len(self.tags)} tags")
        refuse_duplicates("key", self.keys)
        refuse_duplicates("field", self.fields or [])
        self.tags = own(self.tags)
        self.extra_info = own(self.extra_info)

    @property
    def size(self) -> int:
        """The number of keys."""
        return len(self.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KVBatchMeta) and equal(vars(self), vars(other))

    __hash__ = None  # type: ignore[assignment]  # a batch is mutable

    def select_keys(self, keys_to_select: Sequence[str]) -> KVBatchMeta:
        """Returns a batch of these keys in this order. Raises ValueError for an unknown or duplicate key."""
        position = {key: i for i, key in enumerate(self.keys)}
        unknown = [key for key in keys_to_select if key not in position]
        if unknown:
            raise ValueError(f"the batch has no keys {unknown}")
        return self._part([position[key] for key in keys_to_select])

    def reorder(self, indexes: Sequence[int]) -> None:
        """Reorders in place: item indexes[i] moves to position i. Raises ValueError unless each position occurs once."""
        order = permutation(indexes, self.size)
        self.keys = [self.keys[i] for i in order]
        self.tags = [self.tags[i] for i in order]

    def chunk(self, chunks: int) -> list[KVBatchMeta]:
        """Cuts the batch into `chunks` contiguous parts. If they cannot be equal, the first parts are longer by one.

        Raises ValueError if there are fewer keys than chunks.
        """
        return [self._part(range(part.start, part.stop)) for part in parts(self.size, chunks)]

    @classmethod
    def concat(cls, data: Sequence[KVBatchMeta]) -> KVBatchMeta:
        """Joins batches of one partition, in order. Empty batches are skipped.

        Raises ValueError if partitions or fields differ, a key is in two batches, or extra_info has different values
        under one name.
        """
        batches = not_empty(data)
        if not batches:
            return cls()
        first = batches[0]
        for i, batch in enumerate(batches):
            if batch.partition_id != first.partition_id:
                raise ValueError(f"batch {i} is of partition {batch.partition_id!r}, batch 0 of {first.partition_id!r}")
            if None not in (batch.fields, first.fields) and set(batch.fields or []) != set(first.fields or []):
                raise ValueError(f"batch {i} has fields {batch.fields}, batch 0 has {first.fields}")
        return cls(
            keys=list(chain.from_iterable(batch.keys for batch in batches)),
            tags=list(chain.from_iterable(batch.tags for batch in batches)),
            partition_id=first.partition_id,
            fields=None if any(batch.fields is None for batch in batches) else first.fields,
            extra_info=joined_info(batches),
        )

    def _part(self, positions: Iterable[int]) -> KVBatchMeta:
        positions = list(positions)
        keys, tags = [self.keys[i] for i in positions], [self.tags[i] for i in positions]
        return type(self)(keys, tags, self.partition_id, self.fields, self.extra_info)


class BatchMeta:
    """Rows of one or several partitions, and their metadata.

    global_indexes     B ints: the index of each row in its partition
    partition_ids      B names
    field_schema       one dict per field: `dtype` (torch; None for text, JSON and bytes), `shape` (of one row: () for a
                       column of numbers; None if rows differ), `is_nested` (rows differ in shape; then
                       `per_sample_shapes` has B tuples), `is_non_tensor`
    production_status  int8, shape (B,): 1 if all requested fields of the row are ready; the default is 0
    extra_info         information about the whole batch
    custom_meta        B dicts: the tags of the rows; the default is empty dicts
    incarnations       {partition: its incarnation}. If the partition was cleared and made again since, the methods of
                       the client raise ValueError (code STALE) instead of using rows of the new one

    A row may occur twice; it is then read twice. Raises ValueError if lengths differ.
    """

    def __init__(
        self,
        global_indexes: Iterable[int],
        partition_ids: Iterable[str],
        field_schema: Mapping[str, Mapping[str, Any]] | None = None,
        production_status: npt.ArrayLike | None = None,
        extra_info: Mapping[str, Any] | None = None,
        custom_meta: Sequence[Mapping[str, Any]] | None = None,
        incarnations: Mapping[str, int] | None = None,
    ) -> None:
        self.global_indexes = [operator.index(index) for index in global_indexes]
        self.partition_ids = list(partition_ids)
        self.field_schema: dict[str, Schema] = {name: dict(schema) for name, schema in (field_schema or {}).items()}
        status = [0] * self.size if production_status is None else production_status
        self.production_status: npt.NDArray[np.int8] = np.array(status, np.int8)
        self.extra_info = dict(extra_info or {})
        self.custom_meta: list[Tag] = own(list(custom_meta or ({} for _ in range(self.size))))
        named = set(self.partition_ids)
        self.incarnations = {name: number for name, number in (incarnations or {}).items() if name in named}

        lengths = {"partition_ids": len(self.partition_ids), "custom_meta": len(self.custom_meta)}
        lengths["production_status"] = len(self.production_status)
        for name, schema in self.field_schema.items():
            lengths[f"per_sample_shapes of field {name!r}"] = len(shapes_of(schema, self.size))
        for name, length in lengths.items():
            if length != self.size:
                raise ValueError(f"{name} must have {self.size} entries, one per global index, got {length}")

    @property
    def size(self) -> int:
        """The number of rows."""
        return len(self.global_indexes)

    @property
    def field_names(self) -> list[str]:
        """The names of the fields, sorted."""
        return sorted(self.field_schema)

    @property
    def is_ready(self) -> bool:
        """Whether there is at least one row, and all rows are ready."""
        return self.size > 0 and bool((self.production_status == 1).all())

    @property
    def samples(self) -> Sequence[Sample]:
        """The rows of the batch. The `shape` in the `fields` of a sample is the shape of that row."""
        return Samples(self)

    def __len__(self) -> int:
        return self.size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BatchMeta) and equal(vars(self), vars(other))

    __hash__ = None  # type: ignore[assignment]  # a batch is mutable

    def __repr__(self) -> str:
        parts = ("size", "global_indexes", "partition_ids", "field_names", "is_ready", "extra_info")
        return f"BatchMeta({', '.join(f'{name}={getattr(self, name)!r}' for name in parts)})"

    def get_dtypes(self, field_name: str) -> list[torch.dtype | None]:
        """Returns the dtype of the field, once per row. Raises KeyError for an unknown field."""
        return [self.field_schema[field_name].get("dtype")] * self.size

    def get_shapes(self, field_name: str) -> list[Shape | None]:
        """Returns the shape of the field in each row. Raises KeyError for an unknown field."""
        return shapes_of(self.field_schema[field_name], self.size)

    def get_extra_info(self, key: str, default: Any = None) -> Any:
        """Returns the value of this name in extra_info, or `default`."""
        return self.extra_info.get(key, default)

    def set_extra_info(self, key: str, value: Any) -> None:
        """Sets one value in extra_info."""
        self.extra_info[key] = value

    def get_all_extra_info(self) -> dict[str, Any]:
        """Returns a copy of extra_info."""
        return copy.deepcopy(self.extra_info)

    def update_extra_info(self, info_dict: Mapping[str, Any]) -> None:
        """Sets several values in extra_info."""
        self.extra_info.update(info_dict)

    def remove_extra_info(self, key: str) -> Any:
        """Removes a value from extra_info and returns it, or None if it does not exist."""
        return self.extra_info.pop(key, None)

    def clear_extra_info(self) -> None:
        """Removes everything from extra_info."""
        self.extra_info.clear()

    def has_extra_info(self, key: str) -> bool:
        """Returns whether extra_info has this name."""
        return key in self.extra_info

    def get_all_custom_meta(self) -> list[Tag]:
        """Returns a copy of custom_meta."""
        return [own(tag) for tag in self.custom_meta]

    def update_custom_meta(self, custom_meta: Sequence[Mapping[str, Any]] | None) -> None:
        """Updates the dict of each row. Raises ValueError unless there is one dict per row."""
        if custom_meta is None:
            return
        if len(custom_meta) != self.size:
            raise ValueError(f"custom_meta must have {self.size} dicts, one per row, got {len(custom_meta)}")
        for mine, new in zip(self.custom_meta, custom_meta, strict=True):
            mine.update(own(dict(new)))

    def clear_custom_meta(self) -> None:
        """Empties the dict of each row."""
        self.custom_meta = [{} for _ in range(self.size)]

    def add_fields(self, tensor_dict: TensorDictBase, set_all_ready: bool = True) -> BatchMeta:
        """Adds the fields of these data to field_schema, in place, and marks all rows as ready. Returns the batch.

        Raises ValueError unless the data have as many rows as the batch.
        """
        rows = tensor_dict.batch_size[0] if tensor_dict.batch_size else None
        if rows != self.size:
            raise ValueError(f"the batch has {self.size} rows, the data have batch_size {list(tensor_dict.batch_size)}")
        self.field_schema.update(schema_of(field_rows(tensor_dict, self.size)))
        if set_all_ready:
            self.production_status = np.ones(self.size, np.int8)
        return self

    def select_samples(self, sample_indices: Iterable[int]) -> BatchMeta:
        """Returns the rows at these positions, in this order. Raises ValueError for a position outside 0..size-1."""
        positions = positions_in(sample_indices, self.size)
        return type(self)(
            [self.global_indexes[i] for i in positions],
            [self.partition_ids[i] for i in positions],
            {name: schema_of_rows(schema, positions) for name, schema in self.field_schema.items()},
            self.production_status[positions],
            self.extra_info,
            [self.custom_meta[i] for i in positions],
            self.incarnations,
        )

    def select_fields(self, field_names: Sequence[str]) -> BatchMeta:
        """Returns all rows with only these fields. Raises ValueError for an unknown field."""
        unknown = [name for name in field_names if name not in self.field_schema]
        if unknown:
            raise ValueError(f"the batch has no fields {unknown}; it has {self.field_names}")
        selected = self.copy()
        selected.field_schema = {name: selected.field_schema[name] for name in field_names}
        return selected

    def copy(self) -> BatchMeta:
        """Returns a deep copy."""
        return copy.deepcopy(self)

    def __getitem__(self, item: int | slice) -> BatchMeta:
        """Returns one row (negative: from the end), or a slice. Raises IndexError and TypeError as a list does."""
        rows = range(self.size)[item]
        return self.select_samples([rows] if isinstance(rows, int) else rows)

    def chunk(self, chunks: int) -> list[BatchMeta]:
        """Cuts the batch into `chunks` contiguous parts. If they cannot be equal, the first parts are longer by one.

        Raises ValueError if there are fewer rows than chunks.
        """
        return [self.select_samples(part) for part in parts(self.size, chunks)]

    def chunk_by_partition(self) -> list[BatchMeta]:
        """Returns one batch per partition, in the order in which the partitions appear."""
        of_partition: dict[str, list[int]] = {}
        for i, name in enumerate(self.partition_ids):
            of_partition.setdefault(name, []).append(i)
        return [self.select_samples(rows) for rows in of_partition.values()]

    def union(self, other: BatchMeta) -> BatchMeta:
        """Returns the same rows with the fields, tags and infos of both. If both have a name, `other` wins.

        A row is ready if it is ready in both. If one batch is empty, returns a copy of the other. Raises ValueError
        unless both have the same rows in the same order.
        """
        if not (self and other):
            return (self or other).copy()
        incarnations = joined_incarnations([self.incarnations, other.incarnations])
        for name in ("global_indexes", "partition_ids"):
            if getattr(self, name) != getattr(other, name):
                raise ValueError(f"{name} differ: {getattr(self, name)} and {getattr(other, name)}")
        joined = self.copy()
        joined.incarnations = incarnations
        joined.field_schema |= copy.deepcopy(other.field_schema)
        joined.extra_info |= copy.deepcopy(other.extra_info)
        joined.production_status &= other.production_status
        joined.update_custom_meta(other.custom_meta)
        return joined

    @classmethod
    def concat(cls, data: Sequence[BatchMeta], validate: bool = True) -> BatchMeta:
        """Joins batches with the same fields, in order. Empty batches are skipped.

        `validate` exists for callers of TransferQueue and has no effect: batches are always checked. Raises ValueError
        if fields or their dtypes differ, extra_info has different values under one name, or a partition was made again
        between two batches.
        """
        batches = not_empty(data)
        if not batches:
            return cls.empty()
        return cls(
            chain.from_iterable(batch.global_indexes for batch in batches),
            chain.from_iterable(batch.partition_ids for batch in batches),
            joined_schema([(batch.field_schema, batch.size) for batch in batches]),
            np.concatenate([batch.production_status for batch in batches]),
            joined_info(batches),
            list(chain.from_iterable(batch.custom_meta for batch in batches)),
            joined_incarnations([batch.incarnations for batch in batches]),
        )

    def reorder(self, indices: Sequence[int]) -> None:
        """Reorders in place: row indices[i] moves to position i. Raises ValueError unless each position occurs once."""
        vars(self).update(vars(self.select_samples(permutation(indices, self.size))))

    @classmethod
    def empty(cls, extra_info: Mapping[str, Any] | None = None) -> BatchMeta:
        """Returns a batch without rows."""
        return cls([], [], extra_info=extra_info)
