"""Recycled memory for received values.

The first write to a fresh page costs far more than the copy itself: about 12 us for 4 KiB on a virtual machine
(0.3 GB/s instead of 10). So the memory of large tensors is used again. `take` lends a block as a NumPy array. Objects
that are made of this array without a copy (slices, np.asarray, tensors, memoryviews) keep the block. When the last of
them is gone, the block is free for the next reply.

A block returns at any moment: in any thread, within the collector, between two instructions of `take`. A signal handler
may also raise at any moment. So no Python code runs when a block returns, there is no lock, and the free blocks are
the only state: each change of them is one call that is atomic in the interpreter.

Thread safety: any thread. A forked child continues with its own copy.
"""

from __future__ import annotations

import contextlib
import functools
import mmap
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

KEPT_BYTES = 1 << 30
"""The amount of free memory that is kept. Memory beyond it is returned to the system."""


class _LentBlock:
    """The memory of one block. When all arrays and tensors on it are gone, the block returns to its pool.

    This is not a subclass of ndarray, but an object of which NumPy makes an array: a view refers to the last base of
    its own type and skips subclasses.
    """

    def __init__(self, block: mmap.mmap, nbytes: int, returned: dict[mmap.mmap, Any]) -> None:
        address: int = np.frombuffer(block, np.uint8).__array_interface__["data"][0]
        self.__array_interface__ = {"version": 3, "shape": (nbytes,), "typestr": "|u1", "data": (address, False)}
        # Not __del__, which would be Python code: this calls returned[block] = ... when this object dies.
        self._return = weakref.ref(self, functools.partial(returned.__setitem__, block))


class Pool:
    """Free blocks by size. The block that was used last is taken first: it may still be in a cache."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._free: dict[int, deque[mmap.mmap]] = {}
        self._returned: dict[mmap.mmap, Any] = {}  # its keys are blocks that are not sorted in yet

    @property
    def free_bytes(self) -> int:
        """The number of free bytes that are kept."""
        self.trim()
        return self._sum()

    def take(self, nbytes: int) -> npt.NDArray[np.uint8]:
        """Returns `nbytes` (> 0) of writable memory, uint8. Its contents are undefined.

        Errors: MemoryError.
        """
        self.trim()
        size = _block_bytes(nbytes)
        block = _taken(self._free[size].pop) if size in self._free else None
        if block is None:
            block = _new_block(size)
        return np.asarray(_LentBlock(block, nbytes, self._returned))

    def trim(self) -> None:
        """Sorts in the blocks that have returned, and drops memory beyond the limit. Each command calls it."""
        for block in list(self._returned):
            ours, size = self._returned.pop(block, None) is not None, len(block)
            if ours and size <= self._kept_bytes:
                self._free.setdefault(size, deque()).append(block)
                self._drop(size)

    def _drop(self, used: int) -> None:
        """Drops the blocks beyond the limit: first those of sizes that were used long ago, last those of size `used`."""
        while (beyond := self._sum() - self._kept_bytes) > 0:
            for size, blocks in sorted(self._free.items(), key=lambda item: item[0] == used):
                while beyond > 0 and _taken(blocks.popleft) is not None:
                    beyond -= size

    def _sum(self) -> int:
        return sum(size * len(blocks) for size, blocks in self._free.copy().items())


def _taken(pop: Callable[[], mmap.mmap]) -> mmap.mmap | None:
    """Returns the block that `pop` takes out of a deque, or None if it is empty: another thread may have been faster."""
    try:
        return pop()
    except IndexError:
        return None


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
