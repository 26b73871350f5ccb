"""One connection: sends requests from the memory of tensors, and receives replies (RESP3) into memory.

redis-py finds the server, logs in, and speaks TLS. After that this module sends and receives over its socket, because
redis-py would read 32 KiB at a time and copy a large bulk string several times. The socket blocks in the kernel, with
the time-outs of the kernel (SO_RCVTIMEO). One call of recv or sendmsg moves megabytes, and waits without the
interpreter's lock.

Thread safety: one caller at a time; only `abort` may be called from another thread.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from redis.connection import Connection

from sluice.errors import server_error
from sluice.memory import POOL

Arg: TypeAlias = "str | bytes | int | float | memoryview"
"""An argument of a command. A large memoryview (C-contiguous bytes) is sent without a copy."""

LARGE_BYTES = 16 << 10
"""Bulk strings of this size or more are sent without a copy, and received into recycled memory if they may be tensors."""

_READ_BYTES = 64 << 10
_CHUNK_BYTES = 64 << 20  # largest recv; each recv has the whole time-out
_UNIX_SEND_BYTES = 512 << 10  # a put of 302 MB takes 51 ms, and 55 ms with the system's 208 KiB
_BUFFERS_MAX = 512  # per sendmsg; the system's limit is 1,024


class TimedOut(Exception):
    """The time-out of the socket has passed."""


def packed_commands(commands: Sequence[Sequence[Arg]]) -> list[memoryview]:
    """Returns the bytes of these commands in few pieces. Each large argument is a piece of its own and is not copied."""
    pieces: list[memoryview] = []
    small = bytearray()
    for command in commands:
        small += b"*%d\r\n" % len(command)
        for arg in command:
            if isinstance(arg, str):
                arg = arg.encode()
            elif isinstance(arg, (int, float)):
                arg = repr(arg).encode()
            size = len(arg)
            small += b"$%d\r\n" % size
            if size < LARGE_BYTES:
                small += arg
            else:
                pieces += [memoryview(small), memoryview(arg)]
                small = bytearray()
            small += b"\r\n"
    return [*pieces, memoryview(small)]


class Link:
    """A connection of redis-py after its handshake."""

    def __init__(self, connection: Connection) -> None:
        """Connects. Errors: those of redis-py."""
        connection.connect()
        self._connection = connection
        self._socket: socket.socket = connection._get_socket()  # type: ignore[assignment]  # it is connected
        self._tls = isinstance(self._socket, ssl.SSLSocket)
        if self._socket.family == socket.AF_UNIX:  # both sides then work at the same time; TCP finds its own size
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNIX_SEND_BYTES)
        self._timeout_s: float | None = -1.0
        self._buffer = bytearray(_READ_BYTES)
        self._view = memoryview(self._buffer)
        self._begin = self._end = 0  # bytes that were received and not read yet
        self._arrays = False  # of the reply that is read now

    def set_timeout(self, seconds: float | None) -> None:
        """Sets how long a send or receive may take without moving a byte. None means no limit."""
        if seconds == self._timeout_s:
            return
        if self._tls:
            self._socket.settimeout(seconds)
        else:
            self._socket.settimeout(None)
            microseconds = 0 if seconds is None else max(1, round(seconds * 1e6))
            value = struct.pack("ll", *divmod(microseconds, 1_000_000))
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)
        self._timeout_s = seconds

    def stale(self) -> bool:
        """Returns whether the server closed an idle connection, or sent bytes without a request."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0)) or self._begin != self._end

    def abort(self) -> None:
        """Ends a running call from another thread. The call raises OSError."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.disconnect()

    # --- sending

    def send(self, pieces: Sequence[memoryview]) -> None:
        """Sends all pieces. Errors: TimedOut, OSError."""
        with _time_out():
            if self._tls:
                for piece in pieces:
                    self._socket.sendall(piece)
            else:
                self._send_gathered(list(pieces))

    def _send_gathered(self, pieces: list[memoryview]) -> None:
        first = 0
        while first < len(pieces):
            sent = self._socket.sendmsg(pieces[first : first + _BUFFERS_MAX])
            while first < len(pieces) and sent >= len(pieces[first]):
                sent -= len(pieces[first])
                first += 1
            if sent:
                pieces[first] = pieces[first][sent:]

    # --- receiving

    def read(self, *, arrays: bool = False) -> Any:
        """Reads one reply; Wire.call describes the types. Errors: TimedOut, OSError."""
        self._arrays = arrays
        with _time_out():
            return self._value()

    def _value(self) -> Any:
        line = self._line()
        read = _READERS.get(line[0])
        if read is None:
            raise OSError(f"invalid reply: it begins with {line[:1]!r}")
        return read(self, line[1:])

    def _bulk(self, size: bytes) -> bytes | npt.NDArray[np.uint8] | None:
        nbytes = int(size)
        if nbytes < 0:
            return None
        value: bytes | npt.NDArray[np.uint8]
        if nbytes < LARGE_BYTES:
            value = self._small(nbytes)
        elif self._arrays:
            value = POOL.take(nbytes)
            self._fill(value.data)
        else:
            text = bytearray(nbytes)
            self._fill(memoryview(text))
            value = bytes(text)
        self._small(2)
        return value

    def _map(self, count: bytes) -> dict[Any, Any]:
        return {self._value(): self._value() for _ in range(int(count))}

    def _array(self, count: bytes) -> list[Any] | None:
        return None if count == b"-1" else [self._value() for _ in range(int(count))]

    def _verbatim(self, size: bytes) -> Any:
        value = self._bulk(size)
        return None if value is None else value[4:]  # without "txt:"

    def _push(self, count: bytes) -> Any:
        self._array(count)  # a push that was not requested; the reply follows it
        return self._value()

    # --- bytes

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n", self._begin, self._end)) < 0:
            self._receive_more()
        line = bytes(self._view[self._begin : end])
        self._begin = end + 2
        return line

    def _small(self, nbytes: int) -> bytes:
        while self._end - self._begin < nbytes:
            self._receive_more()
        value = bytes(self._view[self._begin : self._begin + nbytes])
        self._begin += nbytes
        return value

    def _fill(self, target: memoryview) -> None:
        have = min(self._end - self._begin, len(target))
        target[:have] = self._view[self._begin : self._begin + have]
        self._begin += have
        while have < len(target):
            flags = 0 if self._tls else socket.MSG_WAITALL
            count = self._socket.recv_into(target[have : have + _CHUNK_BYTES], 0, flags)
            if count == 0:
                raise ConnectionResetError("connection closed by the server")
            have += count

    def _receive_more(self) -> None:
        if self._begin:
            self._buffer[: self._end - self._begin] = self._buffer[self._begin : self._end]
            self._end -= self._begin
            self._begin = 0
        count = self._socket.recv_into(self._view[self._end :])
        if count == 0:
            raise ConnectionResetError("connection closed by the server")
        self._end += count


def _error(_: Link, text: bytes) -> Exception:
    return server_error(text.decode(errors="replace"))


_READERS: dict[int, Callable[[Link, bytes], Any]] = {
    ord("+"): lambda _, text: text,
    ord("-"): _error,
    ord(":"): lambda _, text: int(text),
    ord(","): lambda _, text: float(text),
    ord("#"): lambda _, text: text == b"t",
    ord("_"): lambda _, text: None,
    ord("$"): Link._bulk,
    ord("="): Link._verbatim,
    ord("*"): Link._array,
    ord("~"): Link._array,
    ord("%"): Link._map,
    ord(">"): Link._push,
}


class _time_out:  # noqa: N801  -- used as a statement; contextlib's decorator costs microseconds
    """Turns the errors with which the kernel reports a time-out into TimedOut."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> None:
        if isinstance(error, (BlockingIOError, TimeoutError)):
            raise TimedOut from error
