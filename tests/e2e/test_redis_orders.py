"""Orders and races that Redis settles: pushes and replies, CLIENT REPLY, CLIENT PAUSE, EXEC without memory."""

import socket
import time

import pytest
import redis
from resp import pack
from live_server import Server, wait_until

CONFIRMED = b"*3\r\n$%d\r\n%s\r\n$1\r\na\r\n:%d\r\n"


@pytest.fixture
def server(tmp_path):
    running = Server(tmp_path, "--io-threads", "2")
    yield running
    running.stop()


@pytest.fixture
def client(server):
    with server.client() as connected:
        yield connected


def told(server, *commands, end):
    """Sends the commands in one write. Returns what comes up to `end`, and what comes with a PING behind it."""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.settimeout(20)
        connection.sendall(b"".join((pack(*words) for words in commands)))
        received = b""
        while end not in received:
            received += connection.recv(1 << 16)
        connection.sendall(pack("ECHO", "the end"))
        while not received.endswith(b"$7\r\nthe end\r\n"):
            received += connection.recv(1 << 16)
        return received.removesuffix(b"$7\r\nthe end\r\n")


def test_no_line_of_monitor_comes_behind_reset(server):
    for _ in range(50):
        received = told(server, ("MONITOR",), ("PING",), ("RESET",), ("ECHO", "tok"), end=b"tok\r\n")
        assert received.startswith(b"+OK\r\n+PONG\r\n+")
        assert received.endswith(b'"PING"\r\n+RESET\r\n$3\r\ntok\r\n')


def test_an_own_message_comes_before_the_reply_that_ends_the_subscription(server):
    for _ in range(50):
        commands = [("SUBSCRIBE", "a"), ("PUBLISH", "a", "m"), ("UNSUBSCRIBE", "a"), ("PING",)]
        received = told(server, ("HELLO", "3"), *commands, end=b"+PONG\r\n")
        pushes = received[received.index(b">3") :]
        assert pushes.count(b"$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n") == 1
        assert pushes.index(b"message") < pushes.index(b"unsubscribe")
        assert pushes.endswith(b"unsubscribe\r\n$1\r\na\r\n:0\r\n+PONG\r\n")


@pytest.mark.parametrize("kind, publish", [(b"", "PUBLISH"), (b"p", "PUBLISH"), (b"s", "SPUBLISH")])
def test_an_own_message_of_a_transaction_comes_before_the_reply_that_ends_the_subscription(server, kind, publish):
    begin, end = kind + b"subscribe", kind + b"unsubscribe"
    queued = [("MULTI",), (publish, "a", "m"), (end, "a"), (publish, "a", "late"), ("EXEC",), ("PING",)]
    received = told(server, ("HELLO", "3"), (begin, "a"), *queued, end=b"+PONG\r\n")
    head = b">4\r\n$8\r\npmessage\r\n$1\r\na\r\n" if kind == b"p" else b">3\r\n$%d\r\n%smessage\r\n" % (7 + len(kind), kind)
    message = head + b"$1\r\na\r\n$1\r\nm\r\n"
    ended = b">" + (CONFIRMED % (len(end), end, 0))[1:]
    assert received.endswith(b"+QUEUED\r\n*3\r\n:1\r\n" + message + ended + b":0\r\n+PONG\r\n")


def test_lines_of_monitor_come_behind_the_array_of_exec(server):
    queued = [("MULTI",), ("ECHO", "x"), ("UNSUBSCRIBE",), ("ECHO", "y"), ("EXEC",)]
    received = told(server, ("HELLO", "3"), ("MONITOR",), *queued, ("RESET",), end=b"+RESET\r\n")
    assert b"*3\r\n$1\r\nx\r\n>3\r\n$11\r\nunsubscribe\r\n_\r\n:0\r\n$1\r\ny\r\n" in received


