"""Recycled memory for what is received.

The first write to a fresh page costs far more than the copy itself (some 12 us for 4 KiB on a virtual machine: 0.3 GB/s
instead of 10), so the memory of large tensors is used again. `take` lends a block as a NumPy array. Whatever is made of that
array without a copy (slices, np.asarray, tensors, memoryviews) keeps the block; when the last of it is gone the block is free
for the next reply.

Thread safety: any thread. A forked child goes on with its own copy.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
from collections import deque

import numpy as np
import numpy.typing as npt

KEPT_BYTES = 1 << 30
"""As much free memory is kept for later; what is beyond goes back to the system."""


class _Lease:
    """The memory of one block. When all arrays and tensors on it are gone, the block goes back to its pool.

    NumPy's views refer to the last base of their own type, past any subclass of ndarray; so this is no array, but what
    NumPy makes an array of.
    """

    def __init__(self, pool: Pool, block: mmap.mmap, nbytes: int) -> None:
        self._pool = pool
        self._block = block
        address: int = np.frombuffer(block, np.uint8).__array_interface__["data"][0]
        self.__array_interface__ = {"version": 3, "shape": (nbytes,), "typestr": "|u1", "data": (address, False)}

    def __del__(self) -> None:
        self._pool._give_back(self._block)


class Pool:
    """Blocks by size; the one that was used last is taken first, since it may still be in a cache."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._free: dict[int, list[mmap.mmap]] = {}
        self._free_bytes = 0
        # Given back, not sorted in yet: leases die at any moment, also within `take`, where no lock can be had.
        self._returned: deque[mmap.mmap] = deque()
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._renew_lock)

    @property
    def free_bytes(self) -> int:
        """Bytes that are kept for later."""
        self._sort_in()
        return self._free_bytes

    def take(self, nbytes: int) -> npt.NDArray[np.uint8]:
        """`nbytes` (> 0) of memory, uint8, writable, with whatever it held before.

        Errors: MemoryError.
        """
        self._sort_in()
        size = _block_bytes(nbytes)
        with self._lock:
            blocks = self._free.get(size)
            block = blocks.pop() if blocks else None
            if block is not None:
                self._free_bytes -= size
        if block is None:
            block = _new_block(size)
        return np.asarray(_Lease(self, block, nbytes))

    def _give_back(self, block: mmap.mmap) -> None:
        self._returned.append(block)
        self._sort_in()

    def _sort_in(self) -> None:
        # Whoever has the lock now leaves what comes meanwhile to the next.
        if not self._returned or not self._lock.acquire(blocking=False):
            return
        try:
            with contextlib.suppress(IndexError):
                while True:
                    self._keep(self._returned.popleft())
        finally:
            self._lock.release()

    def _keep(self, block: mmap.mmap) -> None:
        size = len(block)
        if size > self._kept_bytes:
            return
        while self._free_bytes + size > self._kept_bytes:
            self._drop_one()
        self._free.setdefault(size, []).append(block)
        self._free_bytes += size

    def _drop_one(self) -> None:
        """Of the size that was not used for longest, as far as the order of first use tells."""
        size = next(iter(self._free))
        blocks = self._free[size]
        blocks.pop(0)
        self._free_bytes -= size
        if not blocks:
            del self._free[size]

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()


def _block_bytes(nbytes: int) -> int:
    """Rounded up by at most a quarter, so that batches of about the same size share blocks."""
    step = max(mmap.PAGESIZE, 1 << max(0, (nbytes - 1).bit_length() - 3))
    return -(-nbytes // step) * step


def _new_block(size: int) -> mmap.mmap:
    try:
        block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"no memory for a reply of {size} bytes") from error
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel without huge pages
            block.madvise(mmap.MADV_HUGEPAGE)
    return block


POOL = Pool()
"""That of this process."""
