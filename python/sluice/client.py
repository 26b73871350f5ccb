"""The metadata client: batches by row indexes, as TransferQueue's client has them, and fetch(), in one round trip.

Every method has a twin for asyncio, `async_` and its name, with the same arguments and meaning.

Errors, of all of them: ValueError where something that was named is missing, not ready, or does not fit (RequestError
where the server says so); ConnectionLost, Unconfirmed and CallTimeout from the connection; NotInitialized without one.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase

from sluice._link import Arg
from sluice.arguments import DataParser, block, listed, name_list, parsed, tag_texts, utf8_fields
from sluice.columns import decode, encode
from sluice.errors import CallTimeout, RequestError, ServerError
from sluice.fetching import Fetching, fetch_words, read_rows
from sluice.field_schema import schema_of
from sluice.kv import kv_list
from sluice.metadata import BatchMeta
from sluice.own_sampler import OwnSampler
from sluice.rows import checked, describe, describe_all, in_order, listing, positions_by_partition, rows_of, schema_of_stored
from sluice.samplers import BaseSampler, server_arguments
from sluice.session import current
from sluice.wire import lines, packed, twin, unpacked

Columns = TensorDictBase | Mapping[str, Any]
Status = tuple[torch.Tensor | None, torch.Tensor | None]


class TransferQueueClient(Fetching):
    """Batches of rows by index, over this process's connection (`init`). Any thread and event loop may use one.

    Where TQ_PRE_ALLOC_SAMPLE_NUM is set, each partition is told before its first use that so many rows will come.
    """

    # --- batches

    def get_meta(
        self,
        data_fields: Sequence[str],
        batch_size: int,
        partition_id: str,
        mode: str = "fetch",
        task_name: str | None = None,
        sampling_config: Mapping[str, Any] | None = None,
    ) -> BatchMeta:
        """The metadata of a batch.

        mode "fetch": takes `batch_size` rows in which all of data_fields are ready and which this task has not had, by
        the sampler. `sampling_config` may have `dp_rank` and `batch_index` (the same again are the same rows) and
        `sampler` (for this call; else that of init). With too few rows: in polling mode an empty batch, else it waits
        up to the time-out. An empty batch with extra_info {"end": True} means that no such batch can come any more.
        mode "force_fetch": all rows of the partition, ready or not (production_status), consumed or not.
        mode "insert": makes `batch_size` rows, without data.

        Raises ValueError for another mode, "fetch" without task_name, what the sampler refuses; CallTimeout.
        """
        self._announce(partition_id)
        fields = name_list(data_fields)
        if mode == "insert":
            return self._insert(partition_id, batch_size)
        if mode == "force_fetch":
            return describe_all(current().wire, partition_id, fields, ["FIELDS", *listed("data_fields", fields)])
        if mode != "fetch":
            raise ValueError(f"mode is 'fetch', 'force_fetch' or 'insert', not {mode!r}")
        if task_name is None:
            raise ValueError("mode 'fetch' needs a task_name")
        # TransferQueue's loaders name these two once more.
        config = {name: value for name, value in (sampling_config or {}).items() if name not in ("partition_id", "task_name")}
        return self._take(fields, batch_size, partition_id, task_name, config)

    def put(
        self,
        data: TensorDictBase,
        metadata: BatchMeta | None = None,
        partition_id: str | None = None,
        data_parser: DataParser | None = None,
        *,
        wait_s: float | None = 0.0,
    ) -> BatchMeta:
        """Writes a TensorDict [n] and, with metadata, its custom_meta as tags, and returns its metadata, all ready.

        With `metadata` into those n rows, each partition's at once; without, into new rows of partition_id.
        `data_parser` and `wait_s` are as in kv_batch_put. The fields are added to `metadata`, which is returned.

        Raises ValueError with neither, with numbers of rows that differ, and for rows that are gone or named twice.
        """
        rows = data.batch_size[0] if data.batch_size else 0
        if metadata is None and partition_id is None:
            raise ValueError("put needs metadata, or a partition_id")
        if rows == 0 or (metadata is not None and metadata.size != rows):
            expected = "rows" if metadata is None else f"the metadata's {metadata.size} rows"
            raise ValueError(f"the data have batch_size {list(data.batch_size)}, and {expected} are needed")
        values = data if data_parser is None else parsed(data, rows, data_parser)
        if metadata is None:
            metadata = self._put_new(values, rows, str(partition_id), wait_s)
        else:
            self._put_into(metadata, values, wait_s)
        metadata.field_schema.update(schema_of(values, rows))
        metadata.production_status = np.ones(rows, np.int8)
        return metadata

    def get_data(self, metadata: BatchMeta) -> TensorDict:
        """The metadata's fields of its rows, a TensorDict [n] in the metadata's order; values as in kv_batch_get.

        Raises ValueError for a row that is gone, and for a field that is not ready; it names both.
        """
        if not metadata.size or not metadata.field_schema:
            return TensorDict({}, batch_size=[metadata.size])
        session = current()
        parts = positions_by_partition(metadata)
        fields = ["FIELDS", *listed("fields", list(metadata.field_schema))]
        gets = [["KV.MGET", name, "ROWS", _rows(metadata, positions), *fields] for name, positions in parts.items()]
        replies = [checked(reply) for reply in session.wire.pipeline(*gets, repeat=True)]
        data = [
            decode(reply, len(positions), allow_pickle=session.config.allow_pickle)
            for reply, positions in zip(replies, parts.values(), strict=True)
        ]
        return data[0] if len(data) == 1 else in_order(data, [i for positions in parts.values() for i in positions])

    def set_custom_meta(self, metadata: BatchMeta) -> None:
        """Merges the metadata's custom_meta into its rows' tags. Raises ValueError for a row that is gone."""
        for name, positions in positions_by_partition(metadata).items():
            current().wire.call(*self._write(metadata, name, positions))

    def clear_samples(self, metadata: BatchMeta) -> None:
        """Removes the metadata's rows. One that is not there is no error: it is gone."""
        for name, positions in positions_by_partition(metadata).items():
            current().wire.call("KV.CLEAR", name, "ROWS", _rows(metadata, positions), repeat=True)

    def clear_partition(self, partition_id: str) -> None:
        """Removes a partition with all its rows, tasks and limits."""
        session = current()
        session.wire.call("KV.CLEAR", partition_id)
        self._announced.discard(partition_id)
        if session.config.sampler is not None:
            session.config.sampler.clear_cache(partition_id)

    # --- how far it is

    def get_production_status(self, data_fields: Sequence[str], partition_id: str) -> Status:
        """Each row's index (int64, [rows]), and 1 where all of data_fields are ready, else 0 (int8, [rows]).

        (None, None) for a partition that does not exist.
        """
        reply = self._unless_missing("PARTITION.READY", partition_id, "FIELDS", *listed("data_fields", name_list(data_fields)))
        return (None, None) if reply is None else _status(*reply)

    def check_production_status(self, data_fields: Sequence[str], partition_id: str) -> bool:
        """Whether all rows that are expected were made, at least one, and those that are there have all of data_fields."""
        _, ready = self.get_production_status(data_fields, partition_id)
        return ready is not None and bool(ready.all()) and self._complete(partition_id)

    def get_consumption_status(self, task_name: str, partition_id: str) -> Status:
        """Each row's index (int64, [rows]), and 1 where the task has consumed it, else 0 (int8, [rows]).

        (None, None) for a partition that does not exist. A task that has not asked for anything has consumed nothing.
        """
        reply = self._unless_missing("TASK.STATUS", partition_id, task_name, "BITMAP")
        if reply is not None:
            return _status(reply[b"rows"], reply[b"consumed_rows"])
        rows = [row["index"] for row in listing(current().wire, partition_id)]
        if not rows and partition_id not in self.get_partition_list():
            return None, None
        return torch.tensor(rows, dtype=torch.int64), torch.zeros(len(rows), dtype=torch.int8)

    def check_consumption_status(self, task_name: str, partition_id: str) -> bool:
        """Whether all rows that are expected were made, at least one, and this task has consumed all that are there."""
        _, consumed = self.get_consumption_status(task_name, partition_id)
        return consumed is not None and bool(consumed.all()) and self._complete(partition_id)

    def reset_consumption(self, partition_id: str, task_name: str | None = None) -> bool:
        """Lets a task, or all, consume the partition's rows anew. True. Raises ValueError without the partition."""
        current().wire.call("TASK.RESET", partition_id, *([task_name] if task_name is not None else []))
        return True

    def get_partition_list(self) -> list[str]:
        """The names of all partitions."""
        return [str(name, "utf-8") for name in current().wire.call("PARTITION.LIST", repeat=True)]

    # --- by key

    def kv_retrieve_meta(self, keys: Sequence[str] | str, partition_id: str, create: bool = False) -> BatchMeta:
        """The metadata of these keys, with the fields that all of them have.

        With `create`, rows are made for keys that are not there; without, they are a ValueError that names them.
        """
        names = [keys] if isinstance(keys, str) else list(keys)
        if create:
            self._announce(partition_id)
            _, indexes = current().wire.call("KV.MPUT", partition_id, "KEYS", *listed("keys", names))
            return describe(current().wire, partition_id, unpacked(indexes).tolist(), None)
        index_of = {row["key"]: row["index"] for row in listing(current().wire, partition_id)}
        missing = [name for name in names if name not in index_of]
        if missing:
            raise RequestError("NOKEY", f"partition '{partition_id}' has no rows {missing}")
        return describe(current().wire, partition_id, [index_of[name] for name in names], None)

    def kv_retrieve_keys(self, global_indexes: Sequence[int] | int, partition_id: str) -> list[str]:
        """The keys of these rows. Raises ValueError for rows that are not there; it names them."""
        rows = [global_indexes] if isinstance(global_indexes, int) else list(global_indexes)
        key_of = {row["index"]: row["key"] for row in listing(current().wire, partition_id)}
        missing = [row for row in rows if row not in key_of]
        if missing:
            raise RequestError("NOKEY", f"partition '{partition_id}' has no rows with indexes {missing}")
        return [key_of[row] for row in rows]

    def kv_list(self, partition_id: str | None = None) -> dict[str, dict[str, dict[str, Any]]]:
        """Keys and tags: {partition: {key: tag}}, of one partition or of all."""
        return kv_list(partition_id)

    # --- what they share

    def _take(self, fields: Sequence[str], count: int, partition: str, task: str, config: dict[str, Any]) -> BatchMeta:
        session = current()
        sampler = self._sampler(config.pop("sampler", None), partition)
        wait_s = 0.0 if session.config.polling_mode else session.config.timeout_s
        words = server_arguments(sampler)
        if words is None:
            sampled = self._sample_here(sampler, fields, count, partition, task, config, wait_s)
            return self._nothing(fetch_words(partition, task, fields, count), ended=False) if sampled is None else sampled
        unknown = sorted(config.keys() - {"dp_rank", "batch_index"})
        if unknown:
            raise ValueError(f"sampling_config has {unknown}; it takes dp_rank, batch_index and sampler")
        rank, step = config.get("dp_rank"), config.get("batch_index")
        command = functools.partial(fetch_words, partition, task, fields, count, sampler=words, rank=rank, step=step)
        asked = time.monotonic()
        reply, described = session.wire.pipeline(
            command(wait_s=wait_s), ["KV.FIELDS", partition], repeat=step is not None, wait_s=wait_s
        )
        if checked(reply) is None:
            # Before its time: EXPECT says that enough can never come.
            return self._nothing(command(), ended=time.monotonic() - asked < wait_s * 0.9)
        metadata = read_rows(reply, partition, task).metadata
        if metadata:
            metadata.field_schema = schema_of_stored(session.wire, partition, metadata.global_indexes, fields, described)
        return metadata

    def _sample_here(
        self,
        sampler: BaseSampler,
        fields: Sequence[str],
        count: int,
        partition: str,
        task: str,
        config: Mapping[str, Any],
        wait_s: float,
    ) -> BatchMeta | None:
        """A batch by a sampler that is none of the server's; None where it samples nothing within wait_s."""
        wire = current().wire
        rows = OwnSampler(wire, sampler, partition, task, fields).take(count, config, wait_s)
        if rows is None:
            return BatchMeta.empty({"end": True})
        return describe(wire, partition, rows, fields) if rows else None

    def _nothing(self, fetch: Sequence[Arg], *, ended: bool) -> BatchMeta:
        """The answer where a fetch found too few rows."""
        session = current()
        if ended:
            return BatchMeta.empty({"end": True})
        if session.config.polling_mode:
            return BatchMeta.empty()
        [why] = session.wire.pipeline(["TASK.EXPLAIN", *fetch[1:]], repeat=True)
        why = str(why) if isinstance(why, ServerError) else str(why, "utf-8")
        raise CallTimeout(f"too few rows for task '{fetch[2]!s}' within {session.config.timeout_s:g} s: {why}")

    def _put_new(self, columns: Columns, rows: int, partition: str, wait_s: float | None) -> BatchMeta:
        self._announce(partition)
        _, indexes = self._mput(["KV.MPUT", partition, "NEW", rows], columns, rows, wait_s)
        return BatchMeta(unpacked(indexes).tolist(), [partition] * rows)

    def _put_into(self, metadata: BatchMeta, columns: Columns, wait_s: float | None) -> None:
        for partition, positions in positions_by_partition(metadata).items():
            part = columns if len(positions) == len(metadata) else rows_of(columns, len(metadata), positions)
            self._mput(self._write(metadata, partition, positions), part, len(positions), wait_s)

    def _mput(self, put: Sequence[Arg], columns: Columns, rows: int, wait_s: float | None) -> Any:
        """KV.MPUT of these columns; text goes as utf8 where somebody else has made a field so."""
        session = current()
        encoded = functools.partial(encode, columns, rows, allow_pickle=session.config.allow_pickle)
        try:
            return session.wire.call(*put, *block(wait_s), *encoded(), wait_s=wait_s)
        except RequestError as error:
            utf8 = utf8_fields(str(put[1]), columns) if error.code == "DTYPE" else set()
            if not utf8:
                raise
        return session.wire.call(*put, *block(wait_s), *encoded(utf8=utf8), wait_s=wait_s)

    def _insert(self, partition: str, rows: int) -> BatchMeta:
        _, indexes = current().wire.call("KV.MPUT", partition, "NEW", rows)
        return BatchMeta(unpacked(indexes).tolist(), [partition] * rows)

    def _complete(self, partition: str) -> bool:
        """Whether as many rows were made as will come, where that is known, and any."""
        info = self._unless_missing("PARTITION.INFO", partition)
        return info is not None and info[b"made"] >= max(1, info[b"limits"][b"expect"] or 0)

    def _unless_missing(self, *command: Arg) -> Any:
        """A reply; None where the partition or the task does not exist."""
        [reply] = current().wire.pipeline(command, repeat=True)
        if isinstance(reply, RequestError) and reply.code in ("NOPARTITION", "NOTASK"):
            return None
        return checked(reply)

    def _write(self, metadata: BatchMeta, partition: str, positions: Sequence[int]) -> list[Arg]:
        rows = [str(metadata.global_indexes[i]) for i in positions]
        tags = lines(tag_texts(rows, [metadata.custom_meta[i] for i in positions]))
        return ["KV.MPUT", partition, "ROWS", _rows(metadata, positions), "TAGS", *tags]

    async_get_meta = twin(get_meta)
    async_put = twin(put)
    async_get_data = twin(get_data)
    async_set_custom_meta = twin(set_custom_meta)
    async_clear_samples = twin(clear_samples)
    async_clear_partition = twin(clear_partition)
    async_get_production_status = twin(get_production_status)
    async_check_production_status = twin(check_production_status)
    async_get_consumption_status = twin(get_consumption_status)
    async_check_consumption_status = twin(check_consumption_status)
    async_reset_consumption = twin(reset_consumption)
    async_get_partition_list = twin(get_partition_list)
    async_kv_retrieve_meta = twin(kv_retrieve_meta)
    async_kv_retrieve_keys = twin(kv_retrieve_keys)
    async_kv_list = twin(kv_list)


AsyncTransferQueueClient = TransferQueueClient
"""TransferQueue has two; here one has both kinds of methods."""


def get_client() -> TransferQueueClient:
    """A client over this process's connection. Raises NotInitialized without one."""
    current()
    return TransferQueueClient()


def _rows(metadata: BatchMeta, positions: Sequence[int]) -> memoryview:
    return packed([metadata.global_indexes[i] for i in positions])


def _status(rows: Any, ones: Any) -> Status:
    return torch.from_numpy(unpacked(rows)), torch.from_numpy(np.frombuffer(ones, np.int8).copy())
