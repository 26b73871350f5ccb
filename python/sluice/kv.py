"""Samples by key: put, get, list and clear rows of a partition, as in TransferQueue's KV interface.

Each function is one round trip. Each one has an async variant: `async_` and its name, with the same arguments and
meaning. The functions use the connection of this process (`init`), and may be called from any thread, event loop or
forked child.

Errors of all functions: ValueError if a name is missing or not ready, or an argument does not fit (RequestError if
the server reports it); FullError if a limit is reached; ConnectionLost, Unconfirmed (the call may have been carried
out) and CallTimeout from the connection; NotInitialized without one.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np
import torch
from tensordict import NonTensorData, TensorDict, TensorDictBase

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
from sluice.errors import RequestError
from sluice.metadata import KVBatchMeta
from sluice.rows import checked, pipeline_in_parts, read, read_tags, tags_of_partitions
from sluice.session import current
from sluice.values import Fields, Layout, field_rows
from sluice.wire import Wire, lines

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
        key: the name of the row in its partition.
        partition_id: the partition; its first row makes it.
        fields: the values of the row, by field. In a dict each value belongs to the one row: a tensor or NumPy array of
            the shape of the row, or any object that `kv_batch_put` accepts as a row of a list. A TensorDict must have
            batch_size [1] or [].
        tag: a JSON object. It is merged into the tag of the row together with the data; None as a value removes a name.
        data_parser: called with {field: values of the batch} before sending; it changes values in place.
        wait_s: how many seconds to wait if a limit of the partition or the server's memory budget is reached. None
            means no limit.

    Returns:
        The key with its tag, and the fields that the row has now.

    Raises:
        ValueError: neither fields nor tag, or arguments that do not fit. TypeError: a value that cannot be stored.
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
    """Inserts or updates n rows in one step. No reader sees a part of them, or data without its tags.

    Args:
        keys: n different names of rows.
        partition_id: their partition; its first row makes it.
        fields: a TensorDict [n], or a dict of columns. A column is a dense tensor [n, ...], a nested tensor of n rows
            (jagged or strided), a NumPy array, or a list or NonTensorStack of n values: str, bytes, tensors, or values
            that JSON can hold (None, bool, int, finite float, str, list, dict with str keys). Other objects need
            `allow_pickle`. Tensors are sent without a copy: do not change them before the call returns.
        tags: n JSON objects. They are merged into the tags of the rows.
        data_parser: called with {field: values} before sending, for example to load data from URLs. A dense column is a
            tensor, any other column a list of its n values. It changes values in place. It must not add or remove
            fields or rows.
        dedup: equal rows of a field (such as one prompt of many samples) are sent and stored once.
        wait_s: as in `kv_put`.

    Returns:
        The keys with their tags, and the fields that all of these rows have now.

    Raises:
        ValueError: neither fields nor tags, different numbers of rows, or a dtype that differs from that of the field.
        TypeError: a value that cannot be stored.
    """
    return _put(list(keys), partition_id, fields, tags, data_parser, dedup, wait_s)


def kv_batch_get(
    keys: Sequence[str] | str,
    partition_id: str,
    select_fields: Sequence[str] | str | None = None,
    *,
    dedup: bool = False,
    pad: Pad | None = None,
    layout: Layout = "auto",
) -> TensorDict:
    """Reads rows, in the order of `keys`.

    Args:
        keys: one name of a row, or n names.
        partition_id: their partition.
        select_fields: the fields to read, in this order. The default is all fields that these rows have, sorted by name.
        dedup: rows that share storage (see `kv_batch_put`) are sent once.
        pad: ("left" or "right", value): ragged tensors come dense, padded with this value.
        layout: how rows of tensors are joined. "auto": dense if all rows have one shape, else nested. "jagged": nested
            also if all rows have one shape. "dense": rows of different shapes are an error (`pad` pads them).

    Returns:
        A TensorDict [n]. Values are as they were put, in this layout; one scalar per row is always [n]. A nested tensor
        is jagged if the rows differ in one dimension, which is then the ragged one, else strided. Rows of different rank
        are a NonTensorStack, and so are objects. Tensors are writable and share memory with nothing else.

    Raises:
        ValueError: the partition, a key or a field does not exist, a field is not ready in one of the rows, or rows do
        not fit the layout. The text names them.
    """
    names = [keys] if isinstance(keys, str) else list(keys)
    session = current()
    key_list = listed("keys", names)
    fields = None if select_fields is None else name_list(select_fields)
    wanted = [] if fields is None else ["FIELDS", *listed("select_fields", fields)]
    get: list[Arg] = ["KV.MGET", partition_id, "KEYS", *key_list, *wanted, *padding(pad, layout), *(["DICT"] if dedup else [])]
    fetches = [get, ["KV.FIELDS", partition_id]] if fields is None else [get]
    reply, *there = session.wire.pipeline(*fetches, repeat=True, arrays=True)
    allow_pickle = session.config.allow_pickle
    data = read(session.wire, get, reply, fields, len(names), allow_pickle=allow_pickle, layout=layout)
    if there:
        _refuse_gaps(session.wire, names, partition_id, {str(name) for name in data.keys()}, there[0])  # noqa: SIM118
    return data


def kv_batch_get_by_meta(
    meta: KVBatchMeta, select_fields: Sequence[str] | str | None = None, *, layout: Layout = "auto"
) -> TensorDict:
    """Reads the rows that a KVBatchMeta names: all of its fields, or those of `select_fields`.

    Returns and raises as `kv_batch_get`. Also raises ValueError for a field that the meta does not have.
    """
    if meta.partition_id is None:
        raise ValueError("the KVBatchMeta has no partition_id")
    fields = meta.fields if select_fields is None else name_list(select_fields)
    unknown = [name for name in fields or [] if name not in (meta.fields or [])]
    if unknown:
        raise ValueError(f"the KVBatchMeta has no fields {unknown}; it has {meta.fields}")
    return kv_batch_get(meta.keys, meta.partition_id, fields, layout=layout)


def kv_list(
    partition_id: str | None = None,
    *,
    match: str | None = None,
    where: Where = (),
    select_fields: Sequence[str] | str | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns keys and tags of one partition or of all: {partition: {key: tag}}, in the order in which rows were made.

    Only the rows whose key matches the glob `match`, whose tags match `where` (as in fetch), and in which all of
    select_fields are ready. A partition that is requested by name and does not exist is empty.
    """
    return tags_of_partitions(current().wire, partition_id, selection(match, where, select_fields))


