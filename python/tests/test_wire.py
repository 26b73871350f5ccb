"""Connections: repeated and unrepeated commands, time-outs, cancelled calls, forks, passwords."""

import asyncio
import os
import pathlib
import socket
import threading

import numpy as np
import pytest
from live_server import Server, wait_until

from sluice._calls import in_thread
from sluice._link import Link
from sluice.errors import CallTimeout, ConnectionLost, RequestError, ServerError, Unconfirmed
from sluice.wire import Wire, lines, packed, unpacked


@pytest.fixture
def wire(sluice_url):
    wire = Wire(sluice_url, timeout_s=20)
    yield wire
    wire.close()


class Fake:
    """A scripted server: answers HELLO and CLIENT as redis-py expects, then runs `script` on each connection."""

    def __init__(self, folder: pathlib.Path, script):
        self.path = str(folder / "fake")
        self.url = f"unix://{self.path}"
        self.accepted = 0
        self._script = script
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            with connection:
                connection.recv(65536)  # HELLO 3
                connection.sendall(b"%1\r\n$5\r\nproto\r\n:3\r\n")
                for _ in range(2):  # CLIENT SETINFO
                    connection.recv(65536)
                    connection.sendall(b"+OK\r\n")
                self._script(self, connection)

    def close(self):
        self._listener.close()


@pytest.fixture
def fake(tmp_path):
    made = []

    def make(script):
        made.append(Fake(tmp_path, script))
        return made[-1]

    yield make
    for one in made:
        one.close()


def answer(text):
    return lambda fake, connection: (connection.recv(65536), connection.sendall(text), connection.recv(1))


REPLIES = {
    b"+OK\r\n": b"OK",
    b":-7\r\n": -7,
    b",1.5\r\n": 1.5,
    b"#t\r\n": True,
    b"_\r\n": None,
    b"$-1\r\n": None,
    b"*-1\r\n": None,
    b"$0\r\n\r\n": b"",
    b"$2\r\n\r\n\r\n": b"\r\n",
    b"=6\r\ntxt:ab\r\n": b"ab",
    b"*2\r\n:1\r\n*1\r\n$1\r\na\r\n": [1, [b"a"]],
    b"~1\r\n:1\r\n": [1],
    b"%1\r\n$1\r\na\r\n:1\r\n": {b"a": 1},
    b">2\r\n+push\r\n:1\r\n:5\r\n": 5,
}


@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("pieces", [False, True])
def test_every_kind_of_reply_is_read(fake, reply, pieces):
    def script(_, connection):
        connection.recv(65536)
        for i in range(len(reply)) if pieces else [0]:
            connection.sendall(reply[i : i + 1] if pieces else reply)
        connection.recv(1)

    wire = Wire(fake(script).url, timeout_s=20)
    assert wire.call("X") == REPLIES[reply]


@pytest.mark.parametrize("nbytes", [16383, 16384, 65535, 65536, 65537, 1 << 22])
def test_bulk_strings_of_any_size_are_read(wire, nbytes):
    data = np.random.default_rng(nbytes).integers(0, 256, nbytes, dtype=np.uint8)
    wire.call("SET", "k", data.data)
    for arrays in (False, True):
        replies = wire.pipeline(["GET", "k"], ["PING"], ["GET", "k"], arrays=arrays)
        assert bytes(replies[0]) == bytes(replies[2]) == data.tobytes() and replies[1] == b"PONG"
        assert isinstance(replies[0], np.ndarray) == (arrays and nbytes >= 16384)


@pytest.mark.parametrize("size", [1, 20_000])
def test_a_reply_has_one_type_whatever_its_size(wire, size):
    """So that `None in reply`, a comparison, a truth test, and a dict of replies work."""
    tag, row = f'{{"t":"{"x" * size}"}}'.encode(), f"{'r' * size}"
    assert wire.call("KV.MPUT", "p", "KEYS", 1, "k", "RETURN", "TAGS", "TAGS", 1, tag)[-1] == [tag]
    assert None not in wire.call("KV.TAGS", "p", "KEYS", 1, "k")
    assert wire.call("KV.TAGS", "p", "KEYS", 2, "k", "none") == [tag, None]
    assert wire.call("ECHO", row) == row.encode()
    wire.call("KV.MPUT", "q", "NEW", 3000 * (size > 1) + 1)
    assert type(wire.call("TASK.READY", "q", "t", "FIELDS", 1, "x")) is bytes
    assert type(wire.call("PARTITION.READY", "q", "FIELDS", 1, "x")[0]) is bytes


def test_errors_inside_arrays_keep_their_positions(wire):
    good, bad, also = wire.pipeline(["PING"], ["KV.MGET", "p", "KEYS", 1, "k"], ["ECHO", "x"])
    assert good == b"PONG" and also == b"x"
    assert isinstance(bad, RequestError) and bad.code == "NOPARTITION"
    with pytest.raises(RequestError, match="unknown command 'NOPE'"):
        wire.call("NOPE")


