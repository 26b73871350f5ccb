"""Streaming between processes: killed workers, the end, limits, and all samplers together."""

import collections
import json
import os
import signal
import time

import numpy as np
import pytest
from live_server import ROOT, wait_until
from streams import Workers, connect, fetch, fetch_all, numbers, pairs, put_rows, status, wait_for_blocked
from pages import transcript


@pytest.fixture
def r(server):
    with connect(server.port) as client:
        client.flushall()
        yield client
        client.flushall()
        wait_until(lambda: client.info("memory")["used_memory_payload"] == 0, "payload is left")


@pytest.fixture
def workers(server):
    with Workers(server.port) as started:
        yield started


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    process.join()


def each_once(batches, wanted):
    times = collections.Counter(value for batch in batches for value in batch)
    assert {value: count for value, count in times.items() if count != 1} == {}
    assert sorted(times) == sorted(wanted)


def test_the_examples_of_the_page_run():
    done = transcript("--check", ROOT / "docs/streaming.md")
    assert done.returncode == 0, done.stdout + done.stderr


# --- workers that are killed


def lease_and_stop(client, tell, *lease):
    """Fetches 40 rows, acknowledges 8 of them, and then does nothing more."""
    got = fetch(client, "p", "train", "COUNT", 40, *lease)
    assert client.execute_command("TASK.ACK", "p", "train", "ROWS", got.blob[: 8 * 8], "LEASE", got.lease) == 8
    tell((got.rows, got.lease))
    signal.pause()


@pytest.mark.parametrize("lease", [["LEASE", 1000], ["LEASE", 600_000, "BOUND"]], ids=["by time", "bound"])
def test_the_leased_rows_of_a_killed_trainer_go_to_another(r, workers, lease):
    rows = put_rows(r, "p", range(64))
    process, told = workers.start(lease_and_stop, *lease)
    lost, old = told()
    first = fetch(r, "p", "train", "COUNT", 24, "LEASE", 600_000)
    kill(process)
    # No other rows are left: this waits until they are ready again; with BOUND, not for the lease's expiry.
    second = fetch(r, "p", "train", "COUNT", 32, "LEASE", 600_000, "BLOCK", 20_000)
    assert sorted(lost[:8] + first.rows + second.rows) == rows
    # An acknowledgment of a trainer that was merely slow has no effect, neither now nor later.
    late = ["TASK.ACK", "p", "train", "ROWS", second.blob, "LEASE", old]
    assert r.execute_command(*late) == 0
    for got in (first, second):
        assert r.execute_command("TASK.ACK", "p", "train", "ROWS", got.blob, "LEASE", got.lease) == len(got.rows)
    assert r.execute_command(*late) == 0
    consumed = {"waiting": 0, "ready": 0, "leased": 0, "consumed": 64}
    assert status(r, "p", "train") == {"total": 64, "expected": None} | consumed


def used_memory_when_empty(r):
    r.flushall()
    wait_until(lambda: r.info("clients")["connected_clients"] == 1, "connections are left")
    return r.info("memory")["used_memory"]


def fetch_two(client, _, *more):
    return fetch(client, "p", "train", "COUNT", 2, "BLOCK", 0, *more).rows


def one_is_killed_in_line(r, port):
    """The second waiter is served; returns the memory used afterwards."""
    with Workers(port) as workers:
        first, _ = workers.start(fetch_two, "LEASE", 600_000, "FORMAT", "columns")
        wait_for_blocked(r, 1)
        _, told = workers.start(fetch_two)
        wait_for_blocked(r, 2)
        kill(first)
        wait_for_blocked(r, 1)
        rows = put_rows(r, "p", range(2))
        assert told() == rows
    wait_for_blocked(r, 0)
    assert status(r, "p", "train")["consumed"] == 2
    return used_memory_when_empty(r)


@pytest.mark.parametrize("partition_is_there", [True, False])
def test_a_killed_client_loses_its_position_in_the_wait_queue(r, server, partition_is_there):
    def once():
        if partition_is_there:
            r.execute_command("PARTITION.CREATE", "p")
        return one_is_killed_in_line(r, server.port)

    first = once()
    assert [once() for _ in range(10)] == [first] * 10  # used_memory: nothing is left over


