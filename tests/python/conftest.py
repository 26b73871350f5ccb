"""One server for the whole run, on a free port and a Unix socket; connections of every kind to it."""

import os
import pathlib
import socket
import subprocess
import time

import pytest
import redis

ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def server_binary():
    path = pathlib.Path(os.environ.get("SLUICE_SERVER", ROOT / "build/release/server/sluice-server"))
    assert path.exists(), f"{path} is missing: build it, or set SLUICE_SERVER"
    return path


class Server:
    def __init__(self, folder, *options, **popen):
        """With more options, and more for subprocess.Popen."""
        self.port = free_port()
        self.path = str(folder / "s")
        self.process = subprocess.Popen(
            [server_binary(), "--port", str(self.port), "--unixsocket", self.path, "--loglevel", "warning", *options],
            **popen,
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                with redis.Redis(port=self.port) as client:
                    client.ping()
                return
            except redis.ConnectionError:
                assert self.process.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.005)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(20) == 0


def wait_until(holds, what, seconds=5):
    """Polls: memory may be held a moment longer, by compaction or by a reply that is just being sent."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.stop()


@pytest.fixture(params=["tcp-resp2", "tcp-resp3", "unix-resp2", "unix-resp3"])
def r(request, server):
    """A redis-py client by each transport and protocol version; the server is empty before and after."""
    transport, resp = request.param.split("-resp")
    where = {"port": server.port} if transport == "tcp" else {"unix_socket_path": server.path}
    with redis.Redis(**where, protocol=int(resp)) as client:
        client.flushall()
        yield client
        client.flushall()
        wait_until(lambda: int(client.info("memory")["used_memory_payload"]) == 0, "payload is left")
