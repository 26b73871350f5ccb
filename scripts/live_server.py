"""A server process as users run it, on a free port and a Unix socket: for tests and scripts.

SLUICE_SERVER names its binary; without it, that of the release build is used.
"""

import contextlib
import os
import pathlib
import random
import socket
import subprocess
import tempfile
import time

import redis

ROOT = pathlib.Path(__file__).resolve().parents[1]


def free_port():
    """Returns a free port below the range that the system assigns to clients, so that no client takes it meanwhile."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def server_binary():
    path = pathlib.Path(os.environ.get("SLUICE_SERVER", ROOT / "build/release/server/sluice-server")).absolute()
    assert path.exists(), f"{path} is missing: build it, or set SLUICE_SERVER"
    return path


class ServerFailed(Exception):
    """The server did not start, or did not end with exit code 0."""


class Server:
    def __init__(self, folder, *options, password="", **popen):
        """Starts with further options (a configuration file first), and further arguments for subprocess.Popen."""
        self.port = free_port()
        self.path = str(folder / "s")
        self.password = password
        command = [server_binary(), *options]
        command += ["--port", str(self.port), "--unixsocket", self.path, "--loglevel", "warning"]
        command += ["--requirepass", password] if password else []
        self.process = subprocess.Popen(command, **popen)
        try:
            self._wait_for_pong()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _wait_for_pong(self):
        deadline = time.monotonic() + 20
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.ConnectionError:
                if (code := self.process.poll()) is not None:
                    raise ServerFailed(f"the server ended at its start with exit code {code}") from None
                if time.monotonic() > deadline:
                    raise ServerFailed("the server does not answer PING") from None
                time.sleep(0.005)

    def client(self, **options):
        return redis.Redis(port=self.port, password=self.password or None, **options)

    def stop(self):
        """Ends the server by SIGTERM."""
        self.process.terminate()
        try:
            code = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if code != 0:
            raise ServerFailed(f"the server ended with exit code {code}")


@contextlib.contextmanager
def own_server(*options):
    """Yields the port of a new server with these options, and stops the server afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(pathlib.Path(folder), *options, cwd=folder)
        try:
            yield server.port
        finally:
            server.stop()


def wait_until(holds, what, seconds=5):
    """Polls: compaction or a reply that is being sent may hold memory a moment longer."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)
