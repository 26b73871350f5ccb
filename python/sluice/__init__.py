"""Sluice: exchanges TensorDicts between the processes of an RL post-training job.

    import sluice as tq

    tq.init()
    tq.kv_batch_put(keys=["1_0", "1_1"], partition_id="train", fields=batch, tags=[{"status": "running"}] * 2)
    batch = tq.kv_batch_get(keys=["1_0", "1_1"], partition_id="train")

To migrate from TransferQueue, change the import. docs/transferqueue.md lists the differences.
"""

from sluice.client import AsyncTransferQueueClient, TransferQueueClient, get_client
from sluice.errors import (
    CallTimeout,
    ConnectionLost,
    FullError,
    NotInitialized,
    RequestError,
    ServerError,
    SluiceError,
    Unconfirmed,
)
from sluice.kv import (
    async_kv_batch_get,
    async_kv_batch_get_by_meta,
    async_kv_batch_put,
    async_kv_clear,
    async_kv_list,
    async_kv_put,
    kv_batch_get,
    kv_batch_get_by_meta,
    kv_batch_put,
    kv_clear,
    kv_list,
    kv_put,
)
from sluice.loader import StreamingDataLoader
from sluice.metadata import BatchMeta, KVBatchMeta
from sluice.samplers import (
    BaseSampler,
    GRPOGroupNSampler,
    PerPartition,
    RankAwareSampler,
    SeqlenBalancedSampler,
    SequentialSampler,
    ServerSampler,
    TokenBudgetSampler,
)
from sluice.session import Config, close, init
from sluice.streaming import StreamingDataset

__all__ = [
    "AsyncTransferQueueClient",
    "BaseSampler",
    "BatchMeta",
    "CallTimeout",
    "Config",
    "ConnectionLost",
    "FullError",
    "GRPOGroupNSampler",
    "KVBatchMeta",
    "NotInitialized",
    "PerPartition",
    "RankAwareSampler",
    "RequestError",
    "SeqlenBalancedSampler",
    "SequentialSampler",
    "ServerError",
    "ServerSampler",
    "SluiceError",
    "StreamingDataLoader",
    "StreamingDataset",
    "TokenBudgetSampler",
    "TransferQueueClient",
    "Unconfirmed",
    "async_kv_batch_get",
    "async_kv_batch_get_by_meta",
    "async_kv_batch_put",
    "async_kv_clear",
    "async_kv_list",
    "async_kv_put",
    "close",
    "get_client",
    "init",
    "kv_batch_get",
    "kv_batch_get_by_meta",
    "kv_batch_put",
    "kv_clear",
    "kv_list",
    "kv_put",
]

__version__ = "0.1.0"
