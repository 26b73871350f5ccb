"""One server for the whole run; connections of every kind to it."""

import pytest
import redis
from live_server import Server, wait_until


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.stop()


@pytest.fixture(params=["tcp-resp2", "tcp-resp3", "unix-resp2", "unix-resp3"])
def r(request, server):
    """A redis-py client for each transport and protocol version; the server is empty before and after."""
    transport, resp = request.param.split("-resp")
    where = {"port": server.port} if transport == "tcp" else {"unix_socket_path": server.path}
    with redis.Redis(**where, protocol=int(resp)) as client:
        client.flushall()
        yield client
        client.flushall()
        wait_until(lambda: int(client.info("memory")["used_memory_payload"]) == 0, "payload is left")
