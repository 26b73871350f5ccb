"""GET /metrics as HTTP, and bad requests there: they end their connection and nothing else."""

import http.client
import pathlib
import socket
import time

import pytest
from live_server import wait_until
from resp import pack
from metrics_page import CONTENT_TYPE, MetricsServer

CONNECTIONS_MAX = 8
HEADER_BYTES_MAX = 8192
PATIENCE_SECONDS = 10


@pytest.fixture(scope="module")
def metered(tmp_path_factory):
    running = MetricsServer(tmp_path_factory.mktemp("metered"))
    yield running
    running.stop()


@pytest.fixture(autouse=True)
def serves_afterwards(metered):
    yield
    assert metered.scrape()("connections") == 0
    with metered.client() as client:
        client.ping()


def connect(metered, host="127.0.0.1"):
    return socket.create_connection((host, metered.metrics_port), timeout=60)


def talk(metered, request):
    """Returns all bytes received until the server ends the connection."""
    with connect(metered) as client:
        client.sendall(request)
        return read_all(client)


def read_all(client):
    answer = b""
    while piece := client.recv(1 << 16):
        answer += piece
    return answer


def ask(connection, method="GET", path="/metrics", **more):
    connection.request(method, path, **more)
    answer = connection.getresponse()
    body = answer.read()
    return answer, body


@pytest.fixture
def web(metered):
    connection = http.client.HTTPConnection("127.0.0.1", metered.metrics_port, timeout=60)
    yield connection
    connection.close()


def test_a_connection_is_kept_alive(web):
    for _ in range(3):
        answer, body = ask(web)
        assert (answer.status, answer.version) == (200, 11)
        assert answer.headers["Content-Type"] == CONTENT_TYPE
        assert int(answer.headers["Content-Length"]) == len(body) > 0
        assert answer.headers["Connection"] != "close"
        assert web.sock is not None


def test_a_connection_is_closed_on_request(metered):
    answer = talk(metered, b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
    assert b"sluice_uptime_seconds" in answer
    answer = talk(metered, b"GET /metrics HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 200 OK\r\nContent-Type:")  # without keep-alive it closes
    assert b"sluice_uptime_seconds" in answer


def test_requests_may_be_pipelined_and_split(metered):
    request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n"
    assert talk(metered, 5 * request + last).count(b"HTTP/1.1 200 OK") == 6
    with connect(metered) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request + last:
            client.sendall(bytes([byte]))
        assert read_all(client).count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("path", ["/", "/metric", "/metrics/", "/metrics?x=y", "//metrics", "/METRICS", "/%6detrics"])
def test_other_paths_do_not_exist(web, path):
    answer, _ = ask(web, path=path)
    assert answer.status == 404
    assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "PATCH"])
def test_other_methods_are_refused(web, method):
    answer, body = ask(web, method, body=b"x" * 1000 if method in {"POST", "PUT", "PATCH"} else None)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET"
    assert answer.headers["Connection"] == "close"
    assert (body == b"") == (method == "HEAD")


BAD = {
    "a word": b"PING\r\n\r\n",
    "RESP": pack("PING"),
    "zeros": bytes(100),
    "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "no version": b"GET /metrics\r\n\r\n",
    "another version": b"GET /metrics HTTP/2.0\r\n\r\n",
    "a bad line": b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n",
    "a bad length": b"GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "a huge length": b"GET /metrics HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
    "two lengths": b"GET /metrics HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "a bad chunk": b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a long target": b"GET /" + b"m" * HEADER_BYTES_MAX + b" HTTP/1.1\r\n\r\n",
    "a long header": b"GET /metrics HTTP/1.1\r\nX: " + b"x" * HEADER_BYTES_MAX + b"\r\n\r\n",
    "many headers": b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * HEADER_BYTES_MAX + b"\r\n",
    "a megabyte of header": b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 1000000,
    "a long body": b"POST /metrics HTTP/1.1\r\nContent-Length: 100000\r\n\r\n" + bytes(100000),
    "a long announced body": b"POST /metrics HTTP/1.1\r\nContent-Length: 100000000000\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", BAD.values(), ids=BAD.keys())
