"""The functions of TransferQueue, over those of sluice: what TransferQueue accepts, these accept, with a warning.

Each kv function has an async variant: `async_` and its name.
"""

from __future__ import annotations

import functools
import hashlib
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase

from sluice import kv
from sluice._calls import async_variant
from sluice._link import Arg
from sluice.arguments import DataParser, listed, name_list, parsed
from sluice.columns import decode_rows, encode
from sluice.compat import _job
from sluice.compat._client import get_client
from sluice.compat._job import close, get_metrics_endpoint, init, load_checkpoint, save_checkpoint
from sluice.compat._metadata import KVBatchMeta
from sluice.compat._mixed import fitting, put_fitting, unmixed
from sluice.compat._tags import given, stored
from sluice.errors import RequestError
from sluice.rows import checked, from_json
from sluice.values import field_rows
from sluice.wire import Wire, packed

_FUNCTIONS = ("kv_put", "kv_batch_put", "kv_batch_get", "kv_batch_get_by_meta", "kv_list", "kv_clear", "kv_update", "kv_empty")
__all__ = ["close", "get_client", "get_metrics_endpoint", "init", "load_checkpoint", "save_checkpoint"]
__all__ += [*_FUNCTIONS, *(f"async_{name}" for name in _FUNCTIONS)]

Tag = Mapping[str, Any]
_UPDATE_MS = 60_000


def kv_put(
    key: str,
    partition_id: str,
    fields: TensorDictBase | Mapping[str, Any] | None = None,
    tag: Tag | None = None,
    data_parser: DataParser | None = None,
) -> KVBatchMeta:
    """Inserts or updates one row; as sluice.kv_put, with the differences of kv_batch_put."""
    batch = None if fields is None else kv._batch_of_one(fields)
    return kv_batch_put([key], partition_id, batch, None if tag is None else [tag], data_parser)


def kv_batch_put(
    keys: Sequence[str],
    partition_id: str,
    fields: TensorDictBase | Mapping[str, Any] | None = None,
    tags: Sequence[Tag] | None = None,
    data_parser: DataParser | None = None,
) -> KVBatchMeta:
    """Inserts or updates n rows in one step; as sluice.kv_batch_put, except for tags and dtypes.

    The values of tags may be None (in Sluice, None removes a name), nested dicts replace those of before (in Sluice they
    are merged), and with allow_pickle they may be any object. A dtype that is not that of the field changes the rows or
    the field (in Sluice: ValueError); sluice/compat/_mixed.py says how.
    """
    session, names = _job.session(), list(keys)
    allow_pickle = session.config.allow_pickle
    if fields is not None and data_parser is not None:
        fields = parsed(fields, len(names), data_parser)
    put = functools.partial(kv.kv_batch_put, names, partition_id, tags=stored(tags, allow_pickle))
    values = None if fields is None else field_rows(fields, len(names))
    meta = put(None) if values is None else put_fitting(session, [partition_id], values, put)
    return KVBatchMeta(meta.keys, [given(tag, allow_pickle) for tag in meta.tags], partition_id, meta.fields)


def kv_batch_get(keys: Sequence[str] | str, partition_id: str, select_fields: Sequence[str] | str | None = None) -> TensorDict:
    """Reads rows, in the order of `keys`. Rows of tensors are jagged in any case; one scalar per row is [n].

    Reads the fields that all of the rows have, and of select_fields those among them (in Sluice, others are a
    ValueError). Keys that do not exist are left out with a warning (in Sluice: ValueError). Raises ValueError if none of
    the keys exists, or if the rows have no field in common.
    """
    session = _job.session()
    names, fields = name_list(keys), None if select_fields is None else name_list(select_fields)
    while True:
        try:
            # What exists is asked for only afterwards: usually everything exists, which takes one round trip.
            data = kv.kv_batch_get(names, partition_id, fields, layout="jagged")
            if len(data.keys()):
                return unmixed(data)
        except RequestError as error:
            if error.code not in ("NOPARTITION", "NOKEY", "NOFIELD", "NOTREADY"):
                raise
        names, common = _existing(session.wire, names, partition_id)
        fields = common if fields is None else [name for name in fields if name in common]
        if not fields:
            return TensorDict({}, batch_size=[0])


