"""Sends commands to a server and reads their replies, over a pool of connections.

Thread safety: any thread. Each call has its own connection while it runs. A forked child makes new connections.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.retry import Retry

from sluice._link import Arg, Link, TimedOut, packed_commands
from sluice.errors import CallTimeout, ConnectionLost, ServerError, Unconfirmed

P = ParamSpec("P")
T = TypeVar("T")

_CONNECT_TIMEOUT_S = 10.0
_GIVE_UP_WITHIN_S = 0.1


def lines(items: Iterable[str]) -> list[Arg]:
    """Returns the short form of a list: one argument, with one item per line."""
    return ["LINES", "\n".join(items)]


def packed(numbers: Iterable[int] | npt.NDArray[Any]) -> memoryview:
    """Returns row indexes, lengths or shapes as packed int64: little-endian, one after another."""
    array = numbers if isinstance(numbers, np.ndarray) else np.array(list(numbers))
    return np.ascontiguousarray(array, dtype="<i8").reshape(-1).view(np.uint8).data


def unpacked(blob: bytes | npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Returns the numbers of a packed int64 blob as a new array."""
    return np.frombuffer(blob, "<i8").astype(np.int64)


class Wire:
    """A pool of connections to one server. The first call makes the first connection.

    `url` has the form of redis-py: redis://[[user]:password@]host:port, rediss://... for TLS, unix:///path/to.sock.
    `timeout_s` limits each call: how long the server may be silent, in addition to the wait time of the command.
    """

    def __init__(self, url: str, *, timeout_s: float = 60.0, client_name: str | None = None) -> None:
        self.url = url
        self.timeout_s = timeout_s
        self._options: dict[str, Any] = parse_url(url)
        self._connection_class: type[Connection] = self._options.pop("connection_class", Connection)
        self._options |= {
            "protocol": 3,
            "client_name": client_name,
            "retry": Retry(NoBackoff(), 0),
            "socket_connect_timeout": _CONNECT_TIMEOUT_S,
            "socket_timeout": _CONNECT_TIMEOUT_S,  # for the handshake; each call sets its own
        }
        self._idle: list[Link] = []
        self._pid = os.getpid()

    def call(self, *command: Arg, repeat: bool = False, wait_s: float | None = 0.0) -> Any:
        """Sends one command and returns its reply.

        The reply consists of integers, floats, bool, None, lists and dicts (keys: bytes). A bulk string under 16 KiB is
        bytes, a larger one a uint8 array in recycled memory that is not shared. `wait_s`: how long the server may wait
        before it replies (None: no limit). `repeat`: running the command twice does no harm, so it is sent once more
        after a lost connection.

        Errors: ServerError and its children for an error reply; ConnectionLost, Unconfirmed, CallTimeout.
        """
        [reply] = self.pipeline(command, repeat=repeat, wait_s=wait_s)
        if isinstance(reply, ServerError):
            raise reply
        return reply

    def pipeline(self, *commands: Sequence[Arg], repeat: bool = False, wait_s: float | None = 0.0) -> list[Any]:
        """Sends several commands in one round trip. An error reply is returned as a ServerError in its position, not raised."""
        pieces = packed_commands(commands)
        timeout_s = None if wait_s is None else self.timeout_s + wait_s
        for attempt in range(2):
            link = self._take()
            sent = False
            try:
                link.set_timeout(timeout_s)
                link.send(pieces)
                sent = True
                replies = [link.read() for _ in commands]
            except TimedOut:
                link.close()
                raise CallTimeout(f"{commands[0][0]!s}: no reply within {timeout_s:g} s") from None
            except OSError as error:
                link.close()
                # A single command that was not sent completely cannot have been carried out.
                _lost(commands[0][0], error, unconfirmed=not repeat and (sent or len(commands) > 1), final=attempt == 1)
                continue
            except BaseException:
                link.close()  # a part of a reply may be left in it
                raise
            finally:
                _in_use(None)
            self._idle.append(link)
            return replies
        raise AssertionError("not reached: the second attempt returns or raises")

    def close(self) -> None:
        """Closes the idle connections. Connections in use stay open until their calls end."""
        while self._idle:
            self._idle.pop().close()

    def _take(self) -> Link:
        if self._pid != os.getpid():
            # These connections belong to the parent. Dropping them closes them only in this process.
            self._idle, self._pid = [], os.getpid()
        link = None
        while link is None and self._idle:
            link = self._idle.pop()
            if link.stale():
                link.close()
                link = None
        if link is None:
            link = self._connect()
        _in_use(link)
        return link

    def _connect(self) -> Link:
        try:
            return Link(self._connection_class(**self._options))
        except redis.AuthenticationError as error:
            raise ServerError("WRONGPASS", str(error)) from error
        except redis.ResponseError as error:
            raise ServerError("ERR", str(error)) from error
        except (redis.RedisError, OSError) as error:
            raise ConnectionLost(f"no connection to the server at {self._place()}: {error}") from error

    def _place(self) -> str:
        """Returns the address without a password."""
        return str(self._options.get("path") or f"{self._options.get('host', 'localhost')}:{self._options.get('port', 6379)}")


