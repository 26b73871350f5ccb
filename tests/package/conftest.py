"""One server for the whole run, and its address; the package is imported from the tree."""

import pathlib
import sys

import pytest
from live_server import Server

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.stop()


@pytest.fixture
def sluice_url(server):
    """Its address; the server is empty before and after."""
    with server.client() as client:
        client.flushall()
        yield f"unix://{server.path}"
        client.flushall()