def put_value(client, _, values):
    blob = bytes(8 * values)
    return client.execute_command("KV.MPUT", "p", "NEW", 1, "BLOCK", 0, "COLUMN", "x", "int64", values, "BLOB", blob)[0]


def test_a_killed_producer_loses_its_position_in_the_wait_queue(r, server):
    def once():
        r.execute_command("PARTITION.CREATE", "p", "MAXROWS", 1)
        put_rows(r, "p", [1], '{"old":1}')
        with Workers(server.port) as workers:
            first, _ = workers.start(put_value, 1_000_000)
            wait_for_blocked(r, 1)
            _, told = workers.start(put_value, 1)
            wait_for_blocked(r, 2)
            kill(first)
            wait_for_blocked(r, 1)
            r.execute_command("KV.CLEAR", "p", "WHERE", 1, "old", "=", 1)
            assert told() == 1
        return used_memory_when_empty(r)

    first = once()
    assert [once() for _ in range(5)] == [first] * 5


# --- the end


def fetch_to_the_end(client, _, *more):
    return [got.rows for got in fetch_all(client, "p", "train", "BLOCK", 0, *more)]


@pytest.mark.parametrize("lease", [[], ["LEASE", 600_000]], ids=["consumed", "leased"])
def test_the_last_short_batch_comes_and_all_get_the_end(r, workers, lease):
    r.execute_command("PARTITION.CREATE", "p", "EXPECT", 10)
    for _ in range(5):
        workers.start(fetch_to_the_end, "COUNT", 4, "MIN", 1, *lease)
    wait_for_blocked(r, 5)
    rows = put_rows(r, "p", range(5))
    wait_for_blocked(r, 5)  # one has its four rows, and waits again
    rows += put_rows(r, "p", range(5, 10))
    batches = [batch for each in workers.results() for batch in each]
    each_once(batches, rows)
    assert sorted(map(len, batches)) == [2, 4, 4]
    wait_for_blocked(r, 0)


def fetch_and_say(client, _, *more):
    got = fetch(client, "p", "train", "BLOCK", 0, *more)
    return got and got.rows


def test_if_too_few_rows_can_come_all_are_notified_immediately(r, workers):
    r.execute_command("PARTITION.CREATE", "p", "EXPECT", 5)
    for waiting in (1, 2, 3):
        workers.start(fetch_and_say, "COUNT", 4, "MIN", 3)
        wait_for_blocked(r, waiting)
    rows = put_rows(r, "p", range(5))
    assert workers.results() == [rows[:4], None, None]


# --- limits

LIMIT, ROWS = 100, 20_000


def produce_batches(client, _, values):
    """Puts 1 to 50 rows per command."""
    size = 1
    while values:
        batch, values = values[:size], values[size:]
        put = ["KV.MPUT", "p", "NEW", len(batch), "BLOCK", 0, "COLUMN", "x", "int64", "BLOB"]
        assert client.execute_command(*put, np.array(batch, "<i8").tobytes())[0] == len(batch)
        size = size % 50 + 1


def produce_rows(client, _, values):
    for value in values:
        assert client.execute_command("KV.PUT", "p", f"k{value}", "BLOCK", 0, "FIELD", "x", "int64", "VALUES", value) == 1


def consume(client, _, evict, *more):
    """Returns the values it got, and the largest number of rows."""
    values, most = [], 0
    for got in fetch_all(client, "p", "train", "COUNT", 50, "MIN", 1, "BLOCK", 0, "FORMAT", "columns", *more):
        most = max(most, pairs(client.execute_command("PARTITION.INFO", "p"))["rows"])
        [[_, _, _, _, data]] = got.data
        values += numbers(data)
        if evict:
            client.execute_command("PARTITION.EVICT", "p", "train")
    return values, most


