"""ROWS ... OF: indexes of a partition never act on a later partition of the same name."""

import numpy as np
import pytest
import redis
from live_server import Server, wait_until


@pytest.fixture
def r(server):
    with redis.Redis(port=server.port) as client:
        client.flushall()
        yield client
        client.flushall()


def indexes(*rows):
    return np.array(rows, "<i8").tobytes()


def incarnation(r, partition="p"):
    return r.execute_command("PARTITION.INFO", partition)[b"incarnation"]


def make(r, value, partition="p"):
    r.execute_command("KV.MPUT", partition, "NEW", 1, "COLUMN", "x", "uint8", "BLOB", value)
    return incarnation(r, partition)


def commands(of):
    rows = ["ROWS", indexes(0), "OF", of]
    return [
        ["KV.MGET", "p", *rows],
        ["KV.TAGS", "p", *rows],
        ["KV.FIELDS", "p", *rows],
        ["KV.WAIT", "p", *rows, "FIELDS", 1, "x", "TIMEOUT", 1],
        ["KV.MPUT", "p", *rows, "COLUMN", "x", "uint8", "BLOB", b"z"],
        ["KV.MPUT", "p", *rows, "BLOCK", 1, "COLUMN", "x", "uint8", "BLOB", b"z"],
        ["TASK.CLAIM", "p", "t", *rows, "FIELDS", 1, "x"],
        ["TASK.RELEASE", "p", "t", *rows],
        ["TASK.ACK", "p", "t", *rows],
        ["KV.CLEAR", "p", *rows, "FIELDS", 1, "x"],
        ["KV.CLEAR", "p", *rows],
    ]


@pytest.mark.parametrize("removed_by", ["KV.CLEAR", "DEL", "UNLINK", "FLUSHALL", "PEXPIRE"])
def test_indexes_of_a_removed_partition_are_stale(r, removed_by):
    old = make(r, b"a")
    names = [] if removed_by == "FLUSHALL" else ["p", 0] if removed_by == "PEXPIRE" else ["p"]
    r.execute_command(removed_by, *names)
    new = make(r, b"b")
    assert new > old
    r.execute_command("TASK.READY", "p", "t", "FIELDS", 1, "x")
    for command in commands(old):
        with pytest.raises(redis.ResponseError, match=f"STALE partition 'p' was made again: .* {new}, not {old}"):
            r.execute_command(*command)
    assert r.execute_command("KV.MGET", "p", "ROWS", indexes(0))[0][4] == b"b"
    for command in commands(new):
        r.execute_command(*command)


def test_the_answers_of_a_fetch_and_of_a_put_name_the_incarnation(r):
    of = make(r, b"a")
    for command in (
        ["TASK.FETCH", "p", "t", "FIELDS", 1, "x", "COUNT", 1, "KEEP"],
        ["TASK.FETCH", "p", "t", "FIELDS", 1, "x", "COUNT", 1, "LEASE", 60000],
        ["TASK.CLAIM", "p", "u", "ROWS", indexes(0), "OF", of, "FIELDS", 1, "x"],
    ):
        assert r.execute_command(*command)[b"incarnation"] == of, command
    assert r.execute_command("KV.MPUT", "p", "NEW", 1, "RETURN", "INCARNATION", "TAGS", 1, "{}")[-1] == of
    assert r.execute_command("KV.PUT", "p", "a", "RETURN", "INCARNATION", "TAG", "{}")[-1] == of


def test_a_blocked_fetch_names_the_partition_that_served_it(r, server):
    old = make(r, b"a")
    r.execute_command("KV.CLEAR", "p")
    with redis.Redis(port=server.port, single_connection_client=True) as waiting:
        waiting.connection.send_command("TASK.FETCH", "p", "t", "FIELDS", 1, "x", "COUNT", 1, "BLOCK", 0)
        wait_until(lambda: r.info("clients")["blocked_clients"] == 1, "the fetch does not wait")
        new = make(r, b"b")
        assert new != old
        assert waiting.connection.read_response()[b"incarnation"] == new


def test_a_blocked_write_of_rows_is_stale_once_the_partition_was_made_again(r, server):
    old = make(r, b"a")
    r.execute_command("PARTITION.CREATE", "p", "MAXBYTES", 1)
    with redis.Redis(port=server.port, single_connection_client=True) as waiting:
        waiting.connection.send_command(
            "KV.MPUT", "p", "ROWS", indexes(0), "OF", old, "BLOCK", 0, "COLUMN", "y", "uint8", "BLOB", b"z"
        )
        wait_until(lambda: r.info("clients")["blocked_clients"] == 1, "the write does not wait")
        with r.pipeline() as atomic:  # without a partition the write would be NOPARTITION
            atomic.execute_command("KV.CLEAR", "p")
            atomic.execute_command("KV.MPUT", "p", "NEW", 1, "COLUMN", "x", "uint8", "BLOB", b"b")
            atomic.execute()
        with pytest.raises(redis.ResponseError, match="STALE"):
            waiting.connection.read_response()
    assert [field[0] for field in r.execute_command("KV.FIELDS", "p")] == [b"x"]


def test_an_incarnation_is_not_used_again_after_a_restart(tmp_path):
    seen = set()
    for _ in range(3):
        server = Server(tmp_path)
        with server.client() as r:
            seen.add(make(r, b"a"))
        server.stop()
    assert len(seen) == 3
