"""Samples by key: put, get, list and clear rows of a partition, as TransferQueue's KV interface has it.

Each function is one round trip, and has a twin for asyncio, `async_` and its name, with the same arguments and meaning. They
use the connection of this process (`init`), and may be called from any thread, event loop, or forked child.

Errors, of all of them: ValueError where something that was named is missing, not ready, or does not fit (RequestError where
the server says so); FullError where a limit is reached; ConnectionLost, Unconfirmed (the call may have been carried out) and
CallTimeout from the connection; NotInitialized without one.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from tensordict import TensorDict, TensorDictBase

from sluice._link import Arg
from sluice.arguments import DataParser, Tag, block, listed, name_list, parsed, tag_texts, utf8_fields
from sluice.columns import decode, encode
from sluice.errors import RequestError, ServerError
from sluice.metadata import KVBatchMeta
from sluice.rows import pipeline_in_parts, read_tags
from sluice.session import current
from sluice.wire import lines, twin

P = ParamSpec("P")
T = TypeVar("T")


def kv_put(
    key: str,
    partition_id: str,
    fields: TensorDictBase | Mapping[str, Any] | None = None,
    tag: Tag | None = None,
    data_parser: DataParser | None = None,
    *,
    wait_s: float | None = 0.0,
) -> KVBatchMeta:
    """Inserts or updates one row.

    Args:
        key: the row's name in its partition.
        partition_id: the partition, made by its first row.
        fields: the row's values, by field. In a dict each value is one row's: a tensor or NumPy array of the row's shape, or
            any object that `kv_batch_put` takes as a row of a list. A TensorDict is a batch of one, [1], or of none, [].
        tag: a JSON object, merged into the row's tag together with the data (None as a value removes a name).
        data_parser: called with {field: values of the batch} before sending; it changes values in place.
        wait_s: where a limit of the partition or the server's memory is reached, wait so many seconds for room (None: as
            long as it takes).

    Returns:
        The key with its tag, and the fields that its row has now.

    Raises:
        ValueError: neither fields nor tag, or what does not fit. TypeError: a value that cannot be stored.
    """
    batch = None if fields is None else _batch_of_one(fields)
    return _put([key], partition_id, batch, None if tag is None else [tag], data_parser, False, wait_s)


def kv_batch_put(
    keys: Sequence[str],
    partition_id: str,
    fields: TensorDictBase | Mapping[str, Any] | None = None,
    tags: Sequence[Tag] | None = None,
    data_parser: DataParser | None = None,
    *,
    dedup: bool = False,
    wait_s: float | None = 0.0,
) -> KVBatchMeta:
    """Inserts or updates n rows at once: nobody sees a part of them, nor data without its tags.

    Args:
        keys: n different names of rows.
        partition_id: their partition, made by its first row.
        fields: a TensorDict [n], or a dict of columns. A column is a dense tensor [n, ...], a nested tensor of n rows (jagged or
            strided), a NumPy array, or a list or NonTensorStack of n values: str, bytes, tensors, or what JSON can hold (None,
            bool, int, finite float, str, list, dict with str keys). Other objects need `allow_pickle`. Tensors are sent
            from where they lie: they must not be changed before the call returns.
        tags: n JSON objects, merged into the rows' tags.
        data_parser: called with {field: values} before sending, such as to load what URLs name: a dense column is a tensor,
            any other a list of its n values. It changes values in place, and neither adds nor removes fields or rows.
        dedup: rows of a field that are alike (such as one prompt of many samples) are sent and stored once.
        wait_s: as in `kv_put`.

    Returns:
        The keys with their tags, and the fields that all of these rows have now.

    Raises:
        ValueError: neither fields nor tags, numbers of rows that differ, a dtype that is not the field's. TypeError: a value that
        cannot be stored.
    """
    return _put(list(keys), partition_id, fields, tags, data_parser, dedup, wait_s)


def kv_batch_get(
    keys: Sequence[str] | str,
    partition_id: str,
    select_fields: Sequence[str] | str | None = None,
    *,
    dedup: bool = False,
) -> TensorDict:
    """Reads rows, in the order of `keys`.

    Args:
        keys: n names of rows, or one.
        partition_id: their partition.
        select_fields: which fields, in this order; without it, all that these rows have, by name.
        dedup: rows that share storage (see `kv_batch_put`) travel once.

    Returns:
        A TensorDict [n]. Values are as they were put: dense where the rows' shapes agree (a scalar a row: [n]), nested where they
        do not; objects as NonTensorStack. Tensors are writable, and share memory with nothing else.

    Raises:
        ValueError: the partition, a key or a field is not there, or a field is not ready in one of the rows; it names them.
    """
    names = [keys] if isinstance(keys, str) else list(keys)
    session = current()
    key_list = listed("keys", names)
    wanted = ["FIELDS", *listed("select_fields", name_list(select_fields))] if select_fields is not None else []
    get: list[Arg] = ["KV.MGET", partition_id, "KEYS", *key_list, *wanted, *(["DICT"] if dedup else [])]
    if wanted:
        reply = session.wire.call(*get, repeat=True)
    else:
        reply, there = session.wire.pipeline(get, ["KV.FIELDS", partition_id], repeat=True)
        if isinstance(reply, ServerError):
            raise reply
        _refuse_gaps(names, partition_id, {entry[0] for entry in reply}, there)
        reply.sort(key=lambda entry: entry[0])  # the server's order differs from run to run
    return decode(reply, len(names), allow_pickle=session.config.allow_pickle)


def kv_batch_get_by_meta(meta: KVBatchMeta, select_fields: Sequence[str] | str | None = None) -> TensorDict:
    """Reads the rows that a KVBatchMeta names: all of its fields, or those of `select_fields`.

    Returns and raises as `kv_batch_get`; besides ValueError for a field that the meta does not have.
    """
    if meta.partition_id is None:
        raise ValueError("the KVBatchMeta has no partition_id")
    fields = meta.fields if select_fields is None else name_list(select_fields)
    unknown = [name for name in fields or [] if name not in (meta.fields or [])]
    if unknown:
        raise ValueError(f"the KVBatchMeta has no fields {unknown}; it has {meta.fields}")
    return kv_batch_get(meta.keys, meta.partition_id, fields)


def kv_list(partition_id: str | None = None) -> dict[str, dict[str, dict[str, Any]]]:
    """Keys and their tags, of one partition or of all: {partition: {key: tag}}, rows in the order in which they were made.

    A partition that is asked for by name and does not exist is empty.
    """
    wire = current().wire
    names = [partition_id] if partition_id is not None else [str(n, "utf-8") for n in wire.call("KV.LIST", repeat=True)]
    if not names:
        return {}
    replies = wire.pipeline(*(["KV.LIST", name, "FORMAT", "lines"] for name in names), repeat=True)
    return {name: _tags_by_key(reply) for name, reply in zip(names, replies, strict=True)}


def kv_clear(keys: Sequence[str] | str, partition_id: str) -> None:
    """Removes rows. A key that is not there is no error: the row is gone."""
    names = [keys] if isinstance(keys, str) else list(keys)
    current().wire.call("KV.CLEAR", partition_id, "KEYS", *listed("keys", names))


# --- what they share


def _put(
    keys: list[str],
    partition_id: str,
    fields: TensorDictBase | Mapping[str, Any] | None,
    tags: Sequence[Tag] | None,
    data_parser: DataParser | None,
    dedup: bool,
    wait_s: float | None,
) -> KVBatchMeta:
    if fields is None and tags is None:
        raise ValueError("neither fields nor tags were given")
    if fields is not None and data_parser is not None:
        fields = parsed(fields, len(keys), data_parser)
    session = current()
    rows = ["KEYS", *listed("keys", keys)]
    head: list[Arg] = ["KV.MPUT", partition_id, *rows, *block(wait_s), "RETURN", "BOTH"]
    if tags is not None:
        head += ["TAGS", *lines(tag_texts(keys, tags))]

    def put(utf8: Collection[str] = ()) -> Any:
        columns: list[Arg] = []
        if fields is not None:
            pickles = session.config.allow_pickle
            columns = encode(fields, len(keys), allow_pickle=pickles, dedup=dedup, utf8=utf8)
        return session.wire.call(*head, *columns, wait_s=wait_s)

    try:
        reply = put()
    except RequestError as error:
        utf8 = utf8_fields(partition_id, fields) if error.code == "DTYPE" else set()
        if not utf8:
            raise
        reply = put(utf8)
    _, names, now = reply
    return KVBatchMeta(keys, read_tags(now), partition_id, [str(name, "utf-8") for name in names])


def _batch_of_one(fields: TensorDictBase | Mapping[str, Any]) -> TensorDictBase | Mapping[str, Any]:
    if isinstance(fields, TensorDictBase):
        if fields.batch_size not in (torch.Size([]), torch.Size([1])):
            raise ValueError(f"kv_put takes one row, and the TensorDict is {list(fields.batch_size)}: kv_batch_put takes several")
        return fields.unsqueeze(0) if not fields.batch_size else fields
    batch: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, torch.Tensor) and value.is_nested:
            raise ValueError(f"field '{name}' is a nested tensor, which is several rows: kv_batch_put takes it")
        numeric = isinstance(value, torch.Tensor) or (isinstance(value, np.ndarray) and value.dtype != object)
        batch[name] = value[None] if numeric else [value]
    return batch


def _refuse_gaps(keys: list[str], partition_id: str, got: set[bytes], there: Any) -> None:
    """Raises for a field that some of the rows have and others have not: it was left out of the reply."""
    if isinstance(there, ServerError) or {entry[0] for entry in there} <= got:
        return
    questions: list[list[Arg]] = [["KV.FIELDS", partition_id, "KEYS", 1, key] for key in keys]
    replies = pipeline_in_parts(current().wire, questions)
    each = [got if isinstance(reply, ServerError) else {entry[0] for entry in reply} for reply in replies]
    for name in sorted(set().union(*each) - got):
        field, lacking = str(name, "utf-8"), next(key for key, names in zip(keys, each, strict=True) if name not in names)
        raise RequestError(
            "NOTREADY", f"field '{field}' of row '{lacking}' is not ready, and others have it; select_fields says which to read"
        )


def _tags_by_key(reply: Any) -> dict[str, dict[str, Any]]:
    if isinstance(reply, ServerError):
        raise reply
    rows = json.loads(b"[" + bytes(reply).replace(b"\n", b",") + b"]")
    return {row["key"]: row["tag"] for row in rows}


async_kv_put = twin(kv_put)
async_kv_batch_put = twin(kv_batch_put)
async_kv_batch_get = twin(kv_batch_get)
async_kv_batch_get_by_meta = twin(kv_batch_get_by_meta)
async_kv_list = twin(kv_list)
async_kv_clear = twin(kv_clear)
