"""KVBatchMeta and BatchMeta with the errors of TransferQueue, which are fewer than those of Sluice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sluice import metadata
from sluice.batches import refuse_duplicates
from sluice.compat._tags import given


class KVBatchMeta(metadata.KVBatchMeta):
    """As sluice.KVBatchMeta, except for the following methods."""

    __hash__ = None

    def select_keys(self, keys_to_select: Sequence[str]) -> KVBatchMeta:
        """Returns a batch of these keys. Raises RuntimeError (in Sluice: ValueError) for an unknown key."""
        refuse_duplicates("key", list(keys_to_select))
        unknown = [key for key in keys_to_select if key not in self.keys]
        if unknown:
            raise RuntimeError(f"keys not found in the batch: {unknown}")
        return self._part([self.keys.index(key) for key in keys_to_select])  # type: ignore[return-value]

    def reorder(self, indexes: Sequence[int]) -> None:
        """Reorders in place. Negative positions count from the end (in Sluice: ValueError)."""
        super().reorder([i + self.size if i < 0 else i for i in indexes])

    def chunk(self, chunks: int) -> list[KVBatchMeta]:  # type: ignore[override]
        """Cuts the batch. Above its size, the last chunks are empty (in Sluice: ValueError)."""
        return [self._part(part) for part in np.array_split(range(self.size), chunks)]  # type: ignore[misc]

    @classmethod
    def concat(cls, data: Sequence[metadata.KVBatchMeta]) -> KVBatchMeta:
        """Joins batches. Batches whose fields are None take those of the first one (in Sluice: the result has None)."""
        batches = [batch for batch in data if batch is not None and len(batch)]
        first = batches[0].fields if batches else None
        for batch in batches:
            if batch.fields is not None and set(batch.fields) != set(first or []):
                raise ValueError(f"the fields of the batches differ: {batch.fields} and {first}")
        joined: KVBatchMeta = super().concat(batches)  # type: ignore[assignment]
        joined.fields = first
        return joined


class BatchMeta(metadata.BatchMeta):
    """As sluice.BatchMeta, except for the following methods."""

    __hash__ = None

    @classmethod
    def of(cls, batch: metadata.BatchMeta, allow_pickle: bool) -> BatchMeta:
        """Returns the batch as this class, with its tags as they were given."""
        tags = [given(tag, allow_pickle) for tag in batch.custom_meta]
        return cls(
            batch.global_indexes,
            batch.partition_ids,
            batch.field_schema,
            batch.production_status,
            batch.extra_info,
            tags,
            batch.incarnations,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Copies production_status: arrays that Ray hands over without a copy are read-only."""
        self.__dict__.update(state)
        self.production_status = np.array(self.production_status)

    def select_fields(self, field_names: Sequence[str]) -> BatchMeta:
        """Returns all rows with those of these fields that the batch has (in Sluice, others are a ValueError)."""
        return super().select_fields([name for name in field_names if name in self.field_schema])  # type: ignore[return-value]

    def chunk(self, chunks: int) -> list[BatchMeta]:  # type: ignore[override]
        """Cuts the batch. Above its size, the last chunks are empty (in Sluice: ValueError)."""
        return [self.select_samples(part) for part in np.array_split(range(self.size), chunks)]  # type: ignore[misc]
