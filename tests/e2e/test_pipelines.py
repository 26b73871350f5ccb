"""Pipelines with large replies: each request gets its reply, although the client sends nothing more."""

import socket

import pytest
import redis
from resp import pack

LARGE = [
    "KV.MGET p KEYS 1 0 FORMAT values",
    "KV.LIST p",
    "KV.LIST p FORMAT lines",
    "KV.CHANGES p 0",
    "KV.SCAN p 0 COUNT 100000",
]


@pytest.fixture
def r(server):
    with redis.Redis(port=server.port) as client:
        client.flushall()
        yield client
        client.flushall()


@pytest.fixture
def connection(server):
    with socket.create_connection(("127.0.0.1", server.port), 20) as plain:
        plain.settimeout(5)
        yield plain


def receive(connection, count):
    """Returns at least this many bytes, or all bytes before five seconds of silence."""
    got = bytearray()
    while len(got) < count:
        try:
            got += connection.recv(1 << 20)
        except TimeoutError:
            break
    return bytes(got)


def check_echo(connection):
    """Requires that the last reply is that of ECHO the-end."""
    end, got = b"$7\r\nthe-end\r\n", b""
    while not got.endswith(end):
        more = receive(connection, 1)
        assert more, "no reply to the ECHO"
        got = got[-100:] + more


# Replies under 16 KiB are copied; after 1 MiB of copies the commands wait until some output is sent.
@pytest.mark.parametrize("count", [70, 71, 300, 2000])
def test_many_replies_of_medium_size_all_arrive(r, connection, count):
    r.set("k", bytes(15000))
    reply = b"$15000\r\n" + bytes(15000) + b"\r\n"
    connection.sendall(pack("GET", "k") * count)
    assert len(receive(connection, count * len(reply))) == count * len(reply)


@pytest.mark.parametrize("command", LARGE)
def test_requests_after_a_large_reply_are_answered(r, connection, command):
    r.execute_command("KV.MPUT", "p", "NEW", 1, "COLUMN", "x", "int64", 300_000, "BLOB", bytes(8 * 300_000))
    r.execute_command("KV.MPUT", "p", "NEW", 60_000, "COLUMN", "y", "int8", "BLOB", bytes(60_000))
    connection.sendall(command.encode() + b"\r\nECHO the-end\r\n")
    check_echo(connection)


def test_requests_after_many_removals_are_answered(r, connection):
    keys = "\n".join(f"key-{i}" for i in range(100_000))
    r.execute_command("KV.MPUT", "p", "KEYS", "LINES", keys)
    revision = r.execute_command("KV.CHANGES", "p", 0)[0]
    assert r.execute_command("KV.CLEAR", "p", "KEYS", "LINES", keys) == 100_000
    connection.sendall(b"KV.CHANGES p %d\r\nECHO the-end\r\n" % revision)
    check_echo(connection)
