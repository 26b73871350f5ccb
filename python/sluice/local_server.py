"""The server that init() starts if no address is given: one for each machine, user and job.

Its files are in a folder that only the user can enter. Their names begin with the name of the job:

    .sock   the socket on which the server listens
    .users  each process that uses the server holds a shared lock on it; its text is the options of the server
    .log    the log of the server and its supervisor; locked as long as one of them lives. A process that gets this
            lock may start a server

The kernel releases the locks of a process however it ends. A forked child shares the locks of its parent. So whichever
process is killed, and whenever: there is one server, it lives while a process uses it, and then it ends. The program
_supervisor.py ends it.
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
_LOG_BYTES = 1 << 20  # a longer log is emptied before the server starts
_TEXT_BYTES = 1 << 20  # limit of the text of the options
_PATH_BYTES = 107  # limit of the path of a Unix socket


class LocalServer:
    """The server of a job on this machine, identified by the common beginning of its file names.

    Thread safety: one thread of a process at a time.
    """

    def __init__(self, stem: pathlib.Path) -> None:
        self._stem = stem
        self._users: int | None = None  # the descriptor that holds the shared lock of this process
        self.url = f"unix://{stem}.sock"

    @classmethod
    def of_this_job(cls) -> LocalServer:
        """Returns the server of the job of this process, running or not.

        Errors: SluiceError if other users can enter its folder, or the path is too long for a socket.
        """
        job = job_name()
        # The digest separates job names that differ only in characters that are replaced, and machines that share the folder.
        digest = hashlib.sha256(f"{os.uname().nodename}\0{job}".encode()).hexdigest()[:8]
        stem = _folder() / f"{re.sub('[^A-Za-z0-9_-]', '_', job)[:20]}-{digest}"
        if len(os.fsencode(f"{stem}.sock")) > _PATH_BYTES:
            raise SluiceError(f"{stem}.sock is too long for a Unix socket: set TMPDIR to a shorter path")
        return cls(stem)

    @classmethod
    def at(cls, url: str) -> LocalServer | None:
        """Returns the local server with this address, or None if the address is that of another server."""
        path = pathlib.Path(url.removeprefix("unix://"))
        known = url.startswith("unix:///") and path.suffix == ".sock" and path.with_suffix(".users").exists()
        return cls(path.with_suffix("")) if known else None

    def attach(self, options: Options, *, start: bool, timeout_s: float) -> Options | None:
        """Uses the server until leave(). If none runs and `start` is True, starts one with these options.

        Returns the options with which the server was started, or None if there is no server.
        Errors: SluiceError with the output of the server if it cannot be started; CallTimeout.
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
        """Ends the use of the server. After the last process has left, the server stops a moment later."""
        if self._users is not None:
            os.close(self._users)  # no unlock: a forked child or the parent may hold the same lock
            self._users = None

    def _find(self, users: int, options: Options | None, deadline: float) -> bool:
        """Waits until the server answers. Starts it if neither it nor its supervisor lives and there are options."""
        started: int | None = None  # the length of the log at the start
        while not self._answers():
            log = self._open(".log", os.O_APPEND)
            try:
                if _locks(log, fcntl.LOCK_EX):  # neither a supervisor nor a server lives
                    if started is not None:
                        raise SluiceError(f"the local server ended right after its start: {_tail(log, started)}")
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
        supervisor = [sys.executable, "-I", "-S", str(pathlib.Path(__file__).with_name("_supervisor.py"))]
        files = [f"{self._stem}.users", f"{self._stem}.sock"]
        # In its own session, so that Ctrl-C does not reach it. It inherits the lock of the log.
        subprocess.run(
            [*supervisor, *files, *command],
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
    """Returns the name of the job of this process: SLUICE_JOB, or the name that the scheduler gives it, or "default"."""
    names = [os.environ.get(name, "") for name in ("SLUICE_JOB", "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID")]
    if names[2] == "none":  # the default of torchrun
        names.pop()
    return next(filter(None, names), "default")


def find_server() -> str:
    """Returns the path of the server binary. Errors: SluiceError that names the places that were searched."""
    here = pathlib.Path(__file__).resolve().parent
    named = os.environ.get("SLUICE_SERVER")
    if named:
        if not os.access(named, os.X_OK) or os.path.isdir(named):
            raise SluiceError(f"SLUICE_SERVER is {named}, which is not an executable file")
        return os.path.abspath(named)
    packaged = here / "bin" / "sluice-server"
    built = here.parents[1] / "build" / "release" / "server" / "sluice-server"
    for path in (packaged, shutil.which("sluice-server"), built):
        if path and os.access(path, os.X_OK):
            return os.path.abspath(path)
    raise SluiceError(
        "no server binary found, and no address given: SLUICE_SERVER is not set, "
        f"{packaged} does not exist, PATH has no sluice-server, and the project is not built ({built})"
    )


def _folder() -> pathlib.Path:
    # Not XDG_RUNTIME_DIR: it is removed with the last login of the user, and jobs continue.
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
            f"of user {status.st_uid}: a user who can enter it could replace the local server"
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
        _wait(deadline, f"{path} is locked by a supervisor that is stopping its server")


def _wait(deadline: float, why: str) -> None:
    if time.monotonic() > deadline:
        raise CallTimeout(f"init() timed out: {why}")
    time.sleep(_POLL_S)


def _tail(log: int, start: int) -> str:
    """Returns the last lines that were logged since `start`."""
    text = os.pread(log, _LOG_BYTES, start).decode(errors="replace")
    return "\n".join(text.splitlines()[-10:])
