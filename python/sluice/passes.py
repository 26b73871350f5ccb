"""What a loader shares with its workers: which pass is running, and which worker takes the next step.

The loader begins a pass by one message to each worker. So the passes of both have the same numbers, however late a
worker reads the message: by then the loader may have left this pass, have begun others, or be gone.

Workers take their steps in turn: each one after the worker of the step before has its batch. So the steps have their
rows in order, and no worker asks for the step of another one, whose rows AUTOEVICT might then remove too early.

Thread safety: any thread and any process. A worker that is killed holds up nobody: nothing here is locked.
"""

from __future__ import annotations

import os
from multiprocessing.context import BaseContext
from multiprocessing.sharedctypes import RawArray, RawValue

from sluice import _calls

_NO_PASS, _CLOSED = -1, -2
_ALL_STEPS = (1 << 32) - 1


class Passes:
    """The passes of one loader with one set of workers. Can be passed to workers when they start, forked or spawned."""

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
        self._loader = os.getppid()
        self._steps = 0  # that this worker has taken

    def left(self) -> bool:
        """Returns whether nobody waits for this pass any more."""
        return os.getppid() != self._loader or self._passes._running.value != self._number

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