def kv_batch_get_by_meta(meta: KVBatchMeta, select_fields: Sequence[str] | str | None = None) -> TensorDict:
    """Reads the rows of a KVBatchMeta; as kv_batch_get. Raises ValueError for select_fields that the meta does not have."""
    if meta.partition_id is None:
        raise ValueError("the KVBatchMeta has no partition_id")
    fields = meta.fields if select_fields is None else name_list(select_fields)
    unknown = [name for name in fields or [] if name not in (meta.fields or [])]
    if unknown:
        raise ValueError(f"the KVBatchMeta has no fields {unknown}; it has {meta.fields}")
    return kv_batch_get(meta.keys, meta.partition_id, fields)


def kv_list(partition_id: str | None = None) -> dict[str, dict[str, dict[str, Any]]]:
    """Returns {partition: {key: tag}} of one partition or of all. A partition that does not exist is left out."""
    return get_client().kv_list(partition_id)


def kv_clear(keys: Sequence[str] | str, partition_id: str) -> None:
    """Removes rows. Keys that do not exist are ignored."""
    _job.session()
    kv.kv_clear(keys, partition_id)


def kv_update(
    key: str,
    partition_id: str,
    fields: Sequence[str] | str,
    values: Any = None,
    parser: Callable[[Any, Any], Any] | None = None,
    empty: bool = False,
) -> None:
    """Replaces values of a row by what parser(old, new) returns, such as torch.cat((old, new)) to append tokens.

    `values`: the new value of a field; for a list of fields a dict; or for both a TensorDict of one row with these
    fields. `old` is None if the row lacks the field. `empty`: as kv_empty. The parser runs in this process, and again if
    another process has meanwhile updated the row (in TransferQueue: in the storage). So no update is lost, but one may
    replace what kv_put writes at the same time. A row that is cleared meanwhile is not made again.

    Raises ValueError for a key that does not exist and for values that do not fit the fields; TypeError for a parser
    that is not callable. If the parser raises, nothing changes.
    """
    names = name_list(fields)
    if empty:
        if values is not None or parser is not None:
            raise ValueError(f"empty must not specify {'values' if values is not None else 'parser'}")
        return kv_empty(key, partition_id, names)
    if values is None:
        raise ValueError("kv_update requires values")
    if not callable(parser):
        raise TypeError("parser must be callable")
    if isinstance(values, TensorDictBase):
        new: Any = _values_of(values)
    else:
        new = {names[0]: values} if isinstance(fields, str) else values
    if not isinstance(new, Mapping) or set(new) != set(names):
        got = list(new) if isinstance(new, Mapping) else type(new).__name__
        raise ValueError(f"values must have the same columns as fields: expected {names}, got {got}")
    merge = parser

    def merged(old: Mapping[str, Any]) -> dict[str, Any]:
        return {name: merge(old.get(name), new[name]) for name in names}

    return _replace(key, partition_id, names, merged)


def _values_of(row: TensorDictBase) -> dict[str, Any]:
    """Returns the values of one row. Raises ValueError for a TensorDict that is not one row."""
    if row.batch_size not in (torch.Size([]), torch.Size([1])):
        raise ValueError(f"the values of kv_update must be one row, of batch_size [1] or [], got {list(row.batch_size)}")
    return {name: rows[0] for name, rows in field_rows(kv._batch_of_one(row), 1).items()}


def kv_empty(key: str, partition_id: str, fields: Sequence[str] | str) -> None:
    """Empties values of a row. The row keeps its fields, which stay ready.

    A tensor becomes one of shape [0, ...], bytes become b"", and another value None. (In TransferQueue: always None,
    which would make a field of objects of a field of tensors.)
    """
    names = name_list(fields)

    def emptied(old: Mapping[str, Any]) -> dict[str, Any]:
        return {name: _empty(old.get(name)) for name in names}

    _replace(key, partition_id, names, emptied)


def _empty(old: Any) -> Any:
    if isinstance(old, torch.Tensor):
        return old.new_empty([0, *old.shape[1:]])
    return b"" if isinstance(old, bytes) else None


