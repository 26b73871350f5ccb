"""A server process as users run it, on a free port and a Unix socket."""

import os
import pathlib
import random
import socket
import subprocess
import time

import redis

ROOT = pathlib.Path(__file__).resolve().parents[2]


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
    path = pathlib.Path(os.environ.get("SLUICE_SERVER", ROOT / "build/release/server/sluice-server"))
    assert path.exists(), f"{path} is missing: build it, or set SLUICE_SERVER"
    return path


class Server:
    def __init__(self, folder, *options, password="", **popen):
        """Starts with further options, and further arguments for subprocess.Popen."""
        self.port = free_port()
        self.path = str(folder / "s")
        self.password = password
        command = [server_binary(), "--port", str(self.port), "--unixsocket", self.path, "--loglevel", "warning"]
        command += ["--requirepass", password] if password else []
        self.process = subprocess.Popen([*command, *options], **popen)
        deadline = time.monotonic() + 20
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.ConnectionError:
                assert self.process.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.005)

    def client(self, **options):
        return redis.Redis(port=self.port, password=self.password or None, **options)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(20) == 0


def wait_until(holds, what, seconds=5):
    """Polls: compaction or a reply that is being sent may hold memory a moment longer."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)
