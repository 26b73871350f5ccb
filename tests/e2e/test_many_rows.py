"""Commands over more than 1,024 rows, which work without the engine lock, or in steps."""

import json
import threading

import numpy as np
import pytest
import redis
from live_server import wait_until
from tensors import packed

ROWS = 3000


def indexes(reply):
    return np.frombuffer(reply, "<i8").tolist()


def put_new(r, *more, count=ROWS):
    return r.execute_command("KV.MPUT", "p", "NEW", count, "COLUMN", "x", "int32", "BLOB", bytes(4 * count), *more)


def tags_of(r, rows=ROWS):
    return [json.loads(tag) for tag in r.execute_command("KV.TAGS", "p", "ROWS", packed(range(rows)))]


def lines(tags):
    return ["TAGS", "LINES", "\n".join(json.dumps(tag) for tag in tags)]


def test_new_rows_have_the_text_of_their_index_as_key(r):
    made, rows = put_new(r)
    assert made == ROWS and indexes(rows) == list(range(ROWS))
    keys = [str(row).encode() for row in range(ROWS)]
    assert r.execute_command("KV.MPUT", "p", "KEYS", "LINES", b"\n".join(keys))[1] == rows
    assert r.execute_command("KV.CLEAR", "p", "KEYS", 2, "7", "2999") == 2
    assert r.execute_command("KV.TAGS", "p", "KEYS", 3, "6", "7", "2999") == [b"{}", None, None]
    assert r.execute_command("KV.PUT", "p", "7", "TAG", '{"again":1}') == 1
    assert r.execute_command("KV.TAGS", "p", "KEYS", 1, "7") == [b'{"again":1}']
    assert r.execute_command("KV.TAGS", "p", "ROWS", packed([7, ROWS])) == [None, b'{"again":1}']


def test_an_index_whose_text_is_another_rows_key_is_skipped(r):
    for key in ("5", "2500", "007", "-1", "+8", "9999999999999999999", "1e3"):
        assert r.execute_command("KV.PUT", "p", key, "TAG", "{}") == 1
    _, rows = put_new(r)
    made = [row for row in range(7, ROWS + 8) if row != 2500]
    assert indexes(rows) == made
    assert r.execute_command("KV.TAGS", "p", "KEYS", 3, "5", "2500", "07") == [b"{}", b"{}", None]
    assert r.execute_command("KV.CLEAR", "p", "KEYS", 1, "2500") == 1
    assert r.execute_command("KV.PUT", "p", "2500", "TAG", "{}") == 1
    assert len(r.execute_command("KV.LIST", "p")) in (ROWS + 7, 2 * (ROWS + 7))


def test_a_failed_write_changes_nothing(r):
    r.execute_command("PARTITION.CREATE", "p", "FIELD", "x", "int32", 2)
    r.execute_command("KV.PUT", "p", "first", "FIELD", "x", "int32", 2, "VALUES", 1, 2)
    before = r.info("memory")["used_memory_payload"], r.execute_command("KV.FIELDS", "p")
    with pytest.raises(redis.ResponseError, match="SHAPE field 'x' of partition 'p'"):
        r.execute_command("KV.MPUT", "p", "NEW", ROWS, "COLUMN", "x", "int32", 3, "BLOB", bytes(12 * ROWS))
    with pytest.raises(redis.ResponseError, match="SHAPE field 'x' of partition 'p'"):
        r.execute_command("KV.MPUT", "p", "KEYS", "LINES", "\n".join(map(str, range(1, ROWS + 1))),
                          "COLUMN", "x", "int32", 3, "BLOB", bytes(12 * ROWS))  # fmt: skip
    wait_until(lambda: r.info("memory")["used_memory_payload"] == before[0], "payload is left")
    assert r.execute_command("KV.FIELDS", "p") == before[1]
    assert r.execute_command("KV.LIST", "p") in ([b"first", b"{}"], {b"first": b"{}"})
    r.execute_command("PARTITION.CREATE", "p", "MAXROWS", 10)
    with pytest.raises(redis.ResponseError, match="FULL"):
        r.execute_command("KV.MPUT", "p", "NEW", ROWS, "COLUMN", "x", "int32", 2, "BLOB", bytes(8 * ROWS))
    assert r.execute_command("KV.PUT", "p", "1", "TAG", "{}") == 1
    assert r.execute_command("KV.TAGS", "p", "ROWS", packed([1])) == [b"{}"]


