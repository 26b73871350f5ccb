"""What stands for a batch where its tensors are not: KVBatchMeta by keys, BatchMeta by row indexes.

Both are plain data, without a connection: they are pickled, compared with ==, cut, joined and sent to other
processes. Several threads may read one at once, not change it. What one holds is its own: the tags and infos it is
made from are copied.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tensordict import TensorDictBase

from sluice.batches import equal, joined_info, not_empty, own, parts, permutation, positions_in, refuse_twice
from sluice.field_schema import Schema, Shape, joined_schema, schema_of, schema_of_rows, shapes_of

Tag = dict[str, Any]


@dataclass(eq=False)
class KVBatchMeta:
    """The keys of a batch of one partition, and their tags.

    keys          unique
    tags          one dict a key, in the same order
    partition_id  where the keys are
    fields        what all the keys have, each name once; None: not known
    extra_info    whatever belongs to the batch as a whole

    Raises ValueError for a key or field that stands twice, and where keys and tags differ in number.
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
            raise ValueError(f"{len(self.keys)} keys need as many tags, got {len(self.tags)}")
        refuse_twice("key", self.keys)
        refuse_twice("field", self.fields or [])
        self.tags = own(self.tags)
        self.extra_info = own(self.extra_info)

    @property
    def size(self) -> int:
        """How many keys there are."""
        return len(self.keys)

    def __len__(self) -> int:
        return len(self.keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KVBatchMeta) and equal(vars(self), vars(other))

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def select_keys(self, keys_to_select: Sequence[str]) -> KVBatchMeta:
        """These keys in this order, as a batch of their own. Raises ValueError for one it has not, or named twice."""
        position = {key: i for i, key in enumerate(self.keys)}
        unknown = [key for key in keys_to_select if key not in position]
        if unknown:
            raise ValueError(f"the batch has no keys {unknown}")
        return self._part([position[key] for key in keys_to_select])

    def reorder(self, indexes: Sequence[int]) -> None:
        """Sort in place: what stood at indexes[i] stands at i. Raises ValueError unless it names each position once."""
        order = permutation(indexes, self.size)
        self.keys = [self.keys[i] for i in order]
        self.tags = [self.tags[i] for i in order]

    def chunk(self, chunks: int) -> list[KVBatchMeta]:
        """Cut into `chunks` neighbouring parts, the first ones longer by one where it does not come out even.

        Raises ValueError where there are fewer keys than chunks.
        """
        return [self._part(range(part.start, part.stop)) for part in parts(self.size, chunks)]

    @classmethod
    def concat(cls, data: Sequence[KVBatchMeta]) -> KVBatchMeta:
        """Join batches of one partition, in order; empty ones are passed over.

        Raises ValueError where partitions or fields differ, a key stands in two, or both say different things under
        one name of extra_info.
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
        return KVBatchMeta(keys, tags, self.partition_id, self.fields, self.extra_info)


@dataclass(frozen=True)
class Sample:
    """One row of a BatchMeta, as it was when it was asked for."""

    global_index: int
    partition_id: str
    production_status: int
    custom_meta: Mapping[str, Any]
    fields: Mapping[str, Mapping[str, Any]]


class BatchMeta:
    """Rows, of one partition or of several, and what is known about them.

    global_indexes     B ints: each row's index in its partition
    partition_ids      B names
    field_schema       a dict a field: `dtype` (torch's; None for text, JSON and bytes), `shape` (one row's: () for a
                       column of numbers; None where rows differ), `is_nested` (rows differ in shape; then
                       `per_sample_shapes` has B tuples), `is_non_tensor`
    production_status  int8, shape (B,): 1 where all fields that were asked for are ready; without it, 0
    extra_info         whatever belongs to the batch as a whole
    custom_meta        B dicts: the rows' tags; without it, empty ones

    A row may stand there twice: it is read twice. Raises ValueError where lengths differ.
    """

    def __init__(
        self,
        global_indexes: Iterable[int],
        partition_ids: Iterable[str],
        field_schema: Mapping[str, Mapping[str, Any]] | None = None,
        production_status: npt.ArrayLike | None = None,
        extra_info: Mapping[str, Any] | None = None,
        custom_meta: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        self.global_indexes = [operator.index(index) for index in global_indexes]
        self.partition_ids = list(partition_ids)
        self.field_schema: dict[str, Schema] = {name: dict(schema) for name, schema in (field_schema or {}).items()}
        status = [0] * self.size if production_status is None else production_status
        self.production_status: npt.NDArray[np.int8] = np.array(status, np.int8)
        self.extra_info = dict(extra_info or {})
        self.custom_meta: list[Tag] = own(list(custom_meta or ({} for _ in range(self.size))))

        lengths = {"partition_ids": len(self.partition_ids), "custom_meta": len(self.custom_meta)}
        lengths["production_status"] = len(self.production_status)
        for name, schema in self.field_schema.items():
            lengths[f"per_sample_shapes of field {name!r}"] = len(shapes_of(schema, self.size))
        for name, length in lengths.items():
            if length != self.size:
                raise ValueError(f"{self.size} global_indexes need as many {name}, got {length}")

    @property
    def size(self) -> int:
        """How many rows there are."""
        return len(self.global_indexes)

    @property
    def field_names(self) -> list[str]:
        """The names of the fields, sorted."""
        return sorted(self.field_schema)

    @property
    def is_ready(self) -> bool:
        """Whether there are rows, and all of them are ready."""
        return self.size > 0 and bool((self.production_status == 1).all())

    @property
    def samples(self) -> Sequence[Sample]:
        """The batch row by row; a `shape` in a sample's `fields` is that row's own."""
        return _Samples(self)

    def __len__(self) -> int:
        return self.size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BatchMeta) and equal(vars(self), vars(other))

    __hash__ = None  # type: ignore[assignment]  # it can be changed

    def __repr__(self) -> str:
        parts = ("size", "global_indexes", "partition_ids", "field_names", "is_ready", "extra_info")
        return f"BatchMeta({', '.join(f'{name}={getattr(self, name)!r}' for name in parts)})"

    def get_dtypes(self, field_name: str) -> list[torch.dtype | None]:
        """The field's dtype, once a row. Raises KeyError for a field that the batch has not."""
        return [self.field_schema[field_name].get("dtype")] * self.size

    def get_shapes(self, field_name: str) -> list[Shape | None]:
        """The field's shape in each row. Raises KeyError for a field that the batch has not."""
        return shapes_of(self.field_schema[field_name], self.size)

    def get_extra_info(self, key: str, default: Any = None) -> Any:
        """What extra_info has under this name, or `default`."""
        return self.extra_info.get(key, default)

    def set_extra_info(self, key: str, value: Any) -> None:
        """Put one value into extra_info."""
        self.extra_info[key] = value

    def get_all_extra_info(self) -> dict[str, Any]:
        """A copy of extra_info."""
        return copy.deepcopy(self.extra_info)

    def update_extra_info(self, info_dict: Mapping[str, Any]) -> None:
        """Put several values into extra_info."""
        self.extra_info.update(info_dict)

    def remove_extra_info(self, key: str) -> Any:
        """Take a value out of extra_info; None if it is not there."""
        return self.extra_info.pop(key, None)

    def clear_extra_info(self) -> None:
        """Empty extra_info."""
        self.extra_info.clear()

    def has_extra_info(self, key: str) -> bool:
        """Whether extra_info has this name."""
        return key in self.extra_info

    def get_all_custom_meta(self) -> list[Tag]:
        """A copy of custom_meta."""
        return [own(tag) for tag in self.custom_meta]

    def update_custom_meta(self, custom_meta: Sequence[Mapping[str, Any]] | None) -> None:
        """Update each row's dict from its own of these. Raises ValueError unless there is one for each row."""
        if custom_meta is None:
            return
        if len(custom_meta) != self.size:
            raise ValueError(f"{self.size} rows need as many dicts in custom_meta, got {len(custom_meta)}")
        for mine, new in zip(self.custom_meta, custom_meta, strict=True):
            mine.update(own(dict(new)))

    def clear_custom_meta(self) -> None:
        """Empty each row's dict."""
        self.custom_meta = [{} for _ in range(self.size)]

    def add_fields(self, tensor_dict: TensorDictBase, set_all_ready: bool = True) -> BatchMeta:
        """Take the fields of these data into field_schema, in place, and say that all is ready. Returns itself.

        Raises ValueError unless the data have one row for each of the batch.
        """
        rows = tensor_dict.batch_size[0] if tensor_dict.batch_size else None
        if rows != self.size:
            raise ValueError(f"the batch has {self.size} rows, the data have batch_size {list(tensor_dict.batch_size)}")
        self.field_schema.update(schema_of(tensor_dict, self.size))
        if set_all_ready:
            self.production_status = np.ones(self.size, np.int8)
        return self

    def select_samples(self, sample_indices: Iterable[int]) -> BatchMeta:
        """The rows at these positions of the batch, in this order. Raises ValueError outside 0..size-1."""
        positions = positions_in(sample_indices, self.size)
        return BatchMeta(
            [self.global_indexes[i] for i in positions],
            [self.partition_ids[i] for i in positions],
            {name: schema_of_rows(schema, positions) for name, schema in self.field_schema.items()},
            self.production_status[positions],
            self.extra_info,
            [self.custom_meta[i] for i in positions],
        )

    def select_fields(self, field_names: Sequence[str]) -> BatchMeta:
        """All rows with only these fields. Raises ValueError for one that the batch has not."""
        unknown = [name for name in field_names if name not in self.field_schema]
        if unknown:
            raise ValueError(f"the batch has no fields {unknown}; it has {self.field_names}")
        selected = self.copy()
        selected.field_schema = {name: selected.field_schema[name] for name in field_names}
        return selected

    def copy(self) -> BatchMeta:
        """A copy that shares nothing with it."""
        return copy.deepcopy(self)

    def __getitem__(self, item: int | slice) -> BatchMeta:
        """One row (from the end where negative), or a slice. Raises IndexError, TypeError as a list would."""
        rows = range(self.size)[item]
        return self.select_samples([rows] if isinstance(rows, int) else rows)

    def chunk(self, chunks: int) -> list[BatchMeta]:
        """Cut into `chunks` neighbouring parts, the first ones longer by one where it does not come out even.

        Raises ValueError where there are fewer rows than chunks.
        """
        return [self.select_samples(part) for part in parts(self.size, chunks)]

    def chunk_by_partition(self) -> list[BatchMeta]:
        """One batch a partition, in the order in which they appear."""
        of_partition: dict[str, list[int]] = {}
        for i, name in enumerate(self.partition_ids):
            of_partition.setdefault(name, []).append(i)
        return [self.select_samples(rows) for rows in of_partition.values()]

    def union(self, other: BatchMeta) -> BatchMeta:
        """The same rows with the fields, tags and infos of both; where both have one, that of `other`.

        A row is ready where both say so. Where one of the two is empty: a copy of the other. Raises ValueError unless
        both are about the same rows in the same order.
        """
        if not (self and other):
            return (self or other).copy()
        for name in ("global_indexes", "partition_ids"):
            if getattr(self, name) != getattr(other, name):
                raise ValueError(f"{name} differ: {getattr(self, name)} and {getattr(other, name)}")
        joined = self.copy()
        joined.field_schema |= copy.deepcopy(other.field_schema)
        joined.extra_info |= copy.deepcopy(other.extra_info)
        joined.production_status &= other.production_status
        joined.update_custom_meta(other.custom_meta)
        return joined

    @classmethod
    def concat(cls, data: Sequence[BatchMeta], validate: bool = True) -> BatchMeta:
        """Join batches with the same fields, in order; empty ones are passed over.

        `validate` is there for TransferQueue's callers; what is joined is always checked. Raises ValueError where
        fields or their dtypes differ, or batches say different things under one name of extra_info.
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
        )

    def reorder(self, indices: Sequence[int]) -> None:
        """Sort in place: what stood at indices[i] stands at i. Raises ValueError unless it names each position once."""
        vars(self).update(vars(self.select_samples(permutation(indices, self.size))))

    @classmethod
    def empty(cls, extra_info: Mapping[str, Any] | None = None) -> BatchMeta:
        """A batch without rows."""
        return cls([], [], extra_info=extra_info)


class _Samples(Sequence[Sample]):
    """A BatchMeta as a sequence of its rows, each made when it is asked for."""

    def __init__(self, batch: BatchMeta) -> None:
        self._batch = batch

    def __len__(self) -> int:
        return self._batch.size

    def __getitem__(self, item: Any) -> Any:
        rows = range(self._batch.size)[item]
        return self._sample(rows) if isinstance(rows, int) else [self._sample(row) for row in rows]

    def _sample(self, row: int) -> Sample:
        batch = self._batch
        fields = {name: MappingProxyType(schema_of_rows(schema, [row])) for name, schema in batch.field_schema.items()}
        return Sample(
            batch.global_indexes[row],
            batch.partition_ids[row],
            int(batch.production_status[row]),
            MappingProxyType(batch.custom_meta[row]),
            MappingProxyType(fields),
        )
