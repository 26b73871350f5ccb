"""The metadata client: batches by row index, as in TransferQueue's client, and fetch(), which needs one round trip.

Every method has an async variant: `async_` and its name, with the same arguments and meaning.

Errors of all methods: ValueError if a name is missing or not ready, or an argument does not fit (RequestError if the
server reports it); ConnectionLost, Unconfirmed and CallTimeout from the connection; NotInitialized without one.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase

from sluice._calls import async_variant
from sluice._link import Arg
from sluice.arguments import (
    DataParser,
    Pad,
    Tag,
    Where,
    block,
    listed,
    name_list,
    padding,
    parsed,
    put_columns,
    selection,
    tag_texts,
)
from sluice.columns import encode
from sluice.errors import CallTimeout, RequestError, ServerError
from sluice.fetching import Fetching, fetch_words, read_rows
from sluice.field_schema import schema_of
from sluice.metadata import BatchMeta
from sluice.own_sampler import OwnSampler
from sluice.rows import (
    RowsOf,
    checked,
    describe,
    describe_all,
    in_order,
    incarnation_of,
    listing,
    look_for,
    metadata_of,
    positions_by_partition,
    read,
    rows_of,
    schema_of_stored,
    tags_of_partitions,
    written_rows,
)
from sluice.samplers import BaseSampler, server_arguments
from sluice.session import current
from sluice.values import Layout, Rows, field_rows, some_rows
from sluice.wire import lines, unpacked

Status = tuple[torch.Tensor | None, torch.Tensor | None]


class TransferQueueClient(Fetching):
    """Batches of rows by index, over the connection of this process (`init`).

    If TQ_PRE_ALLOC_SAMPLE_NUM is set, the client announces this number of rows before it uses a partition without EXPECT.

    Thread safety: any thread and any event loop.
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
        """Returns the metadata of a batch.

        mode "fetch": takes `batch_size` rows in which all of data_fields are ready and which this task has not taken
        yet. The sampler chooses the rows. `sampling_config` may have `dp_rank` and `batch_index` (the same values
        return the same rows), and `sampler` (for this call; the default is the sampler of init). If there are too few
        rows, polling mode returns an empty batch; otherwise the call waits up to the time-out. An empty batch with
        extra_info {"end": True} means that no such batch can come any more.
        mode "force_fetch": returns all rows of the partition, ready or not (production_status), consumed or not.
        mode "insert": makes `batch_size` rows without data.

        Raises ValueError for another mode, for "fetch" without task_name, and for arguments that the sampler refuses;
        CallTimeout.
        """
        self._announce(partition_id)
        fields = name_list(data_fields)
        if mode == "insert":
            put: list[Arg] = ["KV.MPUT", partition_id, "NEW", batch_size, "RETURN", "INCARNATION"]
            return metadata_of(written_rows(partition_id, self._session.wire.call(*put)), None, None, None)
        if mode == "force_fetch":
            return describe_all(self._session.wire, partition_id, fields, ["FIELDS", *listed("data_fields", fields)])
        if mode != "fetch":
            raise ValueError(f"mode must be 'fetch', 'force_fetch' or 'insert', got {mode!r}")
        if task_name is None:
            raise ValueError("mode 'fetch' needs a task_name")
        # TransferQueue's loaders pass these two here as well.
        config = {name: value for name, value in (sampling_config or {}).items() if name not in ("partition_id", "task_name")}
        return self._take(fields, batch_size, partition_id, task_name, config)

    def put(
        self,
        data: TensorDictBase,
        metadata: BatchMeta | None = None,
        partition_id: str | None = None,
        data_parser: DataParser | None = None,
        *,
        tags: Sequence[Tag] | None = None,
        dedup: bool = False,
        wait_s: float | None = 0.0,
    ) -> BatchMeta:
        """Writes a TensorDict [n] and returns its metadata, with all rows ready.

        With `metadata`, writes into its n rows, and merges its custom_meta into their tags. The fields are added to
        `metadata`, which is returned. The rows of one partition are written in one step, one partition after another: if
        a later one is full, or has a field of another dtype, the earlier ones stay written. Without `metadata`, writes
        into new rows of partition_id, with these `tags`. `data_parser`, `dedup` and `wait_s` are as in kv_batch_put.

        Raises ValueError with neither of the two, for different numbers of rows, for rows that do not exist or are
        named twice, and for tags beside metadata. All values and rows are checked before the first row is written.
        """
        rows = data.batch_size[0] if data.batch_size else 0
        if metadata is None and partition_id is None:
            raise ValueError("put needs metadata or a partition_id")
        if metadata is not None and tags is not None:
            raise ValueError("the tags of existing rows are the custom_meta of the metadata")
        if rows == 0 or (metadata is not None and metadata.size != rows):
            expected = "at least one row" if metadata is None else f"the {metadata.size} rows of the metadata"
            raise ValueError(f"the data have batch_size {list(data.batch_size)}, expected {expected}")
        fields = field_rows(data if data_parser is None else parsed(data, rows, data_parser), rows)
        schema = schema_of(fields)
        if metadata is None:
            metadata = self._put_new(fields, rows, str(partition_id), tags, dedup, wait_s)
        else:
            self._put_into(metadata, fields, dedup, wait_s)
        metadata.field_schema.update(schema)
        metadata.production_status = np.ones(rows, np.int8)
        return metadata

    def get_data(
        self, metadata: BatchMeta, *, dedup: bool = False, pad: Pad | None = None, layout: Layout = "auto"
    ) -> TensorDict:
        """Reads the fields and rows of the metadata: a TensorDict [n] in its order. Values and options are as in kv_batch_get.

        Raises ValueError for a row that does not exist, and for a field that is not ready; the text names them.
        """
        if not metadata.size or not metadata.field_schema:
            return TensorDict({}, batch_size=[metadata.size])
        parts = positions_by_partition(metadata)
        fields = list(metadata.field_schema)
        words = ["FIELDS", *listed("fields", fields), *padding(pad, layout), *(["DICT"] if dedup else [])]
        gets = [["KV.MGET", name, *rows_of(metadata, name, positions).words, *words] for name, positions in parts.items()]
        replies = self._session.wire.pipeline(*gets, repeat=True, arrays=True)
        read_part = functools.partial(read, self._session.wire, fields=fields, allow_pickle=self._session.config.allow_pickle)
        if len(parts) == 1:
            return read_part(gets[0], replies[0], rows=len(metadata), layout=layout)
        data = [read_part(get, reply, rows=len(rows)) for get, reply, rows in zip(gets, replies, parts.values(), strict=True)]
        return in_order(data, [i for positions in parts.values() for i in positions], layout)

    def set_custom_meta(self, metadata: BatchMeta) -> None:
        """Merges custom_meta into the tags of the rows. Raises ValueError for a row that does not exist."""
        for write in [self._write(metadata, name, rows) for name, rows in positions_by_partition(metadata).items()]:
            self._session.wire.call(*write)

    def clear_samples(self, metadata: BatchMeta, *, select_fields: Sequence[str] | str | None = None) -> None:
        """Removes the rows of the metadata, or only these fields of the rows. Rows that do not exist are ignored."""
        words = selection(None, (), select_fields)
        for name, positions in positions_by_partition(metadata).items():
            self._session.wire.call("KV.CLEAR", name, *rows_of(metadata, name, positions).words, *words, repeat=True)

    def clear_partition(self, partition_id: str) -> None:
        """Removes a partition with all its rows, tasks and limits."""
        self._session.wire.call("KV.CLEAR", partition_id)
        if (sampler := self._session.config.sampler) is not None:
            sampler.clear_cache(partition_id)

    # --- progress

    def get_production_status(self, data_fields: Sequence[str], partition_id: str) -> Status:
        """Returns the row indexes (int64, [rows]), and for each row 1 if all of data_fields are ready, else 0 (int8, [rows]).

        Returns (None, None) for a partition that does not exist.
        """
        reply = self._unless_missing("PARTITION.READY", partition_id, "FIELDS", *listed("data_fields", name_list(data_fields)))
        return (None, None) if reply is None else _status(*reply)

    def check_production_status(self, data_fields: Sequence[str], partition_id: str) -> bool:
        """Returns whether all expected rows were made, at least one, and all of data_fields are ready in the existing rows."""
        _, ready = self.get_production_status(data_fields, partition_id)
        return ready is not None and bool(ready.all()) and self._complete(partition_id)

    def get_consumption_status(self, task_name: str, partition_id: str) -> Status:
        """Returns the row indexes (int64, [rows]), and for each row 1 if the task has consumed it, else 0 (int8, [rows]).

        Returns (None, None) for a partition that does not exist. A task without a fetch has consumed nothing.
        """
        reply = self._unless_missing("TASK.STATUS", partition_id, task_name, "BITMAP")
        if reply is not None:
            return _status(reply[b"rows"], reply[b"consumed_rows"])
        rows = [row["index"] for row in listing(self._session.wire, partition_id)]
        if not rows and partition_id not in self.get_partition_list():
            return None, None
        return torch.tensor(rows, dtype=torch.int64), torch.zeros(len(rows), dtype=torch.int8)

    def check_consumption_status(self, task_name: str, partition_id: str) -> bool:
        """Returns whether all expected rows were made, at least one, and this task has consumed all existing rows."""
        _, consumed = self.get_consumption_status(task_name, partition_id)
        return consumed is not None and bool(consumed.all()) and self._complete(partition_id)

    def reset_consumption(self, partition_id: str, task_name: str | None = None) -> bool:
        """Makes the rows ready again for one task or all tasks. Returns True.

        Raises ValueError if the partition does not exist.
        """
        self._session.wire.call("TASK.RESET", partition_id, *([task_name] if task_name is not None else []))
        return True

    def get_partition_list(self) -> list[str]:
        """Returns the names of all partitions."""
        return [str(name, "utf-8") for name in self._session.wire.call("PARTITION.LIST", repeat=True)]

    # --- by key

    def kv_retrieve_meta(self, keys: Sequence[str] | str, partition_id: str, create: bool = False) -> BatchMeta:
        """Returns the metadata of these keys, with the fields that all of them have.

        With `create`, makes rows for keys that do not exist. Without `create`, such keys raise ValueError.
        """
        names = [keys] if isinstance(keys, str) else list(keys)
        if create:
            self._announce(partition_id)
            put = ["KV.MPUT", partition_id, "KEYS", *listed("keys", names), "RETURN", "INCARNATION"]
            return describe(self._session.wire, written_rows(partition_id, self._session.wire.call(*put)), None)
        incarnation = incarnation_of(self._session.wire, partition_id)
        index_of = {row["key"]: row["index"] for row in listing(self._session.wire, partition_id)}
        missing = [name for name in names if name not in index_of]
        if missing:
            raise RequestError("NOKEY", f"partition '{partition_id}' has no rows {missing}")
        rows = RowsOf(partition_id, [index_of[name] for name in names], incarnation)
        return describe(self._session.wire, rows, None)

    def kv_retrieve_keys(self, global_indexes: Sequence[int] | int, partition_id: str) -> list[str]:
        """Returns the keys of these rows. Raises ValueError for rows that do not exist; the text names them."""
        rows = [global_indexes] if isinstance(global_indexes, int) else list(global_indexes)
        key_of = {row["index"]: row["key"] for row in listing(self._session.wire, partition_id)}
        missing = [row for row in rows if row not in key_of]
        if missing:
            raise RequestError("NOKEY", f"partition '{partition_id}' has no rows with indexes {missing}")
        return [key_of[row] for row in rows]

    def kv_list(
        self,
        partition_id: str | None = None,
        *,
        match: str | None = None,
        where: Where = (),
        select_fields: Sequence[str] | str | None = None,
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """Returns {partition: {key: tag}}. The arguments are as in sluice.kv_list."""
        return tags_of_partitions(self._session.wire, partition_id, selection(match, where, select_fields))

    # --- helpers

    def _take(self, fields: Sequence[str], count: int, partition: str, task: str, config: dict[str, Any]) -> BatchMeta:
        session = self._session
        sampler = self._sampler(config.pop("sampler", None), partition)
        wait_s = 0.0 if session.config.polling_mode else session.config.timeout_s
        words = server_arguments(sampler)
        if words is None:
            sampled = self._sample_here(sampler, fields, count, partition, task, config, wait_s)
            return self._nothing(fetch_words(partition, task, fields, count), ended=False) if sampled is None else sampled
        unknown = sorted(config.keys() - {"dp_rank", "batch_index"})
        if unknown:
            raise ValueError(f"sampling_config has unknown names {unknown}; known are dp_rank, batch_index and sampler")
        rank, step = config.get("dp_rank"), config.get("batch_index")
        if rank is None:
            self._refuse_eviction(partition, task)
        command = functools.partial(fetch_words, partition, task, fields, count, sampler=words, rank=rank, step=step)
        asked = time.monotonic()
        reply, described = session.wire.pipeline(
            command(wait_s=wait_s), ["KV.FIELDS", partition], repeat=step is not None, wait_s=wait_s
        )
        if checked(reply) is None:
            # nil before the time-out: EXPECT says that there can never be enough rows.
            return self._nothing(command(), ended=time.monotonic() - asked < wait_s * 0.9)
        metadata = read_rows(reply, partition, task).metadata
        if metadata:
            rows = rows_of(metadata, partition, range(len(metadata)))
            if self._keeping.get((partition, task)) != rows.incarnation:
                self._keeping.pop((partition, task), None)  # the partition was made again since: ask again
            metadata.field_schema = schema_of_stored(session.wire, rows, fields, described)
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
        """Returns a batch by a sampler that the server does not have. Returns None if it samples nothing within wait_s."""
        wire = self._session.wire
        own = OwnSampler(wire, sampler, partition, task, fields)
        rows = own.take(count, config, wait_s)
        if rows is None:
            return BatchMeta.empty({"end": True})
        return describe(wire, RowsOf(partition, rows, own.incarnation), fields) if rows else None

    def _nothing(self, fetch: Sequence[Arg], *, ended: bool) -> BatchMeta:
        """Returns or raises the result of a fetch that found too few rows."""
        session = self._session
        if ended:
            return BatchMeta.empty({"end": True})
        if session.config.polling_mode:
            return BatchMeta.empty()
        [why] = session.wire.pipeline(["TASK.EXPLAIN", *fetch[1:]], repeat=True)
        why = str(why) if isinstance(why, ServerError) else str(why, "utf-8")
        raise CallTimeout(f"too few rows for task '{fetch[2]!s}' within {session.config.timeout_s:g} s: {why}")

    def _put_new(
        self, fields: Mapping[str, Rows], rows: int, partition: str, tags: Sequence[Tag] | None, dedup: bool, wait_s: float | None
    ) -> BatchMeta:
        texts = [] if tags is None else ["TAGS", *lines(tag_texts([f"row {i}" for i in range(rows)], tags))]
        put: list[Arg] = ["KV.MPUT", partition, "NEW", rows, *block(wait_s), "RETURN", "INCARNATION", *texts]
        encoded = self._encoder(fields, rows, dedup)
        columns = encoded()
        self._announce(partition)
        written = put_columns(self._session.wire, put, fields, encoded, columns, wait_s)
        return metadata_of(written_rows(partition, written), None, None, tags)

    def _put_into(self, metadata: BatchMeta, fields: Mapping[str, Rows], dedup: bool, wait_s: float | None) -> None:
        puts, parts = [], positions_by_partition(metadata)
        for partition, positions in parts.items():
            whole = len(positions) == len(metadata)
            part = fields if whole else {name: some_rows(rows, positions) for name, rows in fields.items()}
            encoded = self._encoder(part, len(positions), dedup)
            puts.append((self._write(metadata, partition, positions, wait_s), part, encoded, encoded()))
        if len(parts) > 1:
            look_for(self._session.wire, [rows_of(metadata, name, positions) for name, positions in parts.items()])
        for put in puts:
            put_columns(self._session.wire, *put, wait_s)

    def _encoder(self, fields: Mapping[str, Rows], rows: int, dedup: bool) -> Callable[..., list[Arg]]:
        return functools.partial(encode, fields, rows, allow_pickle=self._session.config.allow_pickle, dedup=dedup)

    def _complete(self, partition: str) -> bool:
        """Returns whether at least one row was made, and all rows that EXPECT announced, if it did."""
        info = self._unless_missing("PARTITION.INFO", partition)
        return info is not None and info[b"made"] >= max(1, info[b"limits"][b"expect"] or 0)

    def _write(self, metadata: BatchMeta, partition: str, positions: Sequence[int], wait_s: float | None = 0.0) -> list[Arg]:
        rows = [str(metadata.global_indexes[i]) for i in positions]
        tags = lines(tag_texts(rows, [metadata.custom_meta[i] for i in positions]))
        return ["KV.MPUT", partition, *rows_of(metadata, partition, positions).words, *block(wait_s), "TAGS", *tags]

    async_get_meta = async_variant(get_meta)
    async_put = async_variant(put)
    async_get_data = async_variant(get_data)
    async_set_custom_meta = async_variant(set_custom_meta)
    async_clear_samples = async_variant(clear_samples)
    async_clear_partition = async_variant(clear_partition)
    async_get_production_status = async_variant(get_production_status)
    async_check_production_status = async_variant(check_production_status)
    async_get_consumption_status = async_variant(get_consumption_status)
    async_check_consumption_status = async_variant(check_consumption_status)
    async_reset_consumption = async_variant(reset_consumption)
    async_get_partition_list = async_variant(get_partition_list)
    async_kv_retrieve_meta = async_variant(kv_retrieve_meta)
    async_kv_retrieve_keys = async_variant(kv_retrieve_keys)
    async_kv_list = async_variant(kv_list)


AsyncTransferQueueClient = TransferQueueClient
"""TransferQueue has two classes. In Sluice one class has both kinds of methods."""


def get_client() -> TransferQueueClient:
    """Returns a client over the connection of this process. Raises NotInitialized without one."""
    current()
    return TransferQueueClient()


def _status(rows: Any, ones: Any) -> Status:
    return torch.from_numpy(unpacked(rows)), torch.from_numpy(np.frombuffer(ones, np.int8).copy())
