"""AUTOEVICT and steps (RANK and STEP): a step that may be repeated keeps its rows, within stated bounds."""

import numpy as np
import pytest
import redis
from live_server import wait_until
from streams import Workers, connect, fetch, numbers, pairs, put_rows, wait_for_blocked

STEPS_HELD = 64
LARGE = 1 << 20


@pytest.fixture
def r(server):
    with connect(server.port) as client:
        client.flushall()
        yield client
        client.flushall()


def create(r, *more):
    r.execute_command("PARTITION.CREATE", "p", "TASKS", 1, "t", "AUTOEVICT", *more)


def rows_of(r):
    return pairs(r.execute_command("PARTITION.INFO", "p"))["rows"]


def step(client, number, *more, rank=0, count=1):
    return fetch(client, "p", "t", "COUNT", count, *more, "RANK", rank, "STEP", number)


def test_the_last_64_steps_of_a_rank_can_be_repeated(r):
    create(r)
    put_rows(r, "p", range(3 * STEPS_HELD))
    for number in range(2 * STEPS_HELD):
        assert step(r, number).rows == [number]
        assert step(r, number).rows == [number]
        assert rows_of(r) == 3 * STEPS_HELD - max(0, number + 1 - STEPS_HELD)
    assert step(r, STEPS_HELD).rows == [STEPS_HELD]
    with pytest.raises(redis.ResponseError, match="NOKEY row 63 of rank 0 step 63 was removed"):
        step(r, STEPS_HELD - 1)


def test_a_step_that_is_repeated_stays_while_others_go(r):
    create(r)
    put_rows(r, "p", range(200))
    for number in range(200):
        assert step(r, number).rows == [number]
        assert step(r, 0).rows == [0]
    assert rows_of(r) == STEPS_HELD


def ask_for_steps(client, _, steps, *more):
    """Returns the values of each step, read twice."""
    values = []
    for number in range(steps):
        first, again = (fetch(client, "p", "t", *more, "STEP", number, "FORMAT", "columns") for _ in range(2))
        assert first.rows == again.rows and first.data == again.data
        [[_, _, _, _, data]] = first.data
        values += numbers(data)
    return values


@pytest.mark.parametrize("limit", [[], ["MAXROWS", 64]], ids=["no limit", "MAXROWS"])
def test_ranks_that_share_calls_lose_no_row(r, server, limit):
    ranks, steps, share = 4, 40, 2
    create(r, *limit)
    with Workers(server.port) as workers:
        for rank in range(ranks):
            deal = ["SAMPLER", "balanced", "RANKS", ranks, "RANK", rank]
            workers.start(ask_for_steps, steps, "COUNT", share, *deal, "BLOCK", 0)
        workers.start(produce_and_create, ranks * steps * share, *limit)
        *values, _ = workers.results()
    assert sorted(sum(values, [])) == list(range(ranks * steps * share))


def produce_and_create(client, _, rows, *limit):
    """PARTITION.CREATE looks for rows to evict."""
    for value in range(0, rows, 8):
        words = ["COLUMN", "x", "int64", "BLOB", np.arange(value, value + 8, dtype="<i8").tobytes()]
        client.execute_command("KV.MPUT", "p", "NEW", 8, "BLOCK", 0, *words)
        create(client, *limit)


def test_shares_that_were_not_asked_for_stay_until_they_are(r):
    ranks, steps = 3, 80
    create(r)
    put_rows(r, "p", range(ranks * steps))
    deal = ["SAMPLER", "balanced", "RANKS", ranks]
    for number in range(steps):
        step(r, number, *deal)
    create(r)
    assert rows_of(r) == STEPS_HELD + (ranks - 1) * steps
    had = [row for number in range(steps) for rank in (1, 2) for row in step(r, number, *deal, rank=rank).rows]
    assert len(set(had)) == (ranks - 1) * steps
    assert rows_of(r) == STEPS_HELD * ranks


