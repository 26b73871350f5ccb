"""Keeps a local server for as long as a process uses it. A program of its own, which imports next to nothing:

    python -I -S _keeper.py USERS SOCKET SERVER [ARGUMENT ...]

Each process that uses the server holds a shared lock on the file USERS; the keeper waits until it can lock it alone.
It ends the server then, removes its SOCKET, and goes; a process that comes meanwhile waits for its own lock, and
finds nobody. If the server ends before that, the keeper goes, too; if the keeper is killed, the kernel kills the server.
Standard error is the log, and its lock is inherited: it is held as long as the keeper or its server lives.
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

_STOP_S = 10.0  # for the server, before it is killed
_FRESH_S = 3600.0
_PR_SET_PDEATHSIG = 1


def _say(text: str) -> None:
    print(f"keeper {os.getpid()}: {text}", file=sys.stderr, flush=True)


def _start(command: list[str]) -> int:
    libc = ctypes.CDLL(None)
    keeper = os.getpid()
    server = os.fork()
    if server == 0:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:  # it was killed before that
            os._exit(1)
        os.dup2(2, 1)
        try:
            os.execv(command[0], command)
        except OSError as error:
            _say(f"cannot run {command[0]}: {error.strerror}")
            os._exit(127)
    return server


def _end_when_unused(users: int, server: int) -> None:
    fcntl.flock(users, fcntl.LOCK_EX)
    os.kill(server, signal.SIGTERM)
    time.sleep(_STOP_S)  # once the server has ended, so do we
    os.kill(server, signal.SIGKILL)


def _keep_fresh(paths: list[str]) -> None:
    """Some systems remove what nobody has touched for days from the folder for temporary files."""
    while True:
        time.sleep(_FRESH_S)
        for path in paths:
            with contextlib.suppress(OSError):
                os.utime(path)


def _main(users_path: str, socket_path: str, *command: str) -> None:
    if os.fork() != 0:
        os._exit(0)  # whoever started us need not wait for us: we are nobody's child from now on
    users = os.open(users_path, os.O_RDWR)
    server = _start(list(command))
    _say(f"started {' '.join(command)}, process {server}")
    threading.Thread(target=_end_when_unused, args=(users, server), daemon=True).start()
    files = [users_path, socket_path, socket_path.removesuffix(".sock") + ".log"]
    threading.Thread(target=_keep_fresh, args=(files,), daemon=True).start()
    _, status = os.waitpid(server, 0)
    _say(f"the server has ended with {os.waitstatus_to_exitcode(status)}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(socket_path)  # nobody else's: a server is started only once our log is free


if __name__ == "__main__":
    _main(*sys.argv[1:])
