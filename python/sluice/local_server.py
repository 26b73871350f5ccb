"""The server that init() starts where no address is given: one for each machine, user and job.

Its files lie in a folder that only the user can enter, and begin with the job's name:

    .sock   where the server listens
    .users  each process that uses the server holds a shared lock on it; the text: the options the server was started with
    .log    what the server and its keeper say; locked as long as one of the two lives, so whoever gets it may start one

The kernel takes locks back however a process ends; a fork's child shares those of its parent. So whatever is killed, and
whenever: there is one server, it stays while somebody uses it, and goes then. _keeper.py sees to that.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pathlib
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping

from sluice.errors import CallTimeout, SluiceError

Options = Mapping[str, "str | int"]

_POLL_S = 0.005
_PING_S = 1.0
_LOG_BYTES = 1 << 20  # a log is begun anew past this
_TEXT_BYTES = 1 << 20  # of the options, at most
_PATH_BYTES = 107  # of a Unix socket's path


class LocalServer:
    """A job's server on this machine, by the beginning of its files' names.

    Within a process, one thread at a time may call.
    """

    def __init__(self, stem: pathlib.Path) -> None:
        self._stem = stem
        self._users: int | None = None  # the descriptor that holds our shared lock
        self.url = f"unix://{stem}.sock"

    @classmethod
    def of_this_job(cls) -> LocalServer:
        """That of the job that this process belongs to, whether it runs or not.

        Errors: SluiceError where its folder is not the user's alone, or the path is too long for a socket.
        """
        job = job_name()
        # Names that differ only in what a file name cannot have stay apart; and so do machines that share the folder.
        digest = hashlib.sha256(f"{os.uname().nodename}\0{job}".encode()).hexdigest()[:8]
        stem = _folder() / f"{re.sub('[^A-Za-z0-9_-]', '_', job)[:20]}-{digest}"
        if len(os.fsencode(f"{stem}.sock")) > _PATH_BYTES:
            raise SluiceError(f"{stem}.sock is too long for a Unix socket: set TMPDIR to a shorter one")
        return cls(stem)

    @classmethod
    def at(cls, url: str) -> LocalServer | None:
        """The one with this address; None for that of any other server."""
        path = pathlib.Path(url.removeprefix("unix://"))
        known = url.startswith("unix:///") and path.suffix == ".sock" and path.with_suffix(".users").exists()
        return cls(path.with_suffix("")) if known else None

    def attach(self, options: Options, *, start: bool, timeout_s: float) -> Options | None:
        """Uses the server until leave(). Starts one with these options if none runs; False for `start` forbids that.

        Returns the options that it was started with; None where there is no server.
        Errors: SluiceError if it cannot be started, with what it said; CallTimeout.
        """
        deadline = time.monotonic() + timeout_s
        held = self._users is not None
        if self._users is None:
            self._users = self._open(".users")
        found = False
        try:
            _lock_shared(self._users, deadline, f"{self._stem}.users")
            found = self._find(self._users, options if start else None, deadline)
            return dict(json.loads(os.pread(self._users, _TEXT_BYTES, 0) or b"{}")) if found else None
        finally:
            if not found and not held:
                self.leave()

    def leave(self) -> None:
        """No longer uses it. The last one that leaves has it stopped, a moment later."""
        if self._users is not None:
            os.close(self._users)  # no unlocking: a fork's child or parent may hold the same lock
            self._users = None

    def _find(self, users: int, options: Options | None, deadline: float) -> bool:
        """Waits for its answer; starts it where nobody lives and there are options."""
        started: int | None = None  # the log's length then
        while not self._answers():
            log = self._open(".log", os.O_APPEND)
            try:
                if _locks(log, fcntl.LOCK_EX):  # neither a keeper nor a server lives
                    if started is not None:
                        raise SluiceError(f"the local server ended as soon as it was started: {_tail(log, started)}")
                    if options is None:
                        return False
                    started = self._start(log, users, options)
            finally:
                os.close(log)
            _wait(deadline, f"the local server at {self._stem}.sock does not answer; its log is {self._stem}.log")
        return True

    def _start(self, log: int, users: int, options: Options) -> int:
        command = [find_server(), "--port", "0", "--unixsocket", f"{self._stem}.sock", "--unixsocketperm", "700"]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        os.ftruncate(users, 0)
        os.pwrite(users, json.dumps(dict(options)).encode(), 0)
        if os.fstat(log).st_size > _LOG_BYTES:
            os.ftruncate(log, 0)
        began = os.fstat(log).st_size
        keeper = [sys.executable, "-I", "-S", str(pathlib.Path(__file__).with_name("_keeper.py"))]
        files = [f"{self._stem}.users", f"{self._stem}.sock"]
        # In a session of its own, so that Ctrl-C does not reach it. It has the log's lock from us.
        subprocess.run(
            [*keeper, *files, *command],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=False,
        )  # fmt: skip
        return began

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_PING_S)
            try:
                connection.connect(f"{self._stem}.sock")
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def _open(self, suffix: str, flags: int = 0) -> int:
        return os.open(f"{self._stem}{suffix}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | flags, 0o600)


def job_name() -> str:
    """The job that this process belongs to: SLUICE_JOB, or what the scheduler calls it, or "default"."""
    names = [os.environ.get(name, "") for name in ("SLUICE_JOB", "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID")]
    if names[2] == "none":  # torchrun's, where it was not given one
        names.pop()
    return next(filter(None, names), "default")


def find_server() -> str:
    """The path of the server binary. Errors: SluiceError with the places where it is not."""
    here = pathlib.Path(__file__).resolve().parent
    named = os.environ.get("SLUICE_SERVER")
    if named:
        if not os.access(named, os.X_OK) or os.path.isdir(named):
            raise SluiceError(f"SLUICE_SERVER is {named}, which is no program")
        return os.path.abspath(named)
    packaged = here / "bin" / "sluice-server"
    built = here.parents[1] / "build" / "release" / "server" / "sluice-server"
    for path in (packaged, shutil.which("sluice-server"), built):
        if path and os.access(path, os.X_OK):
            return os.path.abspath(path)
    raise SluiceError(
        "no server to start, and no address: the environment has no SLUICE_SERVER, "
        f"{packaged} does not exist, PATH has no sluice-server, and the project is not built ({built})"
    )


def _folder() -> pathlib.Path:
    # Not XDG_RUNTIME_DIR: it goes with the user's last login, and jobs stay.
    user = os.geteuid()
    folder = pathlib.Path(tempfile.gettempdir()).absolute() / f"sluice-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise SluiceError(f"cannot make the folder {folder} for a local server: {error.strerror}") from error
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != user or status.st_mode & 0o077:
        raise SluiceError(
            f"{folder} must be a folder of user {user} with mode 0700, but is {stat.filemode(status.st_mode)} "
            f"of user {status.st_uid}: whoever can enter it could take the local server's place"
        )
    return folder


def _locks(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lock_shared(descriptor: int, deadline: float, path: str) -> None:
    while not _locks(descriptor, fcntl.LOCK_SH):
        _wait(deadline, f"{path} is locked by a keeper that stops its server")


def _wait(deadline: float, why: str) -> None:
    if time.monotonic() > deadline:
        raise CallTimeout(f"init() is out of time: {why}")
    time.sleep(_POLL_S)


def _tail(log: int, start: int) -> str:
    """The last lines of what was logged since."""
    text = os.pread(log, _LOG_BYTES, start).decode(errors="replace")
    return "\n".join(text.splitlines()[-10:])