def test_tags_are_merged_with_concurrent_writes(r, server):
    put_new(r, *lines([{"made": row} for row in range(ROWS)]))
    rounds, stop = 30, threading.Event()
    every = [{"all": number} for number in range(rounds)]

    def others(number):
        count = 0
        with redis.Redis(unix_socket_path=server.path) as client:
            while not stop.is_set():
                row = (37 * count + number) % ROWS
                client.execute_command("KV.PUT", "p", str(row), "TAG", json.dumps({f"by{number}": count}))
                count += 1
        return count

    counts = [0, 0]
    threads = [threading.Thread(target=lambda n=n: counts.__setitem__(n, others(n))) for n in range(2)]
    for thread in threads:
        thread.start()
    for tag in every:
        r.execute_command("KV.MPUT", "p", "ROWS", packed(range(ROWS)), *lines([tag] * ROWS))
    stop.set()
    for thread in threads:
        thread.join()
    tags = tags_of(r)
    assert min(counts) > 0
    for number, count in enumerate(counts):
        last = {(37 * i + number) % ROWS: i for i in range(count)}
        assert {row: tags[row].get(f"by{number}") for row in last} == last, "a tag was lost"
    assert all(tag["all"] == rounds - 1 and tag["made"] == row for row, tag in enumerate(tags))


def test_a_claim_by_where_has_one_lease(r):
    put_new(r, *lines([{"even": row % 2 == 0} for row in range(ROWS)]))
    claim = ["TASK.CLAIM", "p", "t", "WHERE", 1, "even", "=", "true", "FIELDS", 1, "x"]
    reply = r.execute_command(*claim, "LEASE", 60_000)
    reply = dict(zip(reply[::2], reply[1::2], strict=True)) if isinstance(reply, list) else reply
    rows, lease = indexes(reply[b"rows"]), reply[b"lease"]
    assert rows == list(range(0, ROWS, 2))
    again = r.execute_command(*claim)
    again = dict(zip(again[::2], again[1::2], strict=True)) if isinstance(again, list) else again
    assert indexes(again[b"rows"]) == []
    assert r.execute_command("TASK.RENEW", "p", "t", "LEASE", lease, 60_000) == len(rows)
    assert r.execute_command("TASK.ACK", "p", "t", "ROWS", packed(rows[:10]), "LEASE", lease) == 10
    assert r.execute_command("TASK.RELEASE", "p", "t", "ROWS", packed(range(ROWS)), "LEASE", lease) == len(rows) - 10
    assert r.execute_command("TASK.RENEW", "p", "t", "LEASE", lease, 60_000) == 0


@pytest.mark.parametrize("ms", [1, 5])
def test_a_lease_that_expires_during_its_claim_returns_all_rows(r, ms):
    put_new(r, count=20_000)
    claim = ["TASK.CLAIM", "p", "t", "WHERE", 1, "none", "!=", 1, "FIELDS", 1, "x"]
    r.execute_command("KV.MPUT", "p", "ROWS", packed(range(20_000)), *lines([{"none": 0}] * 20_000))
    for _ in range(10):
        r.execute_command(*claim, "LEASE", ms)
    ready = ["TASK.READY", "p", "t", "FIELDS", 1, "x"]
    wait_until(lambda: len(r.execute_command(*ready)) == 8 * 20_000, "rows are leased forever")


def test_no_write_that_began_before_a_pause_commits_after_its_reply(r, server):
    """CLIENT PAUSE waits for a write that another thread prepares without the engine lock."""
    rows = 20_000
    put_new(r, count=rows)
    writers = [redis.Redis(port=server.port) for _ in range(2)]  # one of them on another thread of the server
    for round_ in range(10):
        write = ["KV.MPUT", "p", "ROWS", packed(range(rows)), *lines([{"round": round_}] * rows)]
        done = threading.Thread(target=writers[round_ % 2].execute_command, args=write)
        done.start()
        r.execute_command("CLIENT", "PAUSE", 10_000, "WRITE")
        before = tags_of(r, 1)
        r.execute_command("KV.TAGS", "p", "ROWS", packed(range(rows)))  # takes as long as the write
        after = tags_of(r, 1)
        r.execute_command("CLIENT", "UNPAUSE")
        done.join()
        assert after == before
    for writer in writers:
        writer.close()
