"""Exceptions. All are SluiceError; each one is also the built-in exception that a caller would expect."""

from __future__ import annotations


class SluiceError(Exception):
    """Base of all errors of this package."""


class NotInitialized(SluiceError, RuntimeError):
    """This process has no server: init() was not called, and no server of this job runs on this machine."""


class ServerError(SluiceError):
    """The server refused a command. Nothing was changed.

    `code` is the first word of the error reply (docs/protocol.md lists the codes). The text names the cause and the place.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[ServerError], tuple[str, str]]:
        """Makes the error picklable: a DataLoader worker sends errors to its parent."""
        return type(self), (self.code, str(self))


class RequestError(ServerError, ValueError):
    """The request is invalid: a key, field or partition does not exist, a field is not ready, or dtypes differ."""


class FullError(ServerError):
    """A limit of the partition (code FULL) or the server's memory budget (code OOM) is reached."""


class ConnectionLost(SluiceError, ConnectionError):
    """There is no connection to the server, and the request was not carried out."""


class Unconfirmed(ConnectionLost):
    """The connection broke before the reply came: the call may have been carried out, or not.

    A call that can be repeated without harm is repeated, and does not raise this error.
    """


class CallTimeout(SluiceError, TimeoutError):
    """No reply within the time-out. The call may have been carried out, or not. The server ends a blocked call."""


_REQUEST_ERRORS = frozenset(
    {"ERR", "NOPARTITION", "NOKEY", "NOFIELD", "NOTASK", "NOTREADY", "DTYPE", "SHAPE", "BADTAG", "STALE", "WRONGTYPE"}
)


def server_error(reply: str) -> ServerError:
    """Returns the exception for an error reply, such as `NOKEY partition 'p' has no row 'k'`."""
    code, _, message = reply.partition(" ")
    kind = RequestError if code in _REQUEST_ERRORS else FullError if code in {"FULL", "OOM"} else ServerError
    return kind(code, message or code)