@pytest.mark.parametrize("mode", ["OFF", "SKIP"])
@pytest.mark.parametrize("kind", [b"", b"p", b"s"])
def test_confirmations_are_sent_without_replies(server, mode, kind):
    begin, end = kind + b"subscribe", kind + b"unsubscribe"
    begun = CONFIRMED % (len(begin), begin, 1)
    ended = CONFIRMED % (len(end), end, 0)
    if mode == "SKIP":
        received = told(server, ("CLIENT", "REPLY", "SKIP"), (begin, "a"), (end, "a"), end=ended)
        assert received == begun + ended
        return
    off, on = ("CLIENT", "REPLY", "OFF"), ("CLIENT", "REPLY", "ON")
    received = told(server, off, ("PING",), (begin, "a"), (begin,), (end, "a"), ("PING",), on, end=b"+OK\r\n")
    assert received == begun + ended + b"+OK\r\n"
    three = told(server, ("HELLO", "3"), off, ("PING",), (begin, "a"), on, end=b":1\r\n+OK\r\n")
    assert three.endswith(b"*0\r\n$14\r\nsluice_version\r\n$5\r\n0.1.0\r\n" + b">" + begun[1:] + b"+OK\r\n")


@pytest.mark.parametrize("kind", [b"", b"p"])
def test_exec_applies_client_reply_to_each_of_its_commands(server, kind):
    begin, end = kind + b"subscribe", kind + b"unsubscribe"
    both = CONFIRMED % (len(begin), begin, 1) + CONFIRMED % (len(end), end, 0)
    skip, off, on = (("CLIENT", "REPLY", mode) for mode in ("SKIP", "OFF", "ON"))
    queued = b"+OK\r\n" + 5 * b"+QUEUED\r\n"
    get, both_ways = ("GET", "k"), [(begin, "a"), (end, "a")]
    received = told(server, off, ("MULTI",), get, *both_ways, get, ("EXEC",), get, on, end=b"+OK\r\n")
    assert received == both + b"+OK\r\n"
    received = told(server, ("MULTI",), get, off, *both_ways, get, ("EXEC",), get, on, end=both + b"+OK\r\n")
    assert received == queued + b"*5\r\n$-1\r\n" + both + b"+OK\r\n"
    received = told(server, ("MULTI",), get, skip, *both_ways, get, ("EXEC",), get, ("PING",), end=b"+PONG\r\n")
    assert received == queued + b"*5\r\n$-1\r\n" + both + b"$-1\r\n+PONG\r\n"
    received = told(server, off, ("MULTI",), get, on, *both_ways, get, ("EXEC",), ("PING",), end=b"+PONG\r\n")
    assert received == b"+OK\r\n" + both + b"$-1\r\n+PONG\r\n"


def test_exec_sends_the_own_messages_without_replies(server):
    off, on = ("CLIENT", "REPLY", "OFF"), ("CLIENT", "REPLY", "ON")
    transaction = [("MULTI",), ("PUBLISH", "a", "m"), ("UNSUBSCRIBE", "a"), ("EXEC",)]
    received = told(server, ("HELLO", "3"), ("SUBSCRIBE", "a"), off, *transaction, on, end=b":0\r\n+OK\r\n")
    message = b">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n"
    begun, ended = (b">" + (CONFIRMED % reply)[1:] for reply in [(9, b"subscribe", 1), (11, b"unsubscribe", 0)])
    assert received.endswith(b"0.1.0\r\n" + begun + message + ended + b"+OK\r\n")


def test_commands_behind_subscribe_in_one_transaction_run(server):
    queued = [("MULTI",), ("SUBSCRIBE", "a"), ("SET", "k", "v"), ("GET", "k"), ("PING",), ("EXEC",)]
    received = told(server, *queued, ("GET", "k"), ("RESET",), end=b"+RESET\r\n")
    begun = CONFIRMED % (9, b"subscribe", 1)
    assert b"*4\r\n" + begun + b"+OK\r\n$1\r\nv\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n-ERR Can't execute 'get'" in received


def test_rows_that_exec_fetched_without_a_reply_stay_consumed(server, client):
    def consumed():
        return client.execute_command("TASK.STATUS", "p", "t", "FIELDS", 1, "x")[b"consumed"]

    client.execute_command("KV.MPUT", "p", "NEW", 1, "COLUMN", "x", "uint8", "BLOB", b"a")
    client.execute_command("TASK.READY", "p", "t", "FIELDS", 1, "x")
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        fetch = ("TASK.FETCH", "p", "t", "FIELDS", "1", "x", "COUNT", "1")
        connection.sendall(b"".join(pack(*words) for words in [("CLIENT", "REPLY", "OFF"), ("MULTI",), fetch, ("EXEC",)]))
        wait_until(lambda: consumed() == 1, "the row should be fetched")
    wait_until(lambda: len(client.client_list()) == 1, "the connection should be closed")
    assert consumed() == 1


