"""A row is never lost to a connection that was closed before it was served."""

import contextlib
import socket
import subprocess
import sys

import pytest
import redis
from abandoned import WAITS, check_rows_left, fetch, put_rows, wait_for_blocked
from live_server import wait_until
from proxy import Proxy, reset
from resp import pack

ROUNDS = 5
LIVE = 4  # waiting clients, before and after the closed ones

WORKER = """
import signal, socket, sys
port, requests = int(sys.argv[1]), sys.argv[2].encode().decode("unicode_escape").encode()
waits = []
for request in requests.split(b"\\0"):
    waits.append(socket.create_connection(("127.0.0.1", port)))
    waits[-1].sendall(request)
signal.pause()
"""


@pytest.fixture
def admin(server):
    with redis.Redis(port=server.port, protocol=3, socket_timeout=30) as client:
        client.flushall()
        yield client
        client.flushall()


def waiting(port, command):
    """Opens a connection and sends this."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=20)
    connection.sendall(pack(*command))
    return connection


# Each sends every command over a new connection, and abandons the commands once they are blocked.


@contextlib.contextmanager
def closed(server, commands):
    connections = [waiting(server.port, command) for command in commands]
    yield
    for connection in connections:
        connection.close()


@contextlib.contextmanager
def reset_by_peer(server, commands):
    connections = [waiting(server.port, command) for command in commands]
    yield
    for connection in connections:
        reset(connection)


@contextlib.contextmanager
def half_closed(server, commands):
    connections = [waiting(server.port, command) for command in commands]
    yield
    for connection in connections:
        connection.shutdown(socket.SHUT_WR)
    kept.extend(connections)  # else the connections would be closed in both directions


@contextlib.contextmanager
def killed(server, commands):
    requests = "\\0".join(pack(*command).decode().encode("unicode_escape").decode() for command in commands)
    worker = subprocess.Popen([sys.executable, "-S", "-E", "-c", WORKER, str(server.port), requests])
    yield
    worker.kill()
    worker.wait(20)


@contextlib.contextmanager
def through_a_proxy(server, commands):
    with Proxy(server.port) as proxy:
        connections = [waiting(proxy.port, command) for command in commands]
        yield
        for connection in connections:
            connection.close()
        wait_until(lambda: proxy.hung_up == len(connections), "the proxy hangs up, too", seconds=20)


WAYS = [closed, reset_by_peer, half_closed, killed, through_a_proxy]
kept = []


@pytest.fixture(autouse=True)
def close_kept():
    yield
    while kept:
        kept.pop().close()


@pytest.mark.parametrize("lease_ms", [None, 60000])
@pytest.mark.parametrize("abandoned", WAYS)
def test_rows_go_to_live_waiters_and_the_others_stay(server, admin, abandoned, lease_ms):
    for _ in range(ROUNDS):
        with contextlib.ExitStack() as live:
            with abandoned(server, [fetch(lease_ms)] * WAITS):
                wait_for_blocked(admin, WAITS)
                there = [live.enter_context(waiting(server.port, fetch())) for _ in range(LIVE)]
                wait_for_blocked(admin, WAITS + LIVE)
            put_rows(admin, WAITS + LIVE)
            for connection in there:
                assert connection.recv(1) == b"*", "a waiter was passed over"
        check_rows_left(admin, WAITS)
        admin.flushall()


@pytest.mark.parametrize("sampler", [("balanced",), ("budget", "TOKENS", 9, "WEIGHT", "w", "UNDERFILL")])
@pytest.mark.parametrize("abandoned", WAYS)
def test_closed_connections_take_no_shares_for_other_ranks(server, admin, abandoned, sampler):
    shared = [(*fetch(), "SAMPLER", *sampler, "RANKS", 2, "RANK", 0, "STEP", i) for i in range(WAITS)]
    for _ in range(ROUNDS):
        with abandoned(server, shared):
            wait_for_blocked(admin, WAITS)
        put_rows(admin, 2 * WAITS)
        check_rows_left(admin, 2 * WAITS)
        admin.flushall()


@pytest.mark.parametrize("abandoned", WAYS)
def test_a_write_of_a_closed_connection_does_not_run(server, admin, abandoned):
    admin.execute_command("PARTITION.CREATE", "p", "MAXROWS", 1)
    admin.execute_command("KV.PUT", "p", "full", "TAG", "{}")
    with abandoned(server, [("KV.PUT", "p", f"k{i}", "BLOCK", 0, "TAG", "{}") for i in range(WAITS)]):
        wait_for_blocked(admin, WAITS)
    assert admin.execute_command("KV.CLEAR", "p", "KEYS", 1, "full") == 1
    assert admin.execute_command("KV.PUT", "p", "live", "BLOCK", 5000, "TAG", "{}") == 1
    assert admin.execute_command("KV.LIST", "p") == {b"live": b"{}"}
