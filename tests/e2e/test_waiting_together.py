"""Two kinds of waiting together: a blocked slow reader, limits that change while others wait, clients that die meanwhile.

Each of these once left a client blocked forever, or lost a row.
"""

import socket
import struct
import threading

import pytest
import redis
from live_server import Server, wait_until
from resp import pack
from streams import pairs

LARGE = 30 << 20
"""Bytes of a reply that is larger than any socket buffer."""


@pytest.fixture
def server(tmp_path):
    running = Server(tmp_path, "--io-threads", "2")
    yield running
    running.stop()


@pytest.fixture
def client(server):
    with server.client() as connected:
        yield connected


class Raw:
    """A connection whose bytes are sent and received explicitly."""

    def __init__(self, server, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", server.port))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *commands):
        self.socket.sendall(b"".join(pack(*command) for command in commands))

    def receive(self, size):
        received = b""
        while len(received) < size:
            piece = self.socket.recv(size - len(received))
            assert piece, f"closed after {received!r}"
            received += piece
        return received

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def put(key, *options):
    return ("KV.PUT", "p", key, *options, "FIELD", "x", "int64", "VALUES", 1)


def keys(client):
    return list(client.execute_command("KV.LIST", "p"))


def blocked(client, count):
    wait_until(lambda: client.info("clients")["blocked_clients"] == count, f"{count} are blocked", seconds=20)


def test_a_client_that_reads_nothing_does_not_block_writes_of_others(server, client):
    client.execute_command("PARTITION.CREATE", "p", "MAXROWS", 1)
    client.execute_command(*put("a"))
    with Raw(server, 4096) as slow, Raw(server) as good:
        slow.send(("HELLO", 3), ("SUBSCRIBE", "ch"), put("slow", "BLOCK", 0))
        blocked(client, 1)
        for _ in range(400):
            client.publish("ch", b"x" * 16000)
        good.send(put("good", "BLOCK", 0))
        blocked(client, 2)
        client.execute_command("KV.CLEAR", "p", "KEYS", 1, "a")
        wait_until(lambda: keys(client) == [b"slow"], "the first is served")
        client.execute_command("KV.CLEAR", "p", "KEYS", 1, "slow")
        assert good.receive(4) == b":1\r\n"


def test_a_time_out_holds_for_a_client_that_reads_nothing(server, client):
    client.execute_command("PARTITION.CREATE", "p", "MAXROWS", 1)
    client.execute_command(*put("a"))
    with Raw(server, 4096) as slow:
        slow.send(("HELLO", 3), ("SUBSCRIBE", "ch"), put("slow", "BLOCK", 300))
        blocked(client, 1)
        for _ in range(400):
            client.publish("ch", b"x" * 16000)
        blocked(client, 0)


def publish_until(server, ended):
    with Raw(server) as publisher:
        while not ended.is_set():
            publisher.send(*[("PUBLISH", "ch", "evil")] * 20)
            replies = b""
            while replies.count(b"\r\n") < 20:
                replies += publisher.socket.recv(1 << 16)


def test_no_message_comes_after_the_last_unsubscribe_or_reset(server, client):
    """RESP2 clients would take such a message for the reply to their next command."""
    client.set("key", "value")
    ended = threading.Event()
    publishers = [threading.Thread(target=publish_until, args=(server, ended)) for _ in range(2)]
    for publisher in publishers:
        publisher.start()
    try:
        for _ in range(60):
            expect_silence_after(server, ("UNSUBSCRIBE", "ch"), b"*3\r\n$11\r\nunsubscribe\r\n$2\r\nch\r\n:0\r\n")
            expect_silence_after(server, ("RESET",), b"+RESET\r\n")
    finally:
        ended.set()
        for publisher in publishers:
            publisher.join()


def expect_silence_after(server, end, confirmation):
    with Raw(server) as listener:
        listener.send(("SUBSCRIBE", "ch"))
        listener.receive(200)  # the confirmation, and messages
        listener.send(end)
        received = b""
        while confirmation not in received:
            received += listener.socket.recv(1 << 16)
        listener.send(("GET", "key"))
        rest = received[received.index(confirmation) + len(confirmation) :]
        while not rest.endswith(b"$5\r\nvalue\r\n"):
            rest += listener.socket.recv(1 << 16)
        assert rest == b"$5\r\nvalue\r\n"


def fill(client, *tasks):
    client.execute_command("PARTITION.CREATE", "p", "TASKS", len(tasks), *tasks, "AUTOEVICT")
    client.execute_command("KV.PUT", "p", "a", "FIELD", "x", "uint8", LARGE, "BLOB", bytes(LARGE))


def fetch(task, *options):
    return ("TASK.FETCH", "p", task, "FIELDS", 1, "x", "COUNT", 1, *options)


def consumed(client, task):
    return pairs(client.execute_command("TASK.STATUS", "p", task, "FIELDS", 1, "x"))["consumed"]


def test_autoevict_keeps_a_row_until_its_reply_is_received(server, client):
    fill(client, "t")
    dying = Raw(server, 4096)
    dying.send(fetch("t", "FORMAT", "columns"))
    dying.receive(100)
    assert keys(client) == [b"a"]
    dying.reset()
    wait_until(lambda: consumed(client, "t") == 0, "the row is given back")
    assert client.execute_command(*fetch("t")) is not None
    assert keys(client) == []


def test_autoevict_waits_for_the_reply_of_another_task(server, client):
    fill(client, "t1", "t2")
    dying = Raw(server, 4096)
    dying.send(fetch("t1", "FORMAT", "columns"))
    dying.receive(100)
    assert client.execute_command(*fetch("t2")) is not None
    dying.reset()
    wait_until(lambda: consumed(client, "t1") == 0, "the row is given back")
    assert client.execute_command(*fetch("t1")) is not None
    assert keys(client) == []


def test_autoevict_removes_a_row_whose_large_reply_was_received(server, client):
    fill(client, "t")
    reply = client.execute_command(*fetch("t", "FORMAT", "columns"))
    assert len(str(reply)) > LARGE
    assert keys(client) == []
    wait_until(lambda: int(client.info("memory")["used_memory_payload"]) == 0, "the payload is freed")


def test_a_peer_that_closed_while_memory_was_short_is_noticed_later(server, client):
    client.execute_command("PARTITION.CREATE", "p", "TASKS", 1, "t")
    client.set("ballast", b"x" * (90 << 20))
    client.config_set("maxmemory", 1 << 20)
    with Raw(server) as ghost:
        ghost.send(fetch("t", "BLOCK", 0))
        blocked(client, 1)
        ghost.socket.setblocking(False)
        pings, full = pack("PING") * 100000, 0
        while full < 50:  # until the socket accepts no more
            try:
                ghost.socket.send(pings)
            except BlockingIOError:
                client.ping()
                full += 1
        client.config_set("maxmemory", 0)
        client.delete("ballast")
    blocked(client, 0)
    client.execute_command(*put("a"))
    assert client.execute_command(*fetch("t")) is not None


def refused(waiting, *starts):
    received = waiting.receive(5)
    assert received in starts, received


def test_a_waiter_that_can_never_be_served_gets_the_error_of_a_new_command(server, client):
    client.execute_command("PARTITION.CREATE", "p", "MAXROWS", 4)
    client.execute_command("KV.MPUT", "p", "NEW", 4, "COLUMN", "x", "int64", "BLOB", bytes(32))
    with Raw(server) as rows, Raw(server) as task:
        rows.send(("KV.MPUT", "p", "NEW", 3, "BLOCK", 0, "COLUMN", "x", "int64", "BLOB", "x" * 24))
        task.send(("TASK.FETCH", "p", "t", "FIELDS", 1, "other", "COUNT", 1, "BLOCK", 0))
        blocked(client, 2)
        client.execute_command("PARTITION.CREATE", "p", "MAXROWS", 2)
        refused(rows, b"-FULL")
        client.execute_command("PARTITION.CREATE", "p", "STRICT", "TASKS", 1, "u")
        refused(task, b"-NOTA")
    blocked(client, 0)


def test_a_write_larger_than_a_lowered_maxmemory_gets_its_error(server, client):
    client.set("ballast", b"x" * (90 << 20))
    client.config_set("maxmemory", 100 << 20)
    with Raw(server) as large, Raw(server) as upload:
        large.send(("KV.PUT", "p", "a", "BLOCK", 0, "FIELD", "x", "uint8", 1 << 14, "BLOB", "x" * (1 << 14)))
        large.receive(4)
        client.config_set("maxmemory", 91 << 20)
        upload.socket.sendall(
            b"*10\r\n$6\r\nKV.PUT\r\n$1\r\np\r\n$1\r\nb\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n$5\r\nFIELD\r\n$1\r\nx\r\n"
            b"$5\r\nuint8\r\n$4\r\nBLOB\r\n$33554432\r\n"
        )
        blocked(client, 1)
        client.config_set("maxmemory", 1 << 20)
        blocked(client, 0)


def test_an_mput_needs_no_space_for_rows_that_others_made(server, client):
    client.execute_command("PARTITION.CREATE", "p", "MAXROWS", 2)
    client.execute_command(*put("a"))
    client.execute_command(*put("b"))
    with Raw(server) as waiting:
        waiting.send(("KV.MPUT", "p", "KEYS", 1, "c", "BLOCK", 0, "COLUMN", "x", "int64", "BLOB", "x" * 8))
        blocked(client, 1)
        with client.pipeline(transaction=True) as together:
            together.execute_command("KV.CLEAR", "p", "KEYS", 1, "a")
            together.execute_command(*put("c"))
            together.execute()
        assert waiting.receive(4) == b"*2\r\n"


def test_many_awaited_rows_are_checked_by_the_waiter(server, client):
    """KV.WAIT on many rows finds its next row itself; a writer of a row checks only a few waiters' rows."""
    rows = 200_000
    client.execute_command("KV.MPUT", "p", "NEW", rows, "COLUMN", "x", "int64", "BLOB", bytes(8 * rows))
    client.execute_command("KV.CLEAR", "p", "KEYS", 2, "0", rows - 1, "FIELDS", 1, "x")
    indexes = struct.pack(f"<{rows}q", *range(rows))
    waiters = [client.connection_pool.connection_class(port=server.port) for _ in range(10)]
    for waiter in waiters:
        waiter.connect()
        waiter.send_command("KV.WAIT", "p", "ROWS", indexes, "FIELDS", 1, "x", "TIMEOUT", 0)
    blocked(client, 10)
    client.execute_command("KV.MPUT", "p", "KEYS", 1, "0", "COLUMN", "x", "int64", "BLOB", bytes(8))
    blocked(client, 10)
    client.execute_command("KV.MPUT", "p", "KEYS", 1, rows - 1, "COLUMN", "x", "int64", "BLOB", bytes(8))
    assert [waiter.read_response() for waiter in waiters] == [1] * 10
    for waiter in waiters:
        waiter.disconnect()


def test_a_where_of_too_many_conditions_is_refused(client):
    conditions = [word for _ in range(65) for word in ("a", "!=", "1")]
    with pytest.raises(redis.ResponseError, match="WHERE: expected an integer from 1 to 64, got '65'"):
        client.execute_command("KV.LIST", "p", "WHERE", 65, *conditions)
    client.execute_command("KV.LIST", "p", "WHERE", 64, *conditions[3:])


def test_many_watched_names_are_forgotten_in_steps(server, client):
    names = 100_000
    with Raw(server) as watcher:
        watcher.send(("WATCH", *(f"name-{i}" for i in range(names))))
        assert watcher.receive(5) == b"+OK\r\n"
        watcher.send(("UNWATCH",))
        assert watcher.receive(5) == b"+OK\r\n"
        watcher.send(("WATCH", *(f"name-{i}" for i in range(names))), ("MULTI",), ("SET", "x", "1"))
        assert watcher.receive(19) == b"+OK\r\n+OK\r\n+QUEUED\r\n"
        client.set("name-99999", "changed")
        watcher.send(("EXEC",), ("EXISTS", "x"))
        assert watcher.receive(9) == b"*-1\r\n:0\r\n"
