"""The metadata, under the name that TransferQueue has for this module."""

from sluice.compat._metadata import BatchMeta, KVBatchMeta

__all__ = ["BatchMeta", "KVBatchMeta"]
