"""A loader for PyTorch, whose workers fetch the batches of a StreamingDataset ahead."""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from sluice.errors import ConnectionLost
from sluice.passes import Passes
from sluice.session import end_with_close
from sluice.streaming import Batch, StreamingDataset


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
