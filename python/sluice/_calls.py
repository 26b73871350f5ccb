"""Runs calls to the server in threads, so that an event loop or a loader may give them up.

The threads are daemons: the interpreter does not wait for a call that waits for rows.

Thread safety: any thread and any event loop.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any, ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_GIVE_UP_WITHIN_S = 0.1


class Abortable(Protocol):
    """A connection whose running call can be ended from another thread."""

    def abort(self) -> None: ...


class _Call:
    """A call that runs in a thread of this module, and may be given up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._link: Abortable | None = None
        self._given_up = False

    def run(self, function: Callable[[], T]) -> T:
        _thread.call = self
        try:
            return function()
        finally:
            _thread.call = None

    def use(self, link: Abortable | None) -> None:
        """Sets the connection in use, or None. Only the connection in use may be aborted."""
        with self._lock:
            self._link = link
            if link is not None and self._given_up:
                link.abort()

    def give_up(self) -> None:
        """Closes the connection in use, and each one that the call would use later."""
        with self._lock:
            self._given_up = True
            if self._link is not None:
                self._link.abort()


class _Thread(threading.local):
    call: _Call | None = None


_thread = _Thread()


def running_call(link: Abortable | None) -> None:
    """Notes the connection that the call of this thread uses from now on, or None."""
    if _thread.call is not None:
        _thread.call.use(link)


_idle: deque[SimpleQueue[tuple[Future[Any], Callable[[], Any]]]] = deque()  # the inboxes of threads without a call
os.register_at_fork(after_in_child=_idle.clear)


def _submit(call: _Call, function: Callable[[], T]) -> Future[T]:
    """Runs the call in a thread of its own: an idle one, else a new one."""
    future: Future[T] = Future()
    try:
        inbox = _idle.pop()
    except IndexError:
        inbox = SimpleQueue()
        threading.Thread(target=_serve, args=(inbox,), name="sluice", daemon=True).start()
    inbox.put((future, functools.partial(call.run, function)))
    return future


def _serve(inbox: SimpleQueue[tuple[Future[Any], Callable[[], Any]]]) -> None:
    while True:
        _run(*inbox.get())
        _idle.append(inbox)


def _run(future: Future[Any], function: Callable[[], Any]) -> None:
    if future.set_running_or_notify_cancel():
        try:
            result = function()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a function that calls the server in a thread. The event loop continues.

    If the awaiting task is cancelled, or its event loop is closed, the connection is closed, so the server ends a
    blocked command.
    """
    call = _Call()
    future = _submit(call, lambda: function(*args, **kwargs))
    try:
        return await asyncio.wrap_future(future)
    finally:
        if not future.done():
            call.give_up()


def unless(given_up: Callable[[], bool], function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Runs a function that calls the server. Returns None if `given_up`, called ten times per second, returns True.

    The connection is then closed, so the server ends a blocked command.
    """
    call = _Call()
    future = _submit(call, lambda: function(*args, **kwargs))
    try:
        while not wait([future], _GIVE_UP_WITHIN_S).done:
            if given_up():
                return None
        return future.result()
    finally:
        if not future.done():
            call.give_up()


def async_variant(function: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Returns the async variant of a function or method that calls the server. Its name is `async_` and the name."""

    @functools.wraps(function)
    async def awaited(*args: P.args, **kwargs: P.kwargs) -> T:
        return await in_thread(function, *args, **kwargs)

    awaited.__name__ = f"async_{function.__name__}"
    awaited.__qualname__ = f"{function.__qualname__.removesuffix(function.__name__)}{awaited.__name__}"
    awaited.__doc__ = f"The async variant of `{function.__name__}`: the event loop continues meanwhile.\n\n{function.__doc__}"
    return awaited
