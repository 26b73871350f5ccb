"""libtorch is loaded in the background, once there are values and the server is idle."""

import pathlib

import pytest
from live_server import Server, wait_until


@pytest.fixture
def server(tmp_path):
    running = Server(tmp_path)
    yield running
    running.stop()


def maps(server):
    return pathlib.Path(f"/proc/{server.process.pid}/maps").read_text()


def test_libtorch_is_there_before_the_first_command_needs_it(server):
    with server.client() as client:
        client.execute_command("KV.PUT", "p", "a", "FIELD", "x", "float32", 2, "VALUES", 1, 2)
        assert "libtorch" not in maps(server)
    wait_until(lambda: "libsluice_torch" in maps(server), "libtorch is loaded", seconds=30)
