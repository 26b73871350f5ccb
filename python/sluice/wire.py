"""Sends commands to a server and reads their replies, over a pool of connections.

Thread safety: any thread. Each call has its own connection while it runs. A forked child makes new connections.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, parse_url
from redis.retry import Retry

from sluice._calls import running_call
from sluice._link import Arg, Link, TimedOut, packed_commands
from sluice.errors import CallTimeout, ConnectionLost, ServerError, Unconfirmed
from sluice.memory import POOL

_CONNECT_TIMEOUT_S = 10.0


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
        self.timeout_s = timeout_s
        self._links = _Links(url, client_name)

    def with_timeout(self, timeout_s: float) -> Wire:
        """Returns a Wire over the same connections with another time-out."""
        other = copy.copy(self)
        other.timeout_s = timeout_s
        return other

    def call(self, *command: Arg, repeat: bool = False, wait_s: float | None = 0.0, arrays: bool = False) -> Any:
        """Sends one command and returns its reply.

        The reply consists of integers, floats, bool, bytes, None, lists and dicts (keys: bytes). `arrays`: for replies
        with tensors; a bulk string of 16 KiB or more is then a uint8 array in recycled memory that is not shared.
        `wait_s`: how long the server may wait before it replies (None: no limit). `repeat`: running the command twice
        does no harm, so it is sent once more after a lost connection.

        Errors: ServerError and its children for an error reply; ConnectionLost, Unconfirmed, CallTimeout.
        """
        [reply] = self.pipeline(command, repeat=repeat, wait_s=wait_s, arrays=arrays)
        if isinstance(reply, ServerError):
            raise reply
        return reply

    def pipeline(
        self, *commands: Sequence[Arg], repeat: bool = False, wait_s: float | None = 0.0, arrays: bool = False
    ) -> list[Any]:
        """Sends several commands in one round trip. An error reply is returned as a ServerError in its position, not raised."""
        pieces = packed_commands(commands)
        timeout_s = None if wait_s is None else self.timeout_s + wait_s
        POOL.trim()
        for attempt in range(2):
            link = self._links.take()
            sent = False
            try:
                running_call(link)
                link.set_timeout(timeout_s)
                link.send(pieces)
                sent = True
                replies = [link.read(arrays=arrays) for _ in commands]
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
                running_call(None)
                self._links.used.discard(link)
            self._links.give_back(link)
            return replies
        raise AssertionError("not reached: the second attempt returns or raises")

    def transact(self, watched: Sequence[str], commands: Callable[[Wire], Sequence[Sequence[Arg]]]) -> list[Any]:
        """Runs commands in one step, which depend on what was read before them. Returns their replies.

        `commands` reads over the given Wire, and returns the commands. If another client has meanwhile written to one
        of the `watched` names, nothing is done, and `commands` is called again. If a command fails, those after it still
        run; as in pipeline(), its error reply is returned as a ServerError in its position.

        Errors: that of a command that the server does not even queue, which ends the step; as call().
        """
        while True:
            link = self._links.take()
            one = copy.copy(self)
            one._links = _OneLink(link)
            try:
                one.call("WATCH", *watched)
                *queued, replies = one.pipeline(["MULTI"], *commands(one), ["EXEC"])
                for reply in [*queued, replies]:
                    if isinstance(reply, ServerError):
                        raise reply
            except BaseException:
                link.close()
                raise
            finally:
                self._links.used.discard(link)
            self._links.give_back(link)
            if replies is not None:
                return list(replies)

    def close(self) -> None:
        """Closes the connections. Calls that run in other threads end, and later calls raise ConnectionLost."""
        self._links.close()

    def forget(self) -> None:
        """Closes the idle connections. Calls that run in other threads go on."""
        self._links.close_idle()


class _Links:
    """The connections to one server: idle ones, and those that calls use."""

    def __init__(self, url: str, client_name: str | None) -> None:
        self._options: dict[str, Any] = parse_url(url)
        self._connection_class: type[Connection] = self._options.pop("connection_class", Connection)
        self._options |= {
            "protocol": 3,
            "client_name": client_name,
            "retry": Retry(NoBackoff(), 0),
            "socket_connect_timeout": _CONNECT_TIMEOUT_S,
            "socket_timeout": _CONNECT_TIMEOUT_S,  # for the handshake; each call sets its own
        }
        self.idle: list[Link] = []
        self.used: set[Link] = set()
        self._closed = False
        self._pid = os.getpid()

    def take(self) -> Link:
        """Returns a connection for one call. Errors: ConnectionLost; ServerError if the login is refused."""
        if self._pid != os.getpid():
            # These connections belong to the parent. Dropping them closes them only in this process.
            self.idle, self.used, self._pid = [], set(), os.getpid()
        link = None
        while link is None and self.idle:
            link = self.idle.pop()
            if link.stale():
                link.close()
                link = None
        link = link or self._connect()
        self.used.add(link)
        if self._closed:
            self.used.discard(link)
            link.close()
            raise ConnectionLost(f"the connections to the server at {self._place()} were closed by close()")
        return link

    def give_back(self, link: Link) -> None:
        """Keeps the connection for the next call."""
        self.idle.append(link)
        if self._closed:
            self.close_idle()

    def close(self) -> None:
        self._closed = True
        for link in self.used.copy() if self._pid == os.getpid() else ():
            link.abort()
        self.close_idle()

    def close_idle(self) -> None:
        while self.idle:
            self.idle.pop().close()

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


class _OneLink(_Links):
    """One connection, for commands that follow one another. It stays in `used` of the pool that it was taken from."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.used = set()

    def take(self) -> Link:
        return self._link

    def give_back(self, link: Link) -> None:
        pass  # transact() gives it back


def _lost(name: Arg, error: OSError, *, unconfirmed: bool, final: bool) -> None:
    """Raises the error of a broken connection. Returns if the call shall be tried again."""
    if unconfirmed:
        raise Unconfirmed(
            f"{name!s}: the connection broke before the reply came ({error}): the command may have been carried out, or not"
        ) from error
    if final:
        raise ConnectionLost(f"{name!s}: the connection broke twice ({error})") from error