def test_lists_and_numbers_are_sent_as_arguments(wire):
    assert wire.call("KV.MPUT", "p", "KEYS", *lines(["a", "é"]), "COLUMN", "x", "float32", "BLOB", b"12345678")[0] == 2
    assert list(wire.call("KV.LIST", "p")) == [b"a", "é".encode()]
    numbers = np.array([5, -1, 2**62])
    assert unpacked(bytes(packed(numbers))).tolist() == unpacked(bytes(packed([5, -1, 2**62]))).tolist() == [5, -1, 2**62]


def test_a_restarted_server_is_reconnected(tmp_path):
    first = Server(tmp_path)
    wire = Wire(f"unix://{first.path}", timeout_s=20)
    wire.call("SET", "k", "v")
    first.stop()
    second = Server(tmp_path)
    wire.call("SET", "k", "w")  # not safe to repeat, and need not be: the client sees that the old connection was closed
    assert wire.call("GET", "k") == b"w"
    second.stop()
    with pytest.raises(ConnectionLost, match=f"no connection to the server at {second.path}"):
        wire.call("GET", "k")


def test_closed_idle_connections_are_not_used(server):
    wire = Wire(f"redis://localhost:{server.port}", timeout_s=20)
    barrier = threading.Barrier(4, timeout=20)

    def together():
        barrier.wait()
        wire.call("KV.WAIT", "p", "KEYS", 1, "k", "FIELDS", 1, "x", "TIMEOUT", 100)

    threads = [threading.Thread(target=together) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(wire._links.idle) > 1
    with server.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        wait_until(lambda: client.info("clients")["connected_clients"] == 1, "a killed connection stays")
    assert wire.call("INCR", "k") == 1
    assert len(wire._links.idle) == 1
    wire.call("DEL", "k")
    wire.close()


def test_bytes_that_a_socket_does_not_take_are_sent_later():
    class Dribble:
        taken = b""

        def sendmsg(self, pieces):
            piece = b"".join(pieces)[:7]
            self.taken += piece
            return len(piece)

    link = Link.__new__(Link)  # without a server
    link._socket, link._tls = Dribble(), False
    pieces = [bytes(range(n)) for n in (3, 0, 20, 7, 1, 30)]
    link.send([memoryview(piece) for piece in pieces])
    assert link._socket.taken == b"".join(pieces)


def test_a_command_that_may_have_run_is_not_repeated(fake):
    server = fake(lambda _, connection: connection.recv(65536))  # takes the command, and closes
    with pytest.raises(Unconfirmed, match="INCR: the connection broke before the reply came .*may have been carried out"):
        Wire(server.url, timeout_s=20).call("INCR", "k")
    assert server.accepted == 1


def test_a_repeatable_command_is_repeated_once(fake):
    server = fake(lambda _, connection: connection.recv(65536))
    with pytest.raises(ConnectionLost, match="GET: the connection broke twice") as raised:
        Wire(server.url, timeout_s=20).call("GET", "k", repeat=True)
    assert server.accepted == 2 and not isinstance(raised.value, Unconfirmed)

    def second_time(fake, connection):
        connection.recv(65536)
        if fake.accepted == 4:
            connection.sendall(b"$1\r\nv\r\n")

    server._script = second_time
    assert Wire(server.url, timeout_s=20).call("GET", "k", repeat=True) == b"v"


def test_a_command_that_was_not_sent_whole_is_repeated(fake):
    got = []

    def script(fake, connection):
        if fake.accepted == 1:
            connection.recv(10)  # closes, with megabytes still to come
            return
        while len(got) < 8 << 20:
            got.extend(connection.recv(1 << 20))
        connection.sendall(b"+OK\r\n")

    server = fake(script)
    assert Wire(server.url, timeout_s=20).call("SET", "k", bytes(8 << 20)) == b"OK"
    assert server.accepted == 2


def test_a_missing_reply_is_a_time_out(fake):
    server = fake(lambda _, connection: connection.recv(1 << 20) and connection.recv(1))
    with pytest.raises(CallTimeout, match="GET: no reply within 0.1 s"):
        Wire(server.url, timeout_s=0.1).call("GET", "k")


def test_half_a_reply_is_a_time_out(fake):
    server = fake(answer(b"$100000\r\nabc"))
    with pytest.raises(CallTimeout):
        Wire(server.url, timeout_s=0.1).call("GET", "k")


def test_a_blocked_command_has_its_own_time_in_addition(wire):
    wire.timeout_s = 0.2
    assert wire.call("KV.WAIT", "p", "KEYS", 1, "k", "FIELDS", 1, "x", "TIMEOUT", 500, wait_s=0.5) == 0


def test_an_invalid_reply_is_an_error(fake):
    with pytest.raises(Unconfirmed, match="invalid reply: it begins with b'H'"):
        Wire(fake(answer(b"HTTP/1.1 400\r\n")).url, timeout_s=20).call("SET", "k", "v")


def test_a_cancelled_call_is_unblocked_on_the_server(wire, server):
    async def fetch_and_cancel():
        fetch = ["TASK.FETCH", "p", "t", "FIELDS", 1, "x", "COUNT", 1, "BLOCK", 0]
        task = asyncio.create_task(in_thread(wire.call, *fetch, wait_s=None))
        with server.client() as client:
            while client.info("clients")["blocked_clients"] != 1:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while client.info("clients")["blocked_clients"] != 0:
                await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(fetch_and_cancel(), 20))
    wire.call("KV.PUT", "p", "k", "FIELD", "x", "uint8", "VALUES", 1)
    assert len(wire.call("TASK.READY", "p", "t", "FIELDS", 1, "x")) == 8