def blocked(client, count):
    wait_until(lambda: client.info("clients")["blocked_clients"] == count, f"{count} clients should be blocked")


def told_to(connection, *commands):
    """Sends the commands one by one. Returns the last reply."""
    for command in commands:
        connection.send_command(*command)
        reply = connection.read_response()
    return reply


class Later:
    """A command of another connection whose reply is read later."""

    def __init__(self, server, *command):
        self.connection = redis.Connection(port=server.port, socket_timeout=20)
        self.connection.connect()
        self.connection.send_command(*command)

    def reply(self):
        try:
            return self.connection.read_response()
        finally:
            self.connection.disconnect()


def test_the_longer_and_stronger_pause_stays(server, client):
    begun = time.monotonic()
    client.execute_command("CLIENT", "PAUSE", 400, "ALL")
    client.execute_command("CLIENT", "PAUSE", 10, "WRITE")
    client.execute_command("CLIENT", "PAUSE", 0)
    assert Later(server, "PING").reply() == b"PONG"
    assert time.monotonic() - begun >= 0.4
    client.execute_command("CLIENT", "PAUSE", 1, "ALL")
    wait_until(lambda: Later(server, "PING").reply() == b"PONG", "the pause should end")
    client.execute_command("CLIENT", "PAUSE", 60000, "WRITE")  # an earlier mode does not stay
    assert client.ping()
    client.execute_command("CLIENT", "UNPAUSE")


def test_a_pause_of_writes_holds_back_what_may_be_replicated(server, client):
    client.execute_command("CLIENT", "PAUSE", 60000, "WRITE")
    waiting = [Later(server, *command) for command in [("SET", "a", "b"), ("PUBLISH", "c", "m"), ("SPUBLISH", "c", "m")]]
    blocked(client, len(waiting))
    assert [line["flags"] for line in client.client_list()].count("b") == len(waiting)
    assert client.client_unblock(client.client_list()[1]["id"]) == 0
    assert client.get("a") is None
    client.execute_command("CLIENT", "UNPAUSE")
    assert [later.reply() for later in waiting] == [b"OK", 0, 0]
    blocked(client, 0)


def test_what_is_refused_does_not_wait_for_the_end_of_a_pause(server, client):
    client.execute_command("CLIENT", "PAUSE", 60000, "WRITE")
    with pytest.raises(redis.ResponseError, match="wrong number of arguments for 'set' command"):
        client.execute_command("SET", "FOO")
    with pytest.raises(redis.ResponseError, match="unknown command 'NOSUCH'"):
        client.execute_command("NOSUCH", "FOO")
    limit = client.config_get("maxmemory")["maxmemory"]
    client.config_set("maxmemory", 1)
    with pytest.raises(redis.ResponseError, match="command not allowed when used memory"):
        client.set("FOO", "BAR")
    client.config_set("maxmemory", limit)
    with redis.Redis(port=server.port, protocol=2) as listener:
        subscribed = listener.pubsub()
        subscribed.subscribe("a")
        subscribed.get_message(timeout=20)
        subscribed.execute_command("SET", "FOO", "BAR")
        with pytest.raises(redis.ResponseError, match="only .* are allowed in this context"):
            subscribed.get_message(timeout=20)
    client.config_set("requirepass", "secret")
    with pytest.raises(redis.AuthenticationError):
        Later(server, "SET", "FOO", "BAR").reply()
    client.config_set("requirepass", "")
    client.execute_command("CLIENT", "UNPAUSE")


def test_a_name_that_expires_in_a_pause_is_hidden_and_removed_afterwards(server, client):
    client.set("a", "b", px=30)
    client.execute_command("PARTITION.CREATE", "p", "TTL", 30)
    client.execute_command("CLIENT", "PAUSE", 60000, "WRITE")
    wait_until(lambda: client.get("a") is None and not client.exists("p"), "the names should expire")
    assert client.dbsize() == 2
    assert client.info("stats")["expired_keys"] == 0
    assert client.randomkey() is None
    assert client.keys() == []
    waiting = Later(server, "SET", "a", "c")
    blocked(client, 1)
    client.execute_command("CLIENT", "UNPAUSE")
    assert waiting.reply() == b"OK"
    wait_until(lambda: client.dbsize() == 1, "the partition should be removed")
    assert client.info("stats")["expired_keys"] == 2
    assert (client.get("a"), client.ttl("a")) == (b"c", -1)


