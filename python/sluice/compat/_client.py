"""The metadata client of TransferQueue, over that of sluice."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tensordict import NonTensorStack, TensorDict, TensorDictBase

from sluice import client
from sluice import metadata as strict
from sluice._calls import async_variant
from sluice.arguments import DataParser, name_list, parsed
from sluice.client import Status
from sluice.compat import _job
from sluice.compat._metadata import BatchMeta
from sluice.compat._mixed import put_fitting, unmixed
from sluice.compat._samplers import (
    BUDGET_NAMES,
    ROWS_MAX,
    GRPOGroupNSampler,
    RankAwareSampler,
    SeqlenBalancedSampler,
    SequentialSampler,
    StreamingTokenBudgetSampler,
    by_budget,
    on_server,
)
from sluice.compat._tags import given, stored
from sluice.errors import RequestError
from sluice.fetching import Fetched
from sluice.rows import listing
from sluice.samplers import BaseSampler, Choice, Word
from sluice.session import Session
from sluice.values import Layout, Rows, field_rows


class StorageKeyNotFoundError(RequestError, KeyError):
    """A row of the metadata was cleared after the metadata was made, or a field of it is not written yet."""

    __str__ = Exception.__str__  # that of KeyError shows the repr


class TransferQueueClient(client.TransferQueueClient):
    """As sluice.TransferQueueClient, except for the following methods."""

    @property
    def _session(self) -> Session:
        return self._own_session or _job.session()

    @property
    def _allow_pickle(self) -> bool:
        return self._session.config.allow_pickle

    def close(self) -> None:
        """Does nothing: all clients of a process share its connections, which close() of the module closes."""

    def get_meta(
        self,
        data_fields: Sequence[str],
        batch_size: int,
        partition_id: str,
        mode: str = "fetch",
        task_name: str | None = None,
        sampling_config: Mapping[str, Any] | None = None,
    ) -> BatchMeta:
        """As in Sluice, except for sampling_config, force_fetch and insert.

        Unknown names in sampling_config are ignored with a warning (in Sluice: ValueError), and so is one of dp_rank and
        batch_index without the other. SequentialSampler ignores both (in Sluice, a step returns the same rows with each
        sampler). force_fetch leaves out fields that no row has (in Sluice: ValueError). The batch of insert has data_fields,
        of unknown dtype until they are put (in Sluice: no fields).
        """
        fields = name_list(data_fields)
        if mode == "force_fetch":
            known = {str(entry[0], "utf-8") for entry in self._session.wire.call("KV.FIELDS", partition_id, repeat=True)}
            fields = [name for name in fields if name in known] or fields
        config = {name: value for name, value in (sampling_config or {}).items() if name not in ("partition_id", "task_name")}
        if mode == "fetch":
            sampler = self._sampler(config.get("sampler"), partition_id)
            if isinstance(sampler, StreamingTokenBudgetSampler) and config.get("token_budget") is not None:
                batch_size = ROWS_MAX  # as in TransferQueue, only the budget limits the rows
            config = self._sampling(sampler, config)
        batch = BatchMeta.of(super().get_meta(fields, batch_size, partition_id, mode, task_name, config), self._allow_pickle)
        if mode == "insert":
            unknown = {"dtype": None, "shape": None, "is_nested": False, "is_non_tensor": False}
            batch.field_schema = {name: dict(unknown) for name in fields}
        return batch

    def put(  # type: ignore[override]
        self,
        data: TensorDictBase,
        metadata: strict.BatchMeta | None = None,
        partition_id: str | None = None,
        data_parser: DataParser | None = None,
    ) -> strict.BatchMeta:
        """As in Sluice, except for tags and dtypes, which are as in kv_batch_put."""
        rows = data.batch_size[0] if data.batch_size else 0
        if not rows or (metadata is None and partition_id is None) or (metadata is not None and metadata.size != rows):
            return super().put(data, metadata, partition_id)  # raises
        values = field_rows(data if data_parser is None else parsed(data, rows, data_parser), rows)
        partitions = [str(partition_id)] if metadata is None else list(dict.fromkeys(metadata.partition_ids))
        batch = metadata if metadata is None else _with_stored_tags(metadata, self._allow_pickle)

        def put(values: dict[str, Rows]) -> strict.BatchMeta:
            columns = {name: NonTensorStack(*each) if isinstance(each, list) else each for name, each in values.items()}
            return client.TransferQueueClient.put(self, TensorDict(columns, batch_size=[rows]), batch, partition_id)

        written = put_fitting(self._session, partitions, values, put)
        if metadata is None:
            return BatchMeta.of(written, self._allow_pickle)
        metadata.field_schema, metadata.production_status = written.field_schema, written.production_status
        return metadata

    def get_data(self, metadata: strict.BatchMeta, *, layout: Layout = "jagged", **options: Any) -> TensorDict:
        """As in Sluice, but jagged, as kv_batch_get; without fields, of batch_size [0] (in Sluice: [n]).

        Raises StorageKeyNotFoundError for rows that were cleared and for fields that are not written yet.
        """
        if not metadata.field_schema:
            return TensorDict({}, batch_size=[0])
        try:
            return unmixed(super().get_data(metadata, layout=layout, **options))
        except RequestError as error:
            if error.code not in ("NOKEY", "NOTREADY", "STALE", "NOPARTITION"):
                raise
            raise StorageKeyNotFoundError(error.code, str(error)) from error

    def set_custom_meta(self, metadata: strict.BatchMeta) -> None:
        """As in Sluice, with the values that kv_batch_put takes."""
        super().set_custom_meta(_with_stored_tags(metadata, self._allow_pickle))

    def fetch(self, *args: Any, layout: Layout = "jagged", **options: Any) -> Fetched | None:
        """As in Sluice, but jagged. TransferQueue has no such method."""
        batch = super().fetch(*args, layout=layout, **options)
        if batch is not None:
            batch.metadata = BatchMeta.of(batch.metadata, self._allow_pickle)
            batch.tags = [given(tag, self._allow_pickle) for tag in batch.tags]
        return batch

    def get_production_status(self, data_fields: Sequence[str], partition_id: str) -> Status:
        """Returns the row indexes, and whether each field of each row is ready (int8, [rows, fields]; in Sluice: [rows])."""
        while True:
            each = [super(TransferQueueClient, self).get_production_status([name], partition_id) for name in data_fields]
            indexes, columns = [index for index, _ in each], [ready for _, ready in each]
            if not each or any(index is None for index in indexes):
                return None, None
            if all(torch.equal(index, indexes[0]) for index in indexes):  # type: ignore[arg-type]
                return indexes[0], torch.stack(columns, 1)  # type: ignore[arg-type]

    def check_consumption_status(self, task_name: str, partition_id: str) -> bool:
        """As in Sluice, but False also if all rows were cleared and no number of rows is expected (in Sluice: True)."""
        if not super().check_consumption_status(task_name, partition_id):
            return False
        info = self._unless_missing("PARTITION.INFO", partition_id)
        return info is not None and bool(info[b"rows"] or info[b"limits"][b"expect"])

    def reset_consumption(self, partition_id: str, task_name: str | None = None) -> bool:
        """As in Sluice, but returns True also for a partition or task that does not exist (in Sluice: ValueError)."""
        try:
            return super().reset_consumption(partition_id, task_name)
        except RequestError as error:
            if error.code not in ("NOPARTITION", "NOTASK"):
                raise
            return True

    def kv_retrieve_meta(self, keys: Sequence[str] | str, partition_id: str, create: bool = False) -> BatchMeta:
        """As in Sluice, but keys that do not exist are left out with a warning (in Sluice: ValueError).

        Raises TypeError for a key that is not a str (in Sluice: ValueError).
        """
        names = name_list(keys)
        for name in names:
            if not isinstance(name, str):
                raise TypeError(f"keys must be str, got {name!r}")
        while True:
            try:
                batch = BatchMeta.of(super().kv_retrieve_meta(names, partition_id, create), self._allow_pickle)
            except RequestError as error:
                if create or error.code not in ("NOKEY", "NOPARTITION"):
                    raise
            else:
                batch.production_status[:] = bool(batch.field_schema)
                return batch
            there = {row["key"] for row in listing(self._session.wire, partition_id)}
            missing = [name for name in names if name not in there]
            warnings.warn(f"keys that partition '{partition_id}' does not have were left out: {missing}", stacklevel=2)
            names = [name for name in names if name in there]
            if not names:
                return BatchMeta.empty()  # type: ignore[return-value]

    def kv_retrieve_keys(self, global_indexes: Sequence[int] | int, partition_id: str) -> list[str | None]:  # type: ignore[override]
        """Returns the keys of these rows, None for a row that does not exist (in Sluice: ValueError).

        Raises RuntimeError if the partition does not exist; TypeError for an index that is not an integer.
        """
        rows = [global_indexes] if isinstance(global_indexes, int) else [operator.index(row) for row in global_indexes]
        key_of = {row["index"]: row["key"] for row in listing(self._session.wire, partition_id)}
        if not key_of and partition_id not in self.get_partition_list():
            raise RuntimeError(f"partition '{partition_id}' does not exist")
        return [key_of.get(row) for row in rows]

    def kv_list(self, partition_id: str | None = None, **options: Any) -> dict[str, dict[str, dict[str, Any]]]:
        """Returns {partition: {key: tag}}. A partition that does not exist is left out (in Sluice: empty)."""
        listed, allow_pickle = super().kv_list(partition_id, **options), self._allow_pickle
        if partition_id is not None and not listed[partition_id] and partition_id not in self.get_partition_list():
            return {}
        return {name: {key: given(tag, allow_pickle) for key, tag in rows.items()} for name, rows in listed.items()}

    def _sampling(self, sampler: BaseSampler, config: dict[str, Any]) -> dict[str, Any]:
        """Returns the sampling_config that Sluice takes."""
        budget = by_budget(sampler, config)
        if budget is not None:
            return {"sampler": budget[0], **budget[1]}
        served = on_server(sampler)
        if served is sampler:  # of Sluice, or your own
            return config
        known = BUDGET_NAMES if isinstance(sampler, StreamingTokenBudgetSampler) else set()
        unknown = sorted(config.keys() - {"dp_rank", "batch_index", "sampler"} - known)
        if unknown:
            warnings.warn(f"ignored names in sampling_config: {', '.join(unknown)}", stacklevel=4)
        step = {name: config[name] for name in ("dp_rank", "batch_index") if config.get(name) is not None}
        if isinstance(sampler, SeqlenBalancedSampler):
            step = {"dp_rank": 0, "batch_index": 0} | step
        if len(step) < 2 or isinstance(sampler, SequentialSampler):
            step = {}
            if isinstance(sampler, RankAwareSampler):
                served = on_server(SequentialSampler())
            elif isinstance(sampler, GRPOGroupNSampler) and sampler.by is None:
                served = sampler
        return {"sampler": served, **step}

    def _server_sampler(self, choice: Choice | None, partition: str) -> list[Word]:
        return super()._server_sampler(on_server(self._sampler(choice, partition)), partition)


_REPLACED = (
    *("get_meta", "put", "get_data", "set_custom_meta", "fetch", "get_production_status"),
    *("check_consumption_status", "reset_consumption"),
    *("kv_retrieve_meta", "kv_retrieve_keys", "kv_list"),
)
for _name in _REPLACED:
    setattr(TransferQueueClient, f"async_{_name}", async_variant(getattr(TransferQueueClient, _name)))


def get_client() -> TransferQueueClient:
    """Returns a client over the connection of this process. Raises NotInitialized without one."""
    _job.session()
    return TransferQueueClient()


def _with_stored_tags(metadata: strict.BatchMeta, allow_pickle: bool) -> strict.BatchMeta:
    batch = metadata.copy()
    batch.custom_meta = stored(metadata.custom_meta, allow_pickle) or []
    return batch