def test_bad_bytes_end_their_connection_only(metered, web, request_bytes):
    assert ask(web)[0].status == 200
    answer = talk(metered, request_bytes)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Connection: close\r\n" in answer
    socket_before = web.sock
    assert ask(web)[0].status == 200
    assert web.sock is socket_before


def test_clients_that_disconnect_in_the_middle_do_no_harm(metered):
    request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
    for end in range(len(request)):
        with connect(metered) as client:
            client.sendall(request[:end])
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == b""
    for _ in range(20):
        with connect(metered) as client:
            client.sendall(request)
            no_time = b"\x01\0\0\0\0\0\0\0"
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_time)  # RST


def open_files(metered):
    return len(list(pathlib.Path(f"/proc/{metered.process.pid}/fd").iterdir()))


def test_slow_clients_are_closed_and_delay_no_other(metered):
    """One sends a byte now and then, one does not read its reply."""
    files = open_files(metered)
    began = time.monotonic()
    with connect(metered) as slow, socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(60)
        deaf.connect(("127.0.0.1", metered.metrics_port))
        deaf.setblocking(False)
        slow.settimeout(0.1)
        open_ones = {slow, deaf}
        while open_ones:
            assert time.monotonic() < began + 6 * PATIENCE_SECONDS
            metered.scrape()
            if slow in open_ones and not still_open(slow, b"G"):
                open_ones.remove(slow)
                assert time.monotonic() >= began + PATIENCE_SECONDS - 1
            if deaf in open_ones and not still_open(deaf, 100 * b"GET /metrics HTTP/1.1\r\n\r\n"):
                open_ones.remove(deaf)
                assert time.monotonic() >= began + PATIENCE_SECONDS - 1
    wait_until(lambda: open_files(metered) <= files, "descriptors are left")


def still_open(client, more):
    """Sends more bytes, and returns whether the server has ended the connection."""
    try:
        client.send(more)
    except (BlockingIOError, TimeoutError):
        return True
    except OSError:
        return False
    try:
        return client.recv(1) != b"" if client.gettimeout() else True
    except TimeoutError:
        return True
    except OSError:
        return False


def test_of_too_many_connections_the_oldest_are_closed(metered):
    files = open_files(metered)
    clients = [connect(metered) for _ in range(10 * CONNECTIONS_MAX)]
    try:
        assert metered.scrape()("connections") == 0
        for client in clients[: -CONNECTIONS_MAX + 1]:  # the scrape was one more
            assert client.recv(1) == b""
        for client in clients[-CONNECTIONS_MAX + 1 :]:
            client.sendall(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")
            assert read_all(client).startswith(b"HTTP/1.1 200 OK")
    finally:
        for client in clients:
            client.close()
    wait_until(lambda: open_files(metered) <= files, "descriptors are left")


def own_addresses():
    """Returns the addresses of this machine from its own tables; some machines have only 127.0.0.1."""
    rows = pathlib.Path("/proc/net/fib_trie").read_text().splitlines()
    local = {before.split()[-1] for before, row in zip(rows, rows[1:]) if "/32 host LOCAL" in row}
    assert "127.0.0.1" in local
    return sorted(local)


def test_protected_mode_refuses_other_machines(tmp_path):
    protected = MetricsServer(tmp_path, "--bind", "*")
    statuses = {"yes": {}, "no": {}}
    try:
        for mode, by_address in statuses.items():
            with protected.client() as client:
                client.config_set("protected-mode", mode)
            for address in own_addresses():
                web = http.client.HTTPConnection(address, protected.metrics_port, timeout=60, source_address=(address, 0))
                by_address[address] = ask(web)[0].status
                web.close()
    finally:
        protected.stop()
    assert statuses["no"] == dict.fromkeys(own_addresses(), 200)
    assert statuses["yes"] == {address: 200 if address.startswith("127.") else 403 for address in own_addresses()}


def test_the_server_stops_while_clients_are_connected(tmp_path):
    ending = MetricsServer(tmp_path)
    with connect(ending) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        client.recv(1)
        ending.stop()
