"""The next batch of a task in one round trip: the words of TASK.FETCH, and what its answer says."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeAlias, TypeVar

from tensordict import TensorDict

from sluice._link import Arg
from sluice.arguments import block, listed, name_list
from sluice.columns import decode
from sluice.field_schema import schema_of
from sluice.metadata import BatchMeta
from sluice.rows import read_tags
from sluice.samplers import BaseSampler, Choice, SequentialSampler, make_sampler, server_arguments
from sluice.session import current
from sluice.wire import packed, twin, unpacked

P = ParamSpec("P")
T = TypeVar("T")
Client = TypeVar("Client")

Where: TypeAlias = "Sequence[tuple[str, str, Any]]"
"""Conditions on tags, all of which must hold: (name, one of = != < <= > >= PREFIX IN, value), IN with a list."""


@dataclass
class Fetched:
    """A batch of a task: what it is, and its tensors.

    metadata        the rows, with their tags and the fields' dtypes and shapes
    data            TensorDict [rows], in the metadata's order
    keys, tags      the rows' keys and tags
    partition_id, task_name
    lease           the lease's id; None where the rows are consumed already
    end             True: no rows, for the task has consumed all that will ever be made
    """

    metadata: BatchMeta
    data: TensorDict
    keys: list[str]
    tags: list[dict[str, Any]]
    partition_id: str
    task_name: str
    lease: int | None = None
    end: bool = False

    def __len__(self) -> int:
        return len(self.keys)


def fetch_words(
    partition: str,
    task: str,
    fields: Sequence[str],
    count: int,
    *,
    sampler: Sequence[Arg] = (),
    min_rows: int | None = None,
    where: Where = (),
    rank: int | None = None,
    step: int | None = None,
    wait_s: float | None = 0.0,
    lease_s: float | None = None,
) -> list[Arg]:
    """TASK.FETCH with these options, without a format."""
    words: list[Arg] = ["TASK.FETCH", partition, task, "FIELDS", *listed("fields", name_list(fields)), "COUNT", count]
    words += ["MIN", min_rows] if min_rows is not None else []
    words += ["SAMPLER", *sampler] if sampler else []
    if where:
        words += ["WHERE", len(where)]
        for name, op, value in where:
            words += [name, op, value if isinstance(value, str) else json.dumps(value)]
    words += ["RANK", rank] if rank is not None else []
    words += ["STEP", step] if step is not None else []
    words += ["LEASE", max(1, round(lease_s * 1000))] if lease_s is not None else []
    return [*words, *block(wait_s)]


def read_rows(reply: Mapping[bytes, Any], partition: str, task: str) -> Fetched:
    """What a reply of TASK.FETCH says, but for its data."""
    rows = unpacked(reply[b"rows"]).tolist()
    keys, tags, end = [str(key, "utf-8") for key in reply[b"keys"]], read_tags(reply[b"tags"]), b"end" in reply
    info = {"end": True} if end else {}
    meta = BatchMeta(rows, [partition] * len(rows), production_status=[1] * len(rows), extra_info=info, custom_meta=tags)
    data = TensorDict({}, batch_size=[len(rows)])
    return Fetched(meta, data, keys, tags, partition, task, reply.get(b"lease"), end)


class Fetching:
    """What the client has beyond TransferQueue's: tensors with their metadata, leases, and the end of the stream."""

    def __init__(self) -> None:
        self._announced: set[str] = set()

    def fetch(
        self,
        fields: Sequence[str],
        count: int,
        partition_id: str,
        task_name: str,
        *,
        min_rows: int | None = None,
        sampler: Choice | None = None,
        where: Where = (),
        rank: int | None = None,
        step: int | None = None,
        wait_s: float | None = 0.0,
        lease_s: float | None = None,
    ) -> Fetched | None:
        """The next batch of a task with its tensors, in one round trip; None where there is not enough.

        Args:
            fields: what the rows must have, and what is read.
            count: how many rows; `min_rows` are enough for a last batch, and when wait_s is over.
            partition_id: may be one that does not exist yet.
            task_name: each task gets each row once.
            sampler: one of the server's; without it, that of init.
            where: conditions on the rows' tags, such as [("model_version", ">=", 41)].
            rank: with `step`: the same again are the same rows.
            step: see rank.
            wait_s: how long to wait for enough rows; None: as long as it takes.
            lease_s: lend the rows for so long; they are consumed by ack(), and go to others where it does not come.

        Returns `end` True, without rows, when the task has consumed all rows that were announced.
        Raises ValueError for a sampler of your own (get_meta takes it) and for what the server refuses.
        """
        self._announce(partition_id)
        session = current()
        chosen = self._sampler(sampler, partition_id)
        words = server_arguments(chosen)
        if words is None:
            raise ValueError(f"fetch samples on the server, which has no {type(chosen).__name__}; get_meta takes it")
        command = fetch_words(
            partition_id,
            task_name,
            fields,
            count,
            sampler=words,
            min_rows=min_rows,
            where=where,
            rank=rank,
            step=step,
            wait_s=wait_s,
            lease_s=lease_s,
        )
        reply = session.wire.call(*command, "FORMAT", "columns", repeat=step is not None, wait_s=wait_s)
        if reply is None:
            return None
        batch = read_rows(reply, partition_id, task_name)
        if len(batch):
            batch.data = decode(reply[b"data"], len(batch), allow_pickle=session.config.allow_pickle)
            batch.metadata.field_schema = schema_of(batch.data, len(batch))
        return batch

    def stream(self, fields: Sequence[str], count: int, partition_id: str, task_name: str, **options: Any) -> Iterator[Fetched]:
        """Batch after batch, until no more can come; options as in fetch, which waits here as long as it takes.

        With lease_s a batch is acknowledged when the loop comes back for the next.
        """
        options = {"wait_s": None} | options
        while batch := self.fetch(fields, count, partition_id, task_name, **options):
            yield batch
            if batch.lease is not None:
                self.ack(batch)

    def ack(self, batch: Fetched) -> int:
        """Consumes the rows of a batch's lease. Returns how many; others have gone on to somebody else."""
        return self._lease("TASK.ACK", batch)

    def release(self, batch: Fetched) -> int:
        """Gives the rows of a batch back, for others to take. Returns how many it still had."""
        return self._lease("TASK.RELEASE", batch)

    def renew(self, batch: Fetched, lease_s: float) -> int:
        """Lets a batch's lease last lease_s from now. Returns how many rows it still has."""
        if batch.lease is None:
            raise ValueError("the batch has no lease: fetch it with lease_s")
        until_ms = max(1, round(lease_s * 1000))
        renew: list[Arg] = ["TASK.RENEW", batch.partition_id, batch.task_name, "LEASE", batch.lease, until_ms]
        held: int = current().wire.call(*renew, repeat=True)
        return held

    def _sampler(self, choice: Choice | None, partition: str) -> BaseSampler:
        """That of the call, else that of init, else the rows in their order."""
        return make_sampler(choice or current().config.sampler or SequentialSampler).of_partition(partition)

    def _announce(self, partition: str) -> None:
        """Tells the server once how many rows will come, where TransferQueue's variable says so."""
        expected = os.environ.get("TQ_PRE_ALLOC_SAMPLE_NUM")
        if expected and partition not in self._announced:
            current().wire.call("PARTITION.CREATE", partition, "EXPECT", expected, repeat=True)
            self._announced.add(partition)

    def _lease(self, command: str, batch: Fetched) -> int:
        if not len(batch):
            return 0
        words: list[Arg] = ["LEASE", batch.lease] if batch.lease is not None else []
        rows = packed(batch.metadata.global_indexes)
        count: int = current().wire.call(command, batch.partition_id, batch.task_name, "ROWS", rows, *words)
        return count

    async_fetch = twin(fetch)
    async_ack = twin(ack)
    async_release = twin(release)
    async_renew = twin(renew)
