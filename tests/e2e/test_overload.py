"""A server that runs out of file descriptors, and one whose limit of descriptors is low."""

import os
import resource
import socket

import pytest
import redis
from live_server import Server, wait_until

FILES = 64
WAIT_A_SECOND = ["KV.WAIT", "p", "KEYS", 1, "k", "FIELDS", 1, "x", "TIMEOUT", 1000]
REFUSED = b"-ERR max number of clients reached\r\n"


@pytest.fixture
def server(tmp_path):
    """A server that may have 64 open files."""
    limit = (FILES, FILES)
    running = Server(tmp_path, "--prealloc", "0", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit))
    yield running
    running.stop()


@pytest.fixture
def client(server):
    with redis.Redis(port=server.port, socket_timeout=20) as client:
        yield client


def connect(server, count):
    connections = [socket.create_connection(("127.0.0.1", server.port), 20) for _ in range(count)]
    for connection in connections:
        connection.sendall(b"PING\r\n")
    return connections


def close(connections):
    for connection in connections:
        connection.close()


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def has_answer(connection):
    connection.setblocking(False)
    try:
        return connection.recv(7, socket.MSG_PEEK) == b"+PONG\r\n"
    except BlockingIOError:
        return False


def test_clients_beyond_the_descriptors_are_refused_with_an_error(server, client):
    clients_max = int(client.config_get("maxclients")["maxclients"])
    assert clients_max == FILES - 32
    connections = connect(server, 100)
    try:
        answers = [connection.recv(100) for connection in connections]
        assert answers.count(b"+PONG\r\n") == clients_max - 1
        assert answers.count(REFUSED) == 100 - (clients_max - 1)
        assert client.ping()
    finally:
        close(connections)
    wait_until(lambda: client.info("clients")["connected_clients"] == 1, "clients are left")
    (again,) = connect(server, 1)
    assert again.recv(100) == b"+PONG\r\n"
    again.close()


def test_a_server_without_descriptors_waits_and_does_not_spin(server, client):
    client.execute_command(*WAIT_A_SECOND)
    client.info()  # now its buffers have reached their full size
    used = client.info("memory")["used_memory"]
    client.config_set("maxclients", 1000)  # more than the descriptors allow
    connections = connect(server, 100)
    try:
        wait_until(lambda: len(os.listdir(f"/proc/{server.process.pid}/fd")) == FILES, "descriptors are left")
        before = cpu_seconds(server.process.pid)
        assert client.execute_command(*WAIT_A_SECOND) == 0
        assert cpu_seconds(server.process.pid) - before < 0.05
        answered = [connection for connection in connections if has_answer(connection)]
        waiting = [connection for connection in connections if connection not in answered]
        assert answered and waiting
        close(answered)  # which frees descriptors for some of the waiting connections
        wait_until(lambda: sum(map(has_answer, waiting)) >= min(len(waiting), len(answered)), "no waiting connection is accepted")
        assert client.ping()
    finally:
        close(connections)
    wait_until(lambda: client.info("clients")["connected_clients"] == 1, "clients are left")
    wait_until(lambda: client.info("memory")["used_memory"] == used, "memory is left")
