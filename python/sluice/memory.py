"""Recycled memory for received values.

The first write to a fresh page costs far more than the copy itself: about 12 us for 4 KiB on a virtual machine
(0.3 GB/s instead of 10). So the memory of large tensors is used again. `take` lends a block as a NumPy array. Objects
that are made of this array without a copy (slices, np.asarray, tensors, memoryviews) keep the block. When the last of
them is gone, the block is free for the next reply.

Thread safety: any thread. A forked child continues with its own copy.
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
"""The amount of free memory that is kept. Memory beyond it is returned to the system."""


class _LentBlock:
    """The memory of one block. When all arrays and tensors on it are gone, the block returns to its pool.

    This is not a subclass of ndarray, but an object of which NumPy makes an array: a view refers to the last base of
    its own type and skips subclasses.
    """

    def __init__(self, pool: Pool, block: mmap.mmap, nbytes: int) -> None:
        self._pool = pool
        self._block = block
        address: int = np.frombuffer(block, np.uint8).__array_interface__["data"][0]
        self.__array_interface__ = {"version": 3, "shape": (nbytes,), "typestr": "|u1", "data": (address, False)}

    def __del__(self) -> None:
        self._pool._give_back(self._block)


class Pool:
    """Free blocks by size. The block that was used last is taken first: it may still be in a cache."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._free: dict[int, list[mmap.mmap]] = {}
        self._free_bytes = 0
        # Returned blocks that are not sorted in yet. A block may return at any moment, even inside `take`, which holds the lock.
        self._returned: deque[mmap.mmap] = deque()
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._renew_lock)

    @property
    def free_bytes(self) -> int:
        """The number of free bytes that are kept."""
        self._sort_in()
        return self._free_bytes

    def take(self, nbytes: int) -> npt.NDArray[np.uint8]:
        """Returns `nbytes` (> 0) of writable memory, uint8. Its contents are undefined.

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
        return np.asarray(_LentBlock(self, block, nbytes))

    def _give_back(self, block: mmap.mmap) -> None:
        self._returned.append(block)
        self._sort_in()

    def _sort_in(self) -> None:
        # Blocks that return while another thread holds the lock are sorted in by the next call.
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
        """Drops a block of the size that was used first."""
        size = next(iter(self._free))
        blocks = self._free[size]
        blocks.pop(0)
        self._free_bytes -= size
        if not blocks:
            del self._free[size]

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()


def _block_bytes(nbytes: int) -> int:
    """Rounds up by at most a quarter, so that batches of similar size share blocks."""
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
"""The pool of this process."""
