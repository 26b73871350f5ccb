"""The streaming loader, under the name that TransferQueue has for this module."""

from sluice.compat._streaming import StreamingDataset
from sluice.loader import StreamingDataLoader

__all__ = ["StreamingDataLoader", "StreamingDataset"]
