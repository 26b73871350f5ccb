"""A dataset for PyTorch, which reads the batches of a task; loader.py has the loader.

    config = tq.init({"sampler": tq.GRPOGroupNSampler(n_samples_per_prompt=8)})
    dataset = tq.StreamingDataset(
        config, batch_size=64, micro_batch_size=16, data_fields=["input_ids", "advantages"],
        partition_id="rollouts", task_name="train", dp_rank=rank,
    )
    for data, metadata in tq.StreamingDataLoader(dataset, num_workers=2):
        ...

A batch is requested by the number of its step. The server remembers the last 1,024 steps of each dp_rank. So all
processes with the same dp_rank get the same rows, batch after batch, with any number of loader workers. In a partition
with autoevict, the rows of a step are removed when its dp_rank has asked for 64 other steps, or earlier in a partition
with a limit (docs/streaming.md). So processes with the same dp_rank, each with num_workers * prefetch_factor steps in
advance, must stay closer together than that. A single process asks for each step once, and may fetch any number ahead.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from tensordict import TensorDict
from torch.utils.data import IterableDataset, get_worker_info

from sluice._calls import unless
from sluice.client import TransferQueueClient
from sluice.fetching import Fetched
from sluice.metadata import BatchMeta
from sluice.micro_batches import micro_batches
from sluice.samplers import BaseSampler, GRPOGroupNSampler, SequentialSampler, make_sampler, server_arguments
from sluice.session import Config, configured, session_for
from sluice.values import Layout

if TYPE_CHECKING:
    from sluice.loader import Passes

Batch: TypeAlias = tuple[TensorDict, BatchMeta]
Asked: TypeAlias = tuple[TensorDict | None, BatchMeta]

_PAUSE_S = 0.1  # before the next try, if no event announces new rows
_LOOK_S = 1.0  # length of one wait in a partition without EXPECT: only polling can find its end


@dataclass
class _Stream:
    """The reading position in a partition."""

    partition_id: str
    step: int
    """The step of the batch to request next."""
    buffer: list[Batch] = field(default_factory=list)
    position: int = 0
    """The position in the buffer of the batch to yield next."""


class StreamingDataset(IterableDataset[Batch]):
    """The batches of one data-parallel rank, cut into micro-batches (TensorDict [rows], BatchMeta), as they become ready.

    The dataset waits for rows and does not end, unless should_check_consumption_status is True. Then it ends after the
    last row that PARTITION.CREATE ... EXPECT (TQ_PRE_ALLOC_SAMPLE_NUM) announced; the last batch may have fewer rows. In
    a partition without EXPECT it ends as soon as the task has consumed all existing rows. Its length is unknown.

    Every row comes once for each dp_rank. Worker w of W takes the steps w, w+W, ..., and the loader restores their
    order. (TransferQueue gives all workers of a loader the same batches.) No server remembers the steps of your own
    sampler, so ranks with one dp_rank do not get the same rows from it.

    Args:
        config: the result of init(), or an argument of init(). Iterating uses its settings over the connections of the
            process; the settings of the process and of other datasets stay as they are.
        batch_size: rows of a batch. With a sampler of groups, a multiple of their size.
        micro_batch_size: rows of each part; the last part may have fewer.
        data_fields: the fields that must be ready in the rows, and that are read.
        partition_id: the partition; it need not exist yet.
        task_name: each task gets each row once.
        dp_rank: >= 0; ranks with the same number get the same rows.
        should_check_consumption_status: whether the dataset ends.
        fetch_batch_fn: requests a batch instead of the sampler of config. It is called with tq_client, data_fields,
            batch_size, partition_id, task_name, sampling_config and batch_index (the step). It returns a TensorDict and
            its BatchMeta, or None and an empty BatchMeta to be called again a moment later.
        process_batch_fn: cuts a batch instead of micro_batches(). It is called with the batch and micro_batch_size.
        first_step: the step at which a restarted rank continues: the number of batches that it already had.
        layout: how rows of tensors are joined, as in kv_batch_get. A `fetch_batch_fn` decides for itself.

    Raises ValueError for numbers out of range, and for a batch_size that is not a multiple of the group size. Iterating
    raises the errors of TransferQueueClient.fetch, such as RequestError if a row of the step was removed before this
    rank got it.

    Thread safety: one thread iterates; step() and reset() may be called from another thread.
    """

    def __init__(
        self,
        config: Config | Mapping[str, Any] | str,
        batch_size: int,
        micro_batch_size: int,
        data_fields: Sequence[str],
        partition_id: str,
        task_name: str,
        dp_rank: int,
        should_check_consumption_status: bool = False,
        fetch_batch_fn: Callable[..., Asked] | None = None,
        process_batch_fn: Callable[..., Iterable[Batch]] | None = None,
        *,
        first_step: int = 0,
        layout: Layout = "auto",
    ) -> None:
        if isinstance(data_fields, str) or not data_fields:
            raise ValueError(f"data_fields must be a list of at least one name, got {data_fields!r}")
        least = {"batch_size": 1, "micro_batch_size": 1, "dp_rank": 0, "first_step": 0}
        for name, value in zip(least, (batch_size, micro_batch_size, dp_rank, first_step), strict=True):
            if value < least[name]:
                raise ValueError(f"{name} must be at least {least[name]}, got {value}")
        if process_batch_fn is None and micro_batch_size > batch_size:
            raise ValueError(f"micro_batch_size must be at most batch_size {batch_size}, got {micro_batch_size}")
        self.config = configured(config)
        self.layout: Layout = layout
        self.batch_size = batch_size
        self.micro_batch_size = micro_batch_size
        self.data_fields = list(data_fields)
        self.task_name = task_name
        self.dp_rank = dp_rank
        self.should_check_consumption_status = should_check_consumption_status
        self.fetch_batch_fn = fetch_batch_fn
        self.process_batch_fn = process_batch_fn or micro_batches
        self.sampling_config = {"dp_rank": dp_rank, "task_name": task_name}
        self._stream = _Stream(partition_id, first_step)
        self._passes: Passes | None = None  # of the StreamingDataLoader; not None only while it starts its workers
        self._begun = 0  # passes that this worker has begun
        if fetch_batch_fn is None:
            _check_groups(batch_size, self._sampler(partition_id))

    @property
    def partition_id(self) -> str:
        """The partition that the dataset reads."""
        return self._stream.partition_id

    @property
    def buffer(self) -> list[Batch]:
        """The whole batches since the last step(). Batches of loader workers are not kept."""
        return self._stream.buffer

    def reset(self) -> None:
        """Goes back to the first batch of the buffer, to yield the batches again."""
        self._stream.position = 0

    def step(self, partition_id: str) -> None:
        """Goes to the first step of another partition and empties the buffer. A wait for rows continues there.

        Raises ValueError if batch_size does not fit the sampler of that partition.
        """
        if self.fetch_batch_fn is None:
            _check_groups(self.batch_size, self._sampler(partition_id))
        self._stream = _Stream(partition_id, 0)

    def __iter__(self) -> Iterator[Batch]:
        """Yields micro-batches: in this process from the buffer position, in a loader worker from its first step."""
        if get_worker_info() is None:
            return self._parts_of(self._buffered())
        this_pass, self._begun = self._begun, self._begun + 1
        return self._parts_of(self._of_worker(this_pass))

    def _parts_of(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        for data, metadata in batches:
            parts = self.process_batch_fn(data, metadata, micro_batch_size=self.micro_batch_size)
            if self._passes is None:
                yield from parts
            else:
                yield list(parts)  # type: ignore[misc]  # the loader takes one step from each worker in turn

    def _buffered(self) -> Iterator[Batch]:
        client = self._client()
        while True:
            stream = self._stream
            if stream.position == len(stream.buffer):
                batch = self._next(client, stream, 1, functools.partial(self._was_left, stream))
                if batch is not None:
                    stream.buffer.append(batch)
                elif not self._was_left(stream):
                    return
            else:
                stream.position += 1
                yield stream.buffer[stream.position - 1]

    def _client(self) -> TransferQueueClient:
        return TransferQueueClient(session_for(self.config))

    def _was_left(self, stream: _Stream) -> bool:
        """Returns whether step() has gone to another partition."""
        return stream is not self._stream

    def _of_worker(self, this_pass: int) -> Iterator[Batch]:
        worker, client = get_worker_info(), self._client()
        assert worker is not None
        stream = _Stream(self.partition_id, self._stream.step + worker.id)
        if self._passes is None:  # another DataLoader: each worker takes its steps as they come
            while (batch := self._next(client, stream, worker.num_workers, watch_parent())) is not None:
                yield batch
            return
        turns = self._passes.worker(this_pass, worker.id)
        while turns.wait():
            batch = self._next(client, stream, worker.num_workers, turns.left)
            turns.done(ended=batch is None)
            if batch is None:
                return
            yield batch

    def _next(self, client: TransferQueueClient, stream: _Stream, stride: int, left: Callable[[], bool]) -> Batch | None:
        """Returns the batch of the step of the stream, and advances it by `stride`. Returns None at the end and if left()."""
        finite = self.should_check_consumption_status
        while True:
            ask = self._ask_server if self._samples_on_server(stream) else self._ask_client
            data, metadata = ask(client, stream, left)
            if data is not None:
                stream.step += stride
                return data, metadata
            if left() or (finite and self._ended(client, stream, metadata)):
                return None
            time.sleep(_PAUSE_S)  # fetch_batch_fn had no batch, or an endless stream has read all announced rows

    def _ask_server(self, client: TransferQueueClient, stream: _Stream, left: Callable[[], bool]) -> Asked:
        if self.should_check_consumption_status:
            batch = self._until_the_end(client, stream, left)
        else:
            batch = unless(left, self._fetch, client, stream, min_rows=None, wait_s=None)
        return (batch.data, batch.metadata) if batch else (None, BatchMeta.empty())

    def _until_the_end(self, client: TransferQueueClient, stream: _Stream, left: Callable[[], bool]) -> Fetched | None:
        """Returns the batch of the step. The last batch may have fewer rows. Returns no rows at the end and if left()."""
        announced, wait_s = False, 0.0
        while True:
            min_rows, so_long = (1, None) if announced else (None, wait_s)
            batch = unless(left, self._fetch, client, stream, min_rows=min_rows, wait_s=so_long)
            if batch is not None or left():
                return batch
            status = self._status(client, stream)
            if announced or _all_consumed(status):
                return self._fetch(client, stream, min_rows=None, wait_s=0.0)  # another rank may have taken this step since
            announced, wait_s = status is not None and status[b"expected"] is not None, _LOOK_S

    def _fetch(self, client: TransferQueueClient, stream: _Stream, min_rows: int | None, wait_s: float | None) -> Fetched | None:
        return client.fetch(
            self.data_fields,
            self.batch_size,
            stream.partition_id,
            self.task_name,
            sampler=self._sampler(stream.partition_id),
            min_rows=min_rows,
            rank=self.dp_rank,
            step=stream.step,
            wait_s=wait_s,
            layout=self.layout,
        )

    def _ask_client(self, client: TransferQueueClient, stream: _Stream, left: Callable[[], bool]) -> Asked:
        call: dict[str, Any] = {
            "tq_client": client,
            "data_fields": self.data_fields,
            "batch_size": self.batch_size,
            "partition_id": stream.partition_id,
            "task_name": self.task_name,
            "sampling_config": self.sampling_config,
            "batch_index": stream.step,
        }
        if self.fetch_batch_fn is not None:
            return unless(left, self.fetch_batch_fn, **call) or (None, BatchMeta.empty())
        return unless(left, self._sample_here, client, stream) or (None, BatchMeta.empty())

    def _sample_here(self, client: TransferQueueClient, stream: _Stream) -> Asked:
        client._announce(stream.partition_id)
        config = client._session.config
        wait_s = 0.0 if config.polling_mode else min(_LOOK_S, config.timeout_s)
        metadata = client._sample_here(
            self._sampler(stream.partition_id),
            self.data_fields,
            self.batch_size,
            stream.partition_id,
            self.task_name,
            {"dp_rank": self.dp_rank, "batch_index": stream.step},
            wait_s,
        )
        return (
            client.get_data(metadata, layout=self.layout) if metadata else None
        ), metadata if metadata is not None else BatchMeta.empty()

    def _ended(self, client: TransferQueueClient, stream: _Stream, metadata: BatchMeta) -> bool:
        """Returns whether a finite stream that returned no batch has ended."""
        return (
            self._samples_on_server(stream)
            or bool(metadata.get_extra_info("end"))
            or client.check_consumption_status(self.task_name, stream.partition_id)
        )

    def _status(self, client: TransferQueueClient, stream: _Stream) -> Mapping[bytes, Any] | None:
        """Returns TASK.STATUS, or None if the task or the partition does not exist yet."""
        status: Mapping[bytes, Any] | None = client._unless_missing("TASK.STATUS", stream.partition_id, self.task_name)
        return status

    def _samples_on_server(self, stream: _Stream) -> bool:
        return self.fetch_batch_fn is None and server_arguments(self._sampler(stream.partition_id)) is not None

    def _sampler(self, partition: str) -> BaseSampler:
        return make_sampler(self.config.sampler or SequentialSampler).of_partition(partition)


def watch_parent() -> Callable[[], bool]:
    """Returns a function that returns whether the loader of this worker has ended, maybe before this call."""
    # The parent process may be a fork server. The pipe of `started_by` may be open in workers that were forked later.
    parent, started_by = os.getppid(), multiprocessing.parent_process()
    return lambda: os.getppid() != parent or (started_by is not None and not started_by.is_alive())


def _all_consumed(status: Mapping[bytes, Any] | None) -> bool:
    """Returns whether a partition without EXPECT has no unconsumed rows."""
    return status is not None and status[b"expected"] is None and 0 < status[b"total"] == status[b"consumed"]


def _check_groups(batch_size: int, sampler: BaseSampler) -> None:
    size = sampler.n_samples_per_prompt if isinstance(sampler, GRPOGroupNSampler) else 1
    if batch_size % size:
        raise ValueError(
            f"batch_size must be a multiple of {size}, the n_samples_per_prompt of {type(sampler).__name__}, got {batch_size}"
        )