def _replace(key: str, partition: str, names: list[str], replaced: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    """Writes values of a row that depend on its values. Updates of one row follow one another."""
    session = _job.session()
    allow_pickle = session.config.allow_pickle
    # Only updates of this row are watched. To watch the partition would mean to start again at each write of others.
    turn = "sluice.compat." + hashlib.sha1(f"{partition}\n{key}".encode()).hexdigest()

    def commands(wire: Wire) -> list[list[Arg]]:
        one, cells = _row(wire, partition, key)
        row = [cell for cell in cells if str(cell[0], "utf-8") in names]
        data = decode_rows([row], None, allow_pickle=allow_pickle)
        old = {str(name): data.get(name) for name in data.keys()}  # noqa: SIM118  -- a TensorDict
        old = {name: value[0] if isinstance(value, torch.Tensor) else value.tolist()[0] for name, value in old.items()}
        values = fitting(session, partition, field_rows(kv._batch_of_one(replaced(old)), 1))
        columns = encode(values, 1, allow_pickle=allow_pickle)
        return [["SET", turn, "1", "PX", _UPDATE_MS], ["KV.MPUT", partition, *one, *columns]]

    while True:
        _, put = session.wire.transact([turn], commands)
        # Since the values were read, another put has changed the dtype of the field, or the row was cleared.
        if not (isinstance(put, RequestError) and put.code in ("DTYPE", "NOKEY", "STALE", "NOPARTITION")):
            checked(put)
            return


def _row(wire: Wire, partition: str, key: str) -> tuple[list[Arg], list[Any]]:
    """Returns the words that name this row, but not a later one of the same key, and its cells. Errors: ValueError."""
    pattern = re.sub(r"([*?\[\]\\])", r"\\\1", key)
    info, listed_row, found = wire.pipeline(
        ["PARTITION.INFO", partition],  # first: if the partition is made again meanwhile, the write is refused
        ["KV.LIST", partition, "MATCH", pattern, "FORMAT", "lines"],
        ["KV.MGET", partition, "KEYS", 1, key, "FORMAT", "rows"],
        arrays=True,
    )
    incarnation = checked(info)[b"incarnation"]
    there, [cells] = from_json(bytes(checked(listed_row)) or b"null"), checked(found)
    if there is None or cells is None:
        raise ValueError(f"key '{key}' not found in partition '{partition}'")
    return ["ROWS", packed([there["index"]]), "OF", incarnation], cells


def _existing(wire: Wire, keys: list[str], partition: str) -> tuple[list[str], list[str]]:
    """Returns the keys that exist, and the fields that all of their rows have, sorted. Warns of the other keys."""
    [tags] = wire.pipeline(["KV.TAGS", partition, "KEYS", *listed("keys", keys)], repeat=True)
    if isinstance(tags, RequestError) and tags.code == "NOPARTITION":
        raise ValueError(f"keys or partition were not found: partition '{partition}' does not exist")
    there = [key for key, tag in zip(keys, checked(tags), strict=True) if tag is not None]
    if not there:
        raise ValueError(f"keys or partition were not found: partition '{partition}' has no rows {keys}")
    missing = sorted(set(keys) - set(there))
    if missing:
        warnings.warn(f"keys that partition '{partition}' does not have were left out: {missing}", stacklevel=3)
    described = wire.call("KV.FIELDS", partition, "KEYS", *listed("keys", there), repeat=True)
    fields = sorted(str(entry[0], "utf-8") for entry in described)
    if not fields:
        raise ValueError(f"rows {there} of partition '{partition}' have no field in common")
    return there, fields


async_kv_put = async_variant(kv_put)
async_kv_batch_put = async_variant(kv_batch_put)
async_kv_batch_get = async_variant(kv_batch_get)
async_kv_batch_get_by_meta = async_variant(kv_batch_get_by_meta)
async_kv_list = async_variant(kv_list)
async_kv_clear = async_variant(kv_clear)
async_kv_update = async_variant(kv_update)
async_kv_empty = async_variant(kv_empty)
