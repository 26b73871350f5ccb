"""Code that was written for TransferQueue 0.1.11 runs with this package as it is:

    import sluice.compat as tq

or, for programs that import TransferQueue themselves, before they do:

    sys.modules["transfer_queue"] = sluice.compat

It is a thin layer over `sluice`, with what TransferQueue accepts where `sluice` raises an error. New code should use
`sluice`: an error that names what is missing is better than a batch without it. docs/transferqueue.md lists the
differences of both to TransferQueue.
"""

from sluice import __version__
from sluice.compat import interface, sampler
from sluice.compat._client import StorageKeyNotFoundError, TransferQueueClient
from sluice.compat.dataloader import StreamingDataLoader, StreamingDataset
from sluice.compat.interface import *  # noqa: F403
from sluice.compat.metadata import BatchMeta, KVBatchMeta
from sluice.compat.sampler import *  # noqa: F403

__all__ = [
    *interface.__all__,
    *sampler.__all__,
    "BatchMeta",
    "KVBatchMeta",
    "StorageKeyNotFoundError",
    "StreamingDataLoader",
    "StreamingDataset",
    "TransferQueueClient",
    "__version__",
]
