"""The demo's own server: its socket and its log lie in a folder that is removed with it."""

import contextlib
import ctypes
import pathlib
import signal
import subprocess
import tempfile

from live_server import Server, ServerFailed

PR_SET_PDEATHSIG = 1


def end_with_the_demo():
    """Runs in the server's process: the kernel ends it even if the demo is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@contextlib.contextmanager
def demo_server():
    """Yields the server, and stops it in any case. ServerFailed shows the end of its log."""
    with tempfile.TemporaryDirectory(prefix="sluice-demo-") as name:
        folder = pathlib.Path(name)
        # Its own session: Ctrl-C reaches only the demo, which stops the server.
        popen = {"cwd": folder, "stdin": subprocess.DEVNULL, "start_new_session": True, "preexec_fn": end_with_the_demo}
        try:
            with open(folder / "log", "wb") as log:
                server = Server(folder, "--unixsocketperm", "700", stdout=log, stderr=log, **popen)
            try:
                yield server
            finally:
                server.stop()
        except ServerFailed as error:
            log = (folder / "log").read_text(errors="replace")[-2000:]
            raise ServerFailed(f"{error}; the end of its log:\n{log}") from error


def connections(server):
    """Returns redis-py's arguments for each kind of connection that workers use in turn."""
    unix, tcp = {"unix_socket_path": server.path}, {"host": "127.0.0.1", "port": server.port}
    return [unix | {"protocol": 2}, tcp | {"protocol": 3}]