def kv_clear(keys: Sequence[str] | str, partition_id: str, *, select_fields: Sequence[str] | str | None = None) -> None:
    """Removes rows, or only these fields of the rows. Keys that do not exist are ignored."""
    names = [keys] if isinstance(keys, str) else list(keys)
    current().wire.call("KV.CLEAR", partition_id, "KEYS", *listed("keys", names), *selection(None, (), select_fields))


# --- helpers


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
        raise ValueError("expected fields or tags, got neither")
    if fields is not None and data_parser is not None:
        fields = parsed(fields, len(keys), data_parser)
    values = {} if fields is None else field_rows(fields, len(keys))
    session = current()
    rows = ["KEYS", *listed("keys", keys)]
    head: list[Arg] = ["KV.MPUT", partition_id, *rows, *block(wait_s), "RETURN", "BOTH"]
    if tags is not None:
        head += ["TAGS", *lines(tag_texts(keys, tags))]
    encoded = functools.partial(encode, values, len(keys), allow_pickle=session.config.allow_pickle, dedup=dedup)
    reply = put_columns(session.wire, head, values, encoded, encoded(), wait_s)
    _, names, now = reply
    return KVBatchMeta(keys, read_tags(now), partition_id, [str(name, "utf-8") for name in names])


def _batch_of_one(fields: Fields) -> Fields:
    if isinstance(fields, TensorDictBase) and fields.batch_size:
        if fields.batch_size != torch.Size([1]):
            raise ValueError(f"kv_put takes one row, got batch_size {list(fields.batch_size)}; use kv_batch_put")
        return fields
    batch: dict[str, Any] = {}
    for name in fields.keys():  # noqa: SIM118  -- a TensorDict
        value: Any = fields.get(name)
        if isinstance(value, torch.Tensor) and value.is_nested:
            raise ValueError(f"field '{name}' is a nested tensor, which has several rows; use kv_batch_put")
        value = value.data if isinstance(value, NonTensorData) else value
        numeric = isinstance(value, torch.Tensor) or (isinstance(value, np.ndarray) and value.dtype.kind not in "OSU")
        batch[str(name)] = value[None] if numeric else [value]
    return batch


def _refuse_gaps(wire: Wire, keys: list[str], partition_id: str, got: set[str], there: Any) -> None:
    """Raises for a field that only some of the rows have: the reply leaves such a field out."""
    if {str(entry[0], "utf-8") for entry in checked(there)} <= got:
        return
    questions: list[list[Arg]] = [["KV.FIELDS", partition_id, "KEYS", 1, key] for key in keys]
    replies = [checked(reply) for reply in pipeline_in_parts(wire, questions)]
    each = [{str(entry[0], "utf-8") for entry in reply} for reply in replies]
    for name in sorted(set().union(*each) - got):
        lacking = next(key for key, names in zip(keys, each, strict=True) if name not in names)
        raise RequestError(
            "NOTREADY", f"field '{name}' of row '{lacking}' is not ready, but other rows have it; use select_fields"
        )


async_kv_put = async_variant(kv_put)
async_kv_batch_put = async_variant(kv_batch_put)
async_kv_batch_get = async_variant(kv_batch_get)
async_kv_batch_get_by_meta = async_variant(kv_batch_get_by_meta)
async_kv_list = async_variant(kv_list)
async_kv_clear = async_variant(kv_clear)
