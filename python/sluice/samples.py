"""A batch as a sequence of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sluice.field_schema import schema_of_rows

if TYPE_CHECKING:
    from sluice.metadata import BatchMeta


@dataclass(frozen=True)
class Sample:
    """One row of a BatchMeta, as of the moment when it was requested."""

    global_index: int
    partition_id: str
    production_status: int
    custom_meta: Mapping[str, Any]
    fields: Mapping[str, Mapping[str, Any]]


class Samples(Sequence[Sample]):
    """A BatchMeta as a sequence of its rows. Each row is made when it is requested."""

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