def test_a_partition_whose_ttl_ends_in_a_pause_does_not_come_back_when_a_command_waits_for_its_name(server, client):
    client.execute_command("PARTITION.CREATE", "p", "TTL", 30)
    client.execute_command("CLIENT", "PAUSE", 60000, "WRITE")
    wait_until(lambda: client.keys() == [], "the partition should expire")  # EXISTS would be a use
    waiting = Later(server, "KV.WAIT", "p", "KEYS", 1, "k", "FIELDS", 1, "x", "TIMEOUT", 0)
    blocked(client, 1)
    assert not client.exists("p")
    client.execute_command("CLIENT", "UNPAUSE")
    wait_until(lambda: client.dbsize() == 0, "the partition should be removed")
    assert client.info("stats")["expired_keys"] == 1
    client.execute_command("KV.PUT", "p", "k", "FIELD", "x", "utf8", "BLOB", "v")
    assert waiting.reply() == 1


@pytest.mark.parametrize("seen", [True, False], ids=["seen by GET", "seen by EXEC alone"])
def test_a_watched_name_that_expires_in_a_pause_aborts_exec_once(server, client, seen):
    with server.client() as other:
        watching, later = (other.connection_pool.get_connection() for _ in range(2))
        client.set("a", "b", px=30)
        assert told_to(watching, ("WATCH", "a")) == b"OK"
        client.execute_command("CLIENT", "PAUSE", 60000, "WRITE")
        wait_until(lambda: client.keys() == [], "the name should expire")  # KEYS hides it, and removes nothing
        assert not seen or client.get("a") is None
        assert told_to(watching, ("MULTI",), ("GET", "a"), ("EXEC",)) is None
        assert told_to(later, ("WATCH", "a")) == b"OK"
        client.execute_command("CLIENT", "UNPAUSE")
        wait_until(lambda: client.dbsize() == 0, "the name should be removed")
        assert told_to(later, ("MULTI",), ("GET", "a"), ("EXEC",)) == [None]


def test_exec_aborts_when_memory_ran_out_since_its_commands_were_queued(server, client):
    limit = client.config_get("maxmemory")["maxmemory"]
    with server.client() as other:
        transaction = other.connection_pool.get_connection()
        for command in [("MULTI",), ("SET", "x", "1"), ("GET", "x")]:
            transaction.send_command(*command)
            transaction.read_response()
        client.config_set("maxmemory", 1)
        transaction.send_command("EXEC")
        with pytest.raises(redis.exceptions.ExecAbortError, match="because of: OOM command not allowed"):
            transaction.read_response()
        for command in [("KV.PUT", "p", "k", "TAG", "{}"), ("GET", "x")]:
            transaction.send_command("MULTI")
            transaction.read_response()
            transaction.send_command(*command)
            with pytest.raises(redis.ResponseError, match="command not allowed when used memory"):
                transaction.read_response()
            transaction.send_command("DISCARD")
            transaction.read_response()
        client.config_set("maxmemory", limit)
    assert client.get("x") is None


def test_info_has_what_redis_tools_read(client):
    info = client.info()
    names = "rdb_changes_since_last_save rdb_bgsave_in_progress lazyfree_pending_objects total_system_memory used_memory_dataset"
    assert [name for name in names.split() if not isinstance(info.get(name), int)] == []


def test_latency_of_a_command_with_subcommands_is_that_of_all_of_them(client):
    client.client_id()
    client.execute_command("CLIENT", "GETNAME")
    shown = client.execute_command("LATENCY", "HISTOGRAM", "client")
    assert {b"client|id", b"client|getname"} <= set(shown)


def test_latency_graph_draws_the_samples_of_an_event(client):
    client.config_set("latency-monitor-threshold", 1)
    client.execute_command("TASK.FETCH", "p", "t", "FIELDS", 1, "x", "COUNT", 1, "BLOCK", 20)
    text = client.execute_command("LATENCY", "GRAPH", "blocked")
    text = text if isinstance(text, str) else text.decode()
    assert text.startswith("blocked - high ")
    assert text.splitlines()[1].endswith("#" * 40)