def _lost(name: Arg, error: OSError, *, unconfirmed: bool, final: bool) -> None:
    """Raises the error of a broken connection. Returns if the call shall be tried again."""
    if unconfirmed:
        raise Unconfirmed(
            f"{name!s}: the connection broke before the reply came ({error}): the command may have been carried out, or not"
        ) from error
    if final:
        raise ConnectionLost(f"{name!s}: the connection broke twice ({error})") from error


def _in_use(link: Link | None) -> None:
    if _thread.call is not None:
        _thread.call.use(link)


class _Call:
    """A call that runs in a thread of this module, for a task that may cancel it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._cancelled = False

    def run(self, function: Callable[[], T]) -> T:
        _thread.call = self
        try:
            return function()
        finally:
            _thread.call = None

    def use(self, link: Link | None) -> None:
        """Sets the connection in use, or None. Only the connection in use may be aborted."""
        with self._lock:
            self._link = link
            if link is not None and self._cancelled:
                link.abort()

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            if self._link is not None:
                self._link.abort()


class _Thread(threading.local):
    call: _Call | None = None


_thread = _Thread()


@functools.lru_cache(maxsize=1)
def _threads(pid: int) -> ThreadPoolExecutor:
    """Returns the threads for async calls of this process, one per running call: a call that waits for rows keeps its own."""
    return ThreadPoolExecutor(max_workers=4096, thread_name_prefix=f"sluice-{pid}")


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs a function that calls the server in a thread. The event loop continues.

    If the awaiting task is cancelled, the connection is closed, so the server ends a blocked command.
    """
    call = _Call()
    loop = asyncio.get_running_loop()
    try:
        return await loop.run_in_executor(_threads(os.getpid()), call.run, lambda: function(*args, **kwargs))
    except asyncio.CancelledError:
        call.cancel()
        raise


def unless(given_up: Callable[[], bool], function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """Runs a function that calls the server. Returns None if `given_up`, called ten times per second, returns True.

    The connection is then closed, so the server ends a blocked command.
    """
    call = _Call()
    future = _threads(os.getpid()).submit(call.run, lambda: function(*args, **kwargs))
    try:
        while not wait([future], _GIVE_UP_WITHIN_S).done:
            if given_up():
                return None
        return future.result()
    finally:
        if not future.done():
            call.cancel()


def async_variant(function: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Returns the async variant of a function or method that calls the server. Its name is `async_` and the name."""

    @functools.wraps(function)
    async def awaited(*args: P.args, **kwargs: P.kwargs) -> T:
        return await in_thread(function, *args, **kwargs)

    awaited.__name__ = f"async_{function.__name__}"
    awaited.__qualname__ = f"{function.__qualname__.removesuffix(function.__name__)}{awaited.__name__}"
    awaited.__doc__ = f"The async variant of `{function.__name__}`: the event loop continues meanwhile.\n\n{function.__doc__}"
    return awaited
