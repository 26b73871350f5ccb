"""Fetches the next batch of a task in one round trip: the arguments of TASK.FETCH, and its reply."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeAlias, TypeVar

import torch
from tensordict import TensorDict

from sluice._calls import async_variant
from sluice._link import Arg
from sluice.arguments import Pad, Where, block, listed, name_list, padding, where_words
from sluice.columns import decode, decode_rows
from sluice.errors import RequestError
from sluice.field_schema import schema_of
from sluice.metadata import BatchMeta
from sluice.rows import RowsOf, metadata_of, ranks_differ, read_tags, refuse_eviction, rows_of, unless_missing
from sluice.samplers import BaseSampler, Choice, SequentialSampler, Word, make_sampler, server_arguments
from sluice.session import Session, current
from sluice.values import Layout, field_rows
from sluice.wire import unpacked

P = ParamSpec("P")
T = TypeVar("T")
Client = TypeVar("Client")

FieldSpec: TypeAlias = "torch.dtype | str | tuple[torch.dtype | str, Sequence[int]]"
"""A dtype, or a dtype and the shape of one row."""


@dataclass
class Fetched:
    """A batch of a task: metadata and tensors.

    metadata        the rows, with their tags and the dtypes and shapes of the fields
    data            TensorDict [rows], in the order of the metadata
    keys, tags      the keys and tags of the rows
    partition_id, task_name
    lease           the id of the lease; None if the rows are already consumed, or were kept
    weights         with a sampler that draws by weights: the probability of each row, float64 [rows]
    end             True: there are no rows, because the task has consumed all rows that will ever be made
    """

    metadata: BatchMeta
    data: TensorDict
    keys: list[str]
    tags: list[dict[str, Any]]
    partition_id: str
    task_name: str
    lease: int | None = None
    end: bool = False
    weights: torch.Tensor | None = None

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
    bound: bool = False,
    keep: bool = False,
) -> list[Arg]:
    """Returns the arguments of TASK.FETCH with these options, without FORMAT."""
    words: list[Arg] = ["TASK.FETCH", partition, task, "FIELDS", *listed("fields", name_list(fields)), "COUNT", count]
    words += ["MIN", min_rows] if min_rows is not None else []
    words += ["SAMPLER", *sampler] if sampler else []
    words += where_words(where)
    words += ["RANK", rank] if rank is not None else []
    words += ["STEP", step] if step is not None else []
    if bound and lease_s is None:
        raise ValueError("bound is an option of a lease: pass lease_s")
    words += ["LEASE", max(1, round(lease_s * 1000))] if lease_s is not None else []
    return [*words, *(["BOUND"] if bound else []), *(["KEEP"] if keep else []), *block(wait_s)]


def read_rows(reply: Mapping[bytes, Any], partition: str, task: str) -> Fetched:
    """Reads a reply of TASK.FETCH, except for its data."""
    rows = RowsOf(partition, unpacked(reply[b"rows"]).tolist(), reply[b"incarnation"])
    keys, tags, end = [str(key, "utf-8") for key in reply[b"keys"]], read_tags(reply[b"tags"]), b"end" in reply
    meta = metadata_of(rows, None, [1] * len(rows.indexes), tags)
    meta.extra_info = {"end": True} if end else {}
    data = TensorDict({}, batch_size=[len(rows.indexes)])
    weights = torch.tensor(reply[b"weights"], dtype=torch.float64) if b"weights" in reply else None
    return Fetched(meta, data, keys, tags, partition, task, reply.get(b"lease"), end, weights)


class Fetching:
    """Methods that TransferQueue's client lacks: fetching tensors with metadata, leases, and the end of the stream."""

    def __init__(self, session: Session | None = None) -> None:
        """`session` has the settings of this client; the default is the session of the process at each call."""
        self._own_session = session
        self._keeping: dict[tuple[str, str], int] = {}  # (partition, task) -> the incarnation that _refuse_eviction found

    @property
    def _session(self) -> Session:
        return self._own_session or current()

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
        bound: bool = False,
        keep: bool = False,
        dedup: bool = False,
        pad: Pad | None = None,
        layout: Layout = "auto",
    ) -> Fetched | None:
        """Returns the next batch of a task with its tensors, in one round trip. Returns None if there are too few rows.

        Args:
            fields: the fields that must be ready in the rows, and that are read.
            count: the number of rows.
            min_rows: the number of rows that is enough for a last batch, and when wait_s has passed.
            partition_id: the partition; it need not exist yet.
            task_name: each task gets each row once.
            sampler: one of the server's samplers; the default is the sampler of init.
            where: conditions on the tags of the rows, such as [("model_version", ">=", 41)].
            rank: together with `step`: the same values return the same rows.
            step: see rank.
            wait_s: how long to wait for enough rows. None means no limit.
            lease_s: leases the rows for this time. ack() consumes them; without ack() they go to other workers.
            bound: the lease also ends with the connection of this call: when this process ends, at close(), and when a
                later call over this connection times out or is cancelled.
            keep: returns rows without consuming them.
            dedup: rows that share storage are sent once.
            pad: ("left" or "right", value): ragged tensors come dense, padded with this value.
            layout: as in kv_batch_get.

        Returns `end` True, without rows, if the task has consumed all announced rows.
        Raises ValueError for your own sampler (use get_meta), for requests that the server refuses, and for pickles and
        shapes that are not allowed; the rows are then ready again, unless they are those of a step.
        """
        self._announce(partition_id)
        session = self._session
        command = fetch_words(
            partition_id,
            task_name,
            fields,
            count,
            sampler=self._server_sampler(sampler, partition_id),
            min_rows=min_rows,
            where=where,
            rank=rank,
            step=step,
            wait_s=wait_s,
            lease_s=lease_s,
            bound=bound,
            keep=keep,
        )
        call = functools.partial(
            session.wire.call, *command, "FORMAT", wait_s=wait_s, arrays=True, repeat=step is not None or keep
        )
        by_row = False
        try:
            reply = call("columns", *padding(pad, layout), *(["DICT"] if dedup else []))
        except RequestError as error:
            by_row = pad is None and ranks_differ(error)
            if not by_row:
                raise
            reply = call("rows")
        if reply is None:
            return None
        batch = read_rows(reply, partition_id, task_name)
        if not len(batch):
            return batch
        read = functools.partial(decode_rows, fields=name_list(fields)) if by_row else functools.partial(decode, rows=len(batch))
        try:
            batch.data = read(reply[b"data"], allow_pickle=session.config.allow_pickle, layout=layout)
        except BaseException:
            if step is None and not keep:  # the rows of a step may be with other members of its rank
                self.release(batch)
            raise
        batch.metadata.field_schema = schema_of(field_rows(batch.data, len(batch)))
        return batch

    def stream(self, fields: Sequence[str], count: int, partition_id: str, task_name: str, **options: Any) -> Iterator[Fetched]:
        """Yields batches until no more can come. The options are as in fetch; the default of wait_s is None (no limit).

        With lease_s, a batch is acknowledged when the loop asks for the next one.
        """
        options = {"wait_s": None} | options
        while batch := self.fetch(fields, count, partition_id, task_name, **options):
            yield batch
            if batch.lease is not None:
                self.ack(batch)

    def ack(self, batch: Fetched) -> int:
        """Consumes the rows that the lease of the batch still holds. Returns their number."""
        return self._lease("TASK.ACK", batch)

    def release(self, batch: Fetched) -> int:
        """Releases the rows of a batch, so that other workers can take them. Returns the number of released rows."""
        return self._lease("TASK.RELEASE", batch)

    def renew(self, batch: Fetched, lease_s: float) -> int:
        """Renews the lease of a batch: it expires lease_s from now. Returns the number of rows that it still holds."""
        if batch.lease is None:
            raise ValueError("the batch has no lease: pass lease_s to fetch")
        until_ms = max(1, round(lease_s * 1000))
        renew: list[Arg] = ["TASK.RENEW", batch.partition_id, batch.task_name, "LEASE", batch.lease, until_ms]
        held: int = self._session.wire.call(*renew, repeat=True)
        return held

    def _sampler(self, choice: Choice | None, partition: str) -> BaseSampler:
        """Returns the sampler of the call, else the sampler of init, else SequentialSampler."""
        return make_sampler(choice or self._session.config.sampler or SequentialSampler).of_partition(partition)

    def _server_sampler(self, choice: Choice | None, partition: str) -> list[Word]:
        """Returns the arguments of SAMPLER. Raises ValueError for a sampler that runs in the client."""
        chosen = self._sampler(choice, partition)
        words = server_arguments(chosen)
        if words is None:
            raise ValueError(f"fetch samples on the server, which has no {type(chosen).__name__}; use get_meta")
        return words

    def _announce(self, partition: str) -> None:
        """Announces the number of rows of TransferQueue's variable TQ_PRE_ALLOC_SAMPLE_NUM, if the partition has no EXPECT.

        Asks each time, because any client may clear the partition, and the next one of this name has no EXPECT.
        """
        expected = os.environ.get("TQ_PRE_ALLOC_SAMPLE_NUM")
        if expected:
            info = self._unless_missing("PARTITION.INFO", partition)
            if info is None or info[b"limits"][b"expect"] is None:
                self._session.wire.call("PARTITION.CREATE", partition, "EXPECT", expected, repeat=True)

    def _refuse_eviction(self, partition: str, task: str) -> None:
        """Raises ValueError if the server removes what this task consumes. Asks once for each incarnation of the partition."""
        if (partition, task) not in self._keeping:
            info = self._unless_missing("PARTITION.INFO", partition)
            if info is not None:
                refuse_eviction(info, partition, task)
                self._keeping[partition, task] = info[b"incarnation"]

    def _unless_missing(self, *command: Arg) -> Any:
        """Returns the reply, or None if the partition or the task does not exist."""
        return unless_missing(self._session.wire, *command)

    def _lease(self, command: str, batch: Fetched) -> int:
        if not len(batch):
            return 0
        words: list[Arg] = ["LEASE", batch.lease] if batch.lease is not None else []
        rows = rows_of(batch.metadata, batch.partition_id, range(len(batch.metadata)))
        count: int = self._session.wire.call(command, batch.partition_id, batch.task_name, *rows.words, *words)
        return count

    def create_partition(
        self,
        partition_id: str,
        *,
        expect: int | None = None,
        max_rows: int | None = None,
        max_bytes: int | None = None,
        fields: Mapping[str, FieldSpec] | None = None,
        tasks: Sequence[str] = (),
        strict: bool = False,
        autoevict: bool = False,
        ttl_s: float | None = None,
    ) -> None:
        """Makes a partition, or changes the given settings of an existing one. Optional: the first put makes a partition.

        Args:
            partition_id: the name of the partition.
            expect: the number of rows that will be made in all, so that consumers see the end. 0 removes the setting.
            max_rows: a put beyond this number of rows raises FullError, or waits for `wait_s`. 0 means no limit.
            max_bytes: the same limit for the bytes of values.
            fields: the dtype (of torch, or its name; also "utf8", "json", "bytes"), or the dtype and the shape of a row
                with -1 for a dimension that varies, such as {"ids": (torch.int64, [-1]), "text": "json"}.
            tasks: the tasks that will consume the partition.
            strict: other fields (if `fields` was given) and tasks (if `tasks` was) are errors.
            autoevict: removes a row as soon as all of `tasks` have consumed it. The rows of the last 64 steps of each
                rank stay, so that a step can be repeated (docs/streaming.md); so do leased rows until ack().
            ttl_s: removes the partition when it was not used for this time. 0 means never.
        """
        words: list[Arg] = ["PARTITION.CREATE", partition_id]
        limits = {"EXPECT": expect, "MAXROWS": max_rows, "MAXBYTES": max_bytes}
        for name, value in (limits | {"TTL": None if ttl_s is None else round(ttl_s * 1000)}).items():
            words += [] if value is None else [name, value]
        for name, spec in (fields or {}).items():
            dtype, shape = spec if isinstance(spec, tuple) else (spec, ())
            words += ["FIELD", name, str(dtype).removeprefix("torch."), *shape]
        words += ["STRICT"] if strict else []
        words += ["TASKS", *listed("tasks", list(tasks))] if tasks else []
        self._session.wire.call(*words, *(["AUTOEVICT"] if autoevict else []), repeat=True)

    def partition_info(self, partition_id: str) -> dict[str, Any]:
        """Returns PARTITION.INFO: rows, bytes, fields, tasks with their progress, limits.

        Raises ValueError if the partition does not exist.
        """
        info: dict[str, Any] = _as_text(self._session.wire.call("PARTITION.INFO", partition_id, repeat=True))
        return info

    def explain(
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
        keep: bool = False,
    ) -> str:
        """Returns why such a fetch would wait: one line per reason (TASK.EXPLAIN). The arguments are as in fetch."""
        words = self._server_sampler(sampler, partition_id)
        options = {"min_rows": min_rows, "where": where, "rank": rank, "step": step, "keep": keep}
        command = fetch_words(partition_id, task_name, fields, count, sampler=words, **options)  # type: ignore[arg-type]
        return str(self._session.wire.call("TASK.EXPLAIN", *command[1:], repeat=True), "utf-8")

    async_fetch = async_variant(fetch)
    async_ack = async_variant(ack)
    async_release = async_variant(release)
    async_renew = async_variant(renew)
    async_create_partition = async_variant(create_partition)
    async_partition_info = async_variant(partition_info)
    async_explain = async_variant(explain)


def _as_text(value: Any) -> Any:
    if isinstance(value, bytes):
        return str(value, "utf-8")
    if isinstance(value, dict):
        return {_as_text(key): _as_text(item) for key, item in value.items()}
    return [_as_text(item) for item in value] if isinstance(value, list) else value