@pytest.mark.parametrize("limit", [["MAXROWS", 40], ["MAXBYTES", 40 * 8]], ids=["MAXROWS", "MAXBYTES"])
def test_held_rows_do_not_stop_producers(r, server, limit):
    """Without the bound, 64 steps of 8 rows fill the partition, and the producer waits forever."""
    create(r, *limit)
    with Workers(server.port) as workers:
        workers.start(ask_for_steps, 100, "COUNT", 8, "RANK", 0, "BLOCK", 0)
        workers.start(produce_and_create, 800, *limit)
        values, _ = workers.results()
    assert values == list(range(800))
    assert rows_of(r) == 16


def test_a_fetch_that_waited_ends_a_hold_at_once(r, server):
    create(r, "MAXROWS", 4)
    put_rows(r, "p", range(2))
    assert step(r, 0).rows + step(r, 1).rows == [0, 1]
    with Workers(server.port) as workers:
        workers.start(wait_for_step_2)
        wait_for_blocked(r, 1)
        put_rows(r, "p", [2])
        assert workers.results() == [[2]]
    assert rows_of(r) == 2


def wait_for_step_2(client, _):
    return step(client, 2, "BLOCK", 0).rows


def test_acknowledged_rows_go_with_and_without_a_lease(r):
    create(r)
    put_rows(r, "p", range(4))
    leased = step(r, 0, "LEASE", 600_000, count=2)
    assert step(r, 0, "LEASE", 600_000, count=2).lease == leased.lease
    assert r.execute_command("TASK.ACK", "p", "t", "ROWS", leased.blob, "LEASE", leased.lease) == 2
    assert rows_of(r) == 2
    plain = step(r, 1, count=2)
    assert r.execute_command("TASK.ACK", "p", "t", "ROWS", plain.blob, "LEASE", leased.lease) == 0
    assert rows_of(r) == 2
    assert r.execute_command("TASK.ACK", "p", "t", "ROWS", plain.blob) == 0
    assert rows_of(r) == 0


def test_a_release_removes_the_other_rows_of_its_step(r):
    create(r)
    put_rows(r, "p", range(3))
    assert step(r, 0, count=3).rows == [0, 1, 2]
    assert r.execute_command("TASK.RELEASE", "p", "t", "KEYS", 1, "1") == 1
    assert rows_of(r) == 1
    assert step(r, 0).rows == [1]


def test_memory_comes_back_when_a_step_is_passed_over(r):
    create(r)
    before = int(r.info("memory")["used_memory_payload"])
    for number in range(STEPS_HELD + 20):
        r.execute_command("KV.PUT", "p", f"k{number}", "FIELD", "x", "uint8", LARGE, "BLOB", bytes(LARGE))
        assert step(r, number).rows == [number]
    assert rows_of(r) == STEPS_HELD
    wait_until(lambda: int(r.info("memory")["used_memory_payload"]) - before < (STEPS_HELD + 1) * LARGE, "rows are freed")
    r.execute_command("TASK.ACK", "p", "t", "WHERE", 1, "nothing", "!=", 1)
    wait_until(lambda: int(r.info("memory")["used_memory_payload"]) == before, "rows are freed")


def test_rows_of_a_large_step_are_removed_although_a_removal_of_others_is_under_way(r):
    create(r)
    size = 3000  # more than one access removes
    for _ in range(STEPS_HELD + 6):
        r.execute_command("KV.MPUT", "p", "NEW", size, "COLUMN", "x", "uint8", "BLOB", bytes(size))
    for number in range(STEPS_HELD + 1):
        assert len(step(r, number, count=size).rows) == size
    for _ in range(4):  # the removal has passed the rows of step 1
        r.execute_command("TASK.STATUS", "p", "t")
    assert len(step(r, STEPS_HELD + 1, count=size).rows) == size

    def removed():  # each access to the tasks removes some
        r.execute_command("TASK.STATUS", "p", "t")
        return rows_of(r) == (STEPS_HELD + 4) * size

    wait_until(removed, "rows that no step holds are left")
