"""The functions, under the name that TransferQueue has for this module."""

from sluice.compat._client import get_client
from sluice.compat._job import close, get_metrics_endpoint, init, load_checkpoint, save_checkpoint
from sluice.compat._kv import (
    async_kv_batch_get,
    async_kv_batch_get_by_meta,
    async_kv_batch_put,
    async_kv_clear,
    async_kv_empty,
    async_kv_list,
    async_kv_put,
    async_kv_update,
    kv_batch_get,
    kv_batch_get_by_meta,
    kv_batch_put,
    kv_clear,
    kv_empty,
    kv_list,
    kv_put,
    kv_update,
)

__all__ = [
    "async_kv_batch_get",
    "async_kv_batch_get_by_meta",
    "async_kv_batch_put",
    "async_kv_clear",
    "async_kv_empty",
    "async_kv_list",
    "async_kv_put",
    "async_kv_update",
    "close",
    "get_client",
    "get_metrics_endpoint",
    "init",
    "kv_batch_get",
    "kv_batch_get_by_meta",
    "kv_batch_put",
    "kv_clear",
    "kv_empty",
    "kv_list",
    "kv_put",
    "kv_update",
    "load_checkpoint",
    "save_checkpoint",
]
