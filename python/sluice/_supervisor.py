"""Runs a local server for as long as a process uses it. A separate program that imports only the standard library:

    python -I -S _supervisor.py USERS SOCKET SERVER [ARGUMENT ...]

Each process that uses the server holds a shared lock on the file USERS. The supervisor waits until it gets the
exclusive lock. Then it ends the server, removes its SOCKET, and exits. A process that arrives in the meantime waits
for its own lock, and finds no server. If the server ends first, the supervisor exits too. If the supervisor is
killed, the kernel kills the server. Standard error is the log. Its lock is inherited: the log is locked as long as
the supervisor or its server lives.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import sys
import threading
import time

_STOP_S = 10.0  # time for the server to end before it is killed
_FRESH_S = 3600.0
_PR_SET_PDEATHSIG = 1


def _log(text: str) -> None:
    print(f"supervisor {os.getpid()}: {text}", file=sys.stderr, flush=True)


def _start(command: list[str]) -> int:
    libc = ctypes.CDLL(None)
    supervisor = os.getpid()
    server = os.fork()
    if server == 0:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != supervisor:  # the supervisor was killed before prctl()
            os._exit(1)
        os.dup2(2, 1)
        try:
            os.execv(command[0], command)
        except OSError as error:
            _log(f"cannot run {command[0]}: {error.strerror}")
            os._exit(127)
    return server


def _end_when_unused(users: int, server: int) -> None:
    fcntl.flock(users, fcntl.LOCK_EX)
    os.kill(server, signal.SIGTERM)
    time.sleep(_STOP_S)  # if the server ends in this time, this process exits
    os.kill(server, signal.SIGKILL)


def _keep_fresh(paths: list[str]) -> None:
    """Updates the times of the files: some systems remove old files from the folder for temporary files."""
    while True:
        time.sleep(_FRESH_S)
        for path in paths:
            with contextlib.suppress(OSError):
                os.utime(path)


def _main(users_path: str, socket_path: str, *command: str) -> None:
    if os.fork() != 0:
        os._exit(0)  # the child has no parent to wait for it from now on
    users = os.open(users_path, os.O_RDWR)
    server = _start(list(command))
    _log(f"started {' '.join(command)}, process {server}")
    threading.Thread(target=_end_when_unused, args=(users, server), daemon=True).start()
    files = [users_path, socket_path, socket_path.removesuffix(".sock") + ".log"]
    threading.Thread(target=_keep_fresh, args=(files,), daemon=True).start()
    _, status = os.waitpid(server, 0)
    _log(f"the server has ended with exit code {os.waitstatus_to_exitcode(status)}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(socket_path)  # safe: another server is started only when the lock of our log is free


if __name__ == "__main__":
    _main(*sys.argv[1:])
