"""StreamingDataset with the settings, samplers and jagged tensors of this package."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sluice import streaming
from sluice.compat import _job
from sluice.compat._client import TransferQueueClient
from sluice.compat._metadata import BatchMeta
from sluice.compat._samplers import on_server
from sluice.samplers import BaseSampler
from sluice.session import session_for
from sluice.streaming import Batch


class StreamingDataset(streaming.StreamingDataset):
    """As sluice.StreamingDataset, but `config` is what init() of this package takes, and rows of tensors are jagged.

    The server samples, also for GRPOGroupNSampler: all processes of a dp_rank get the same rows.
    """

    def __init__(self, config: Any, *args: Any, layout: Any = "jagged", **options: Any) -> None:
        super().__init__(_job.configured(config), *args, layout=layout, **options)

    def _client(self) -> TransferQueueClient:
        return TransferQueueClient(session_for(self.config))

    def _sampler(self, partition: str) -> BaseSampler:
        return on_server(super()._sampler(partition))

    def _next(self, client: Any, stream: Any, stride: int, left: Callable[[], bool]) -> Batch | None:
        batch = super()._next(client, stream, stride, left)
        return batch and (batch[0], BatchMeta.of(batch[1], self.config.allow_pickle))
