"""A loader for PyTorch, whose workers fetch the batches of a StreamingDataset ahead.

The loader begins a pass by one message to each worker. So the passes of both have the same numbers, however late a
worker reads the message: by then the loader may have left this pass, have begun others, or be gone.

Workers take their steps in turn: each one after the worker of the step before has its batch. So the steps have their
rows in order, and no worker asks for the step of another one, whose rows AUTOEVICT might then remove too early.
"""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.context import BaseContext
from multiprocessing.sharedctypes import RawArray, RawValue
from typing import Any

import torch
from torch.utils.data import DataLoader

from sluice import _calls
from sluice.errors import ConnectionLost
from sluice.session import end_with_close
from sluice.streaming import Batch, StreamingDataset, watch_parent

_NO_PASS, _CLOSED = -1, -2
_ALL_STEPS = (1 << 32) - 1


class StreamingDataLoader(DataLoader[Batch]):
    """A DataLoader for a StreamingDataset, which makes the batches itself. The arguments are those of DataLoader.

    Workers, forked or spawned, fetch ahead over their own connections, each one prefetch_factor batches (not
    micro-batches). The batches come in the order of the steps.

    Each iteration with workers begins at the first step of the dataset. It yields the same batches again, as long as
    the server remembers them. A killed worker raises RuntimeError, as in every DataLoader (OSError or EOFError within a
    batch). To continue, make a dataset with first_step, and a new loader, after the except clause. close() ends an
    iteration with ConnectionLost, also the waiting of its workers. pin_memory has no effect without a GPU.
    """

    dataset: StreamingDataset

    def __init__(
        self,
        dataset: StreamingDataset,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        worker_init_fn: Callable[[int], None] | None = None,
        multiprocessing_context: Any = None,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
    ) -> None:
        pin = pin_memory and torch.cuda.is_available()
        super().__init__(
            dataset,
            batch_size=None,
            num_workers=num_workers,
            collate_fn=functools.partial(_collate, collate_fn or _as_it_is) if num_workers else collate_fn or _as_it_is,
            pin_memory=pin,
            worker_init_fn=worker_init_fn,
            multiprocessing_context=multiprocessing_context,
            prefetch_factor=prefetch_factor,
            persistent_workers=persistent_workers,
            pin_memory_device=pin_memory_device if pin else "",
        )
        self._passes: Passes | None = None  # with the workers of self._iterator

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # enough for a for loop
        """One pass over the dataset."""
        return self._with_workers() if self.num_workers else super().__iter__()

    def _with_workers(self) -> Iterator[Any]:
        if self._iterator is None or self._passes is None:  # otherwise the workers of the previous pass are still alive
            self._passes = Passes(self.num_workers, self.multiprocessing_context or multiprocessing.get_context())
            end_with_close(self._passes)
        passes = self._passes
        this_pass = passes.begin()
        try:
            batches = self._started(passes)  # outlives the loop: torch waits for the workers when it is deleted
            for parts in batches:
                yield from parts
                _refuse_closed(passes)
            _refuse_closed(passes)
        finally:
            passes.end(this_pass)  # workers that wait for rows stop, so torch need not wait before it kills them

    def _started(self, passes: Passes) -> Iterator[Any]:
        """Begins a pass in the workers, and starts them if necessary."""
        self.dataset._passes = passes
        try:
            return super().__iter__()
        except BaseException:
            self._iterator = None  # only some of the workers may have begun the pass
            raise
        finally:
            self.dataset._passes = None

    def reset(self) -> None:
        """Calls StreamingDataset.reset. With workers each iteration begins at the first step anyway."""
        self.dataset.reset()

    def step(self, partition_id: str) -> None:
        """Calls StreamingDataset.step. With workers it takes effect at the next iteration."""
        self.dataset.step(partition_id)
        self._iterator = None  # persistent workers have the old dataset

    def get_buffer(self) -> list[Batch]:
        """Returns the buffer of the dataset: (TensorDict, BatchMeta) per batch. It is empty with workers."""
        return self.dataset.buffer


def _refuse_closed(passes: Passes) -> None:
    if passes.closed:
        raise ConnectionLost("close() ended this pass of the loader")


def _collate(collate: Callable[[Any], Any], parts: list[Any]) -> list[Any]:
    return [collate(part) for part in parts]


def _as_it_is(batch: Any) -> Any:
    return batch


class Passes:
    """What a loader shares with one set of workers: which pass is running, and who takes the next step.

    Can be passed to workers when they start, forked or spawned. Thread safety: any thread and any process. A worker that
    is killed holds up nobody: nothing here is locked.
    """

    def __init__(self, workers: int, context: BaseContext) -> None:
        self._running = RawValue("q", _NO_PASS)
        self._begun = 0
        # pass << 32 | the number of steps that a worker has taken in it. Only this worker writes it.
        self._taken = RawArray("q", [-1] * workers)
        # They only wake a worker that waits for its turn; whether it has its turn is in _taken.
        self._bells = [context.Semaphore(0) for _ in range(workers)]

    # --- in the loader

    def begin(self) -> int:
        """Begins a pass and returns its number. The pass before it ends."""
        self._running.value, self._begun = self._begun, self._begun + 1
        return int(self._running.value)

    def end(self, number: int) -> None:
        """Ends this pass, unless another one has begun since. Workers that wait for rows stop."""
        if self._running.value == number:
            self._running.value = _NO_PASS

    def close(self) -> None:
        """Ends the running pass because of close()."""
        if self._running.value != _NO_PASS:
            self._running.value = _CLOSED

    @property
    def closed(self) -> bool:
        """Whether close() has ended the last pass."""
        return bool(self._running.value == _CLOSED)

    # --- in a worker

    def worker(self, number: int, worker: int) -> Turns:
        """Returns the turns of a worker in this pass."""
        return Turns(self, number, worker)


class Turns:
    """The turns of one worker in one pass."""

    def __init__(self, passes: Passes, number: int, worker: int) -> None:
        self._passes, self._number, self._worker = passes, number, worker
        self._orphaned = watch_parent()
        self._steps = 0  # that this worker has taken

    def left(self) -> bool:
        """Returns whether nobody waits for this pass any more."""
        return self._orphaned() or self._passes._running.value != self._number

    def wait(self) -> bool:
        """Waits until it is the turn of this worker. Returns False if the pass was left before."""
        passes, bell = self._passes, self._passes._bells[self._worker]
        before = self._worker - 1  # -1: the last worker, which takes the steps before those of worker 0
        needed = self._steps + 1 if self._worker else self._steps
        while True:
            while bell.acquire(block=False):
                pass
            if needed == 0 or passes._taken[before] >= self._number << 32 | needed:
                return True
            if self.left():
                return False
            bell.acquire(timeout=_calls._GIVE_UP_WITHIN_S)

    def done(self, *, ended: bool) -> None:
        """Gives the turn to the next worker. `ended`: there was no step any more, and the others will see the same."""
        self._steps = _ALL_STEPS if ended else self._steps + 1
        passes = self._passes
        passes._taken[self._worker] = self._number << 32 | self._steps
        passes._bells[(self._worker + 1) % len(passes._bells)].release()