@pytest.mark.parametrize("evict", [True, False], ids=["EVICT", "AUTOEVICT"])
def test_20000_rows_stream_through_a_partition_of_100(r, workers, evict):
    by_itself = [] if evict else ["TASKS", 1, "train", "AUTOEVICT"]
    r.execute_command("PARTITION.CREATE", "p", "EXPECT", ROWS, "MAXROWS", LIMIT, *by_itself)
    values = list(range(ROWS))
    for producer in range(2):
        workers.start(produce_batches, values[producer:15_000:2])
        workers.start(produce_rows, values[15_000 + producer :: 2])
    for lease in ([], ["LEASE", 600_000], []):
        workers.start(consume, evict, *lease)
    *_, one, two, three = workers.results()
    each_once([values for values, _ in (one, two, three)], values)
    assert max(most for _, most in (one, two, three)) <= LIMIT
    info = pairs(r.execute_command("PARTITION.INFO", "p"))
    if evict:  # the last worker may find rows that another has not evicted yet
        r.execute_command("PARTITION.EVICT", "p", "train")
        info = pairs(r.execute_command("PARTITION.INFO", "p"))
    assert (info["rows"], info["made"]) == (0, ROWS)


# --- everything at once

SECONDS = 3
SAMPLERS = [
    ["COUNT", 8, "MIN", 1],
    ["COUNT", 5, "MIN", 1, "SAMPLER", "lifo"],
    ["COUNT", 7, "MIN", 1, "SAMPLER", "random"],
    ["COUNT", 6, "MIN", 1, "SAMPLER", "priority", "WEIGHT", "w"],
    ["COUNT", 4, "MIN", 2, "SAMPLER", "group", "SIZE", 2],
    ["COUNT", 8, "MIN", 4, "SAMPLER", "group", "SIZE", 4, "BY", "uid"],
    ["COUNT", 3, "MIN", 1, "WHERE", 1, "w", ">", 1],
]
STEPPED = [
    ["COUNT", 6, "SAMPLER", "balanced", "RANKS", 2, "SIZE", 2, "BY", "uid", "WEIGHT", "w", "RANK", 0],
    ["COUNT", 6, "SAMPLER", "balanced", "RANKS", 2, "SIZE", 2, "BY", "uid", "WEIGHT", "w", "RANK", 1],
    ["COUNT", 4, "MIN", 1, "SAMPLER", "ranked", "RANK", 2],
]


def produce_for_a_while(client, _, number):
    """Returns the number of rows made: prompts of four samples each."""
    end = time.monotonic() + SECONDS
    made = 0
    while time.monotonic() < end:
        tags = [json.dumps({"uid": f"{number}-{made + i // 4 * 4}", "w": 1 + i % 3}) for i in range(16)]
        made += len(put_rows(client, "p", range(16), *tags))
    return made


def consume_any(client, _, *more):
    return [row for got in fetch_all(client, "p", "train", "BLOCK", 0, *more) for row in got.rows]


def consume_steps(client, _, *more):
    rows, step = [], 0
    while (got := fetch(client, "p", "train", "BLOCK", 0, *more, "STEP", step)) and not got.end:
        again = fetch(client, "p", "train", "BLOCK", 0, *more, "STEP", step)
        assert again.rows == got.rows
        rows += got.rows
        if got.lease is not None:
            assert client.execute_command("TASK.ACK", "p", "train", "ROWS", got.blob, "LEASE", got.lease) == len(got.rows)
        step += 1
    return rows


def test_20_clients_with_all_samplers_share_a_task(r, server, workers):
    r.execute_command("PARTITION.CREATE", "p")
    for lease in ([], ["LEASE", 600_000]):
        for sampler in SAMPLERS:
            workers.start(consume_any, *sampler, *lease)
    for step, sampler in enumerate(STEPPED):
        workers.start(consume_steps, *sampler, *(["LEASE", 600_000] if step == 2 else []))
    for sampler in SAMPLERS[:3]:
        workers.start(consume_any, *sampler)
    wait_for_blocked(r, 20)
    with Workers(server.port) as producers:
        for number in range(2):
            producers.start(produce_for_a_while, number)
        made = sum(producers.results())
    r.execute_command("PARTITION.CREATE", "p", "EXPECT", made)
    consumed = workers.results()
    assert all(consumed), "a client got no rows"
    each_once(consumed, range(made))
    assert status(r, "p", "train")["consumed"] == made
