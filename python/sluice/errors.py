"""What can go wrong, as exceptions. All are SluiceError; each is also the built-in that a caller would expect."""

from __future__ import annotations


class SluiceError(Exception):
    """Base of all errors of this package."""


class NotInitialized(SluiceError, RuntimeError):
    """This process is connected to no server: init() was not called, and none of this job runs on this machine."""


class ServerError(SluiceError):
    """The server refused a command, and nothing was changed.

    `code` is the first word of its reply (docs/commands.md lists them); the text names what was wrong and where.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code

    def __reduce__(self) -> tuple[type[ServerError], tuple[str, str]]:
        """Errors travel between processes, such as from a DataLoader's worker."""
        return type(self), (self.code, str(self))


class RequestError(ServerError, ValueError):
    """The request cannot be met as it is: a key, field or partition is missing, a field is not ready, dtypes differ."""


class FullError(ServerError):
    """A limit is reached: that of the partition (code FULL) or the server's memory (code OOM)."""


class ConnectionLost(SluiceError, ConnectionError):
    """There is no connection to the server, and what was asked for was not carried out."""


class Unconfirmed(ConnectionLost):
    """The connection broke before the answer came: the call may have been carried out, or not.

    Calls that can be repeated without harm are repeated, and do not raise this.
    """


class CallTimeout(SluiceError, TimeoutError):
    """No answer within the time-out. The call may have been carried out, or not; one that waited for rows was taken back."""


_REQUEST_ERRORS = frozenset(
    {"ERR", "NOPARTITION", "NOKEY", "NOFIELD", "NOTASK", "NOTREADY", "DTYPE", "SHAPE", "BADTAG", "WRONGTYPE"}
)


def server_error(reply: str) -> ServerError:
    """The exception for an error reply, such as `NOKEY partition 'p' has no row 'k'`."""
    code, _, message = reply.partition(" ")
    kind = RequestError if code in _REQUEST_ERRORS else FullError if code in {"FULL", "OOM"} else ServerError
    return kind(code, message or code)