def test_many_async_calls_wait_concurrently(wire, server):
    async def main():
        fetch = ["TASK.FETCH", "p", "t", "FIELDS", 1, "x", "COUNT", 1, "BLOCK", 0]
        fetches = [asyncio.create_task(in_thread(wire.call, *fetch, wait_s=None)) for _ in range(100)]
        with server.client() as client:
            while client.info("clients")["blocked_clients"] != 100:
                await asyncio.sleep(0.001)
        await in_thread(wire.call, "KV.MPUT", "p", "NEW", 100, "COLUMN", "x", "uint8", "BLOB", bytes(100))
        return await asyncio.gather(*fetches)

    got = asyncio.run(asyncio.wait_for(main(), 60))
    assert sorted(int(unpacked(reply[b"rows"])[0]) for reply in got) == list(range(100))


def test_threads_share_a_wire(wire):
    wrong = []

    def work(i):
        for n in range(200):
            if wire.call("ECHO", f"{i}-{n}") != f"{i}-{n}".encode():
                wrong.append((i, n))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []


def test_a_forked_child_opens_its_own_connections(wire):
    mine = wire.call("CLIENT", "ID")
    child = os.fork()
    if child == 0:
        other = wire.call("CLIENT", "ID") != mine
        wire.close()
        os._exit(0 if other else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert wire.call("CLIENT", "ID") == mine


def test_passwords_are_sent_and_not_shown(tmp_path):
    server = Server(tmp_path, password="secret")
    assert Wire(f"redis://:secret@localhost:{server.port}").call("PING") == b"PONG"
    for url in (f"redis://:wrong@localhost:{server.port}", f"redis://localhost:{server.port}"):
        with pytest.raises(ServerError) as raised:
            Wire(url).call("PING")
        assert "wrong" not in str(raised.value).replace("wrong username", "") and "secret" not in str(raised.value)
    server.stop()


@pytest.mark.parametrize("repeat", [False, True])
def test_close_ends_a_call_of_another_thread(wire, server, repeat):
    ends = []

    def wait():
        try:
            wire.call("TASK.FETCH", "p", "t", "FIELDS", 1, "x", "COUNT", 1, "BLOCK", 0, repeat=repeat, wait_s=None)
        except Exception as error:
            ends.append(error)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    with server.client() as client:
        wait_until(lambda: client.info("clients")["blocked_clients"] == 1, "nothing waits")
        wire.close()
        thread.join(10)
        assert isinstance(ends[0], ConnectionLost) and isinstance(ends[0], Unconfirmed) != repeat
        wait_until(lambda: client.info("clients")["blocked_clients"] == 0, "the fetch still waits")
    with pytest.raises(ConnectionLost, match="were closed by close"):
        wire.with_timeout(1).call("PING")


def test_close_ends_a_transaction_of_another_thread(wire):
    reading, ends = threading.Event(), []

    def commands(one):
        one.call("PING")
        reading.set()
        return one.call("TASK.FETCH", "p", "t", "FIELDS", 1, "x", "COUNT", 1, "BLOCK", 0, wait_s=None)

    def run():
        try:
            wire.transact(["watched"], commands)
        except Exception as error:
            ends.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert reading.wait(10)
    wire.close()
    thread.join(10)
    assert isinstance(ends[0], ConnectionLost)


def test_a_transaction_returns_the_errors_of_commands_and_raises_those_of_the_queue(wire):
    done, failed, after = wire.transact(["w"], lambda one: [["SET", "s", "1"], ["KV.FIELDS", "none"], ["GET", "s"]])
    assert done == b"OK" and isinstance(failed, RequestError) and after == b"1"
    with pytest.raises(ServerError, match="unknown command 'NONE'"):
        wire.transact(["w"], lambda one: [["NONE"]])
    assert wire.call("PING") == b"PONG"
