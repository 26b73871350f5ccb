"""A custom sampler runs in the client; if two clients choose the same row, the server decides which was first."""

import asyncio
import copy
import pickle
import threading
import time

import pytest
import torch
from tensordict import TensorDict

from sluice import session
from sluice.client import get_client
from sluice.errors import CallTimeout, ConnectionLost
from sluice.metadata import BatchMeta
from sluice.samplers import BaseSampler


class LongestFirst(BaseSampler):
    """By the tag `length`, the longest first."""

    def sample(self, ready_indexes, batch_size, *, partition, **_):
        if len(ready_indexes) < batch_size:
            return [], []
        tags = partition.get_custom_meta(ready_indexes)
        rows = sorted(ready_indexes, key=lambda row: -tags[row]["length"])[:batch_size]
        return rows, rows


def numbers(client, lengths, partition="p"):
    meta = client.get_meta([], len(lengths), partition, mode="insert")
    meta.update_custom_meta([{"length": length} for length in lengths])
    return client.put(TensorDict({"x": torch.tensor(lengths)}, batch_size=len(lengths)), meta)


def test_a_custom_sampler_chooses_by_tags(client):
    session.init({"sampler": LongestFirst()})
    numbers(client, [3, 9, 1, 7, 5])
    meta = client.get_meta(["x"], 2, "p", task_name="t")
    assert client.get_data(meta)["x"].tolist() == [9, 7]
    assert meta.custom_meta == [{"length": 9}, {"length": 7}] and meta.is_ready
    assert client.get_data(client.get_meta(["x"], 3, "p", task_name="t"))["x"].tolist() == [5, 3, 1]


def test_tags_of_removed_rows_are_left_out(client):
    class Looks(BaseSampler):
        def sample(self, ready_indexes, batch_size, *, partition, **_):
            seen.append((partition.get_custom_meta([1, 7, 0]), partition.get_custom_meta([])))
            return ready_indexes, ready_indexes

    seen = []
    numbers(client, [3, 9])
    client.get_meta(["x"], 1, "p", task_name="t", sampling_config={"sampler": Looks})
    assert seen == [({1: {"length": 9}, 0: {"length": 3}}, {})]


def test_a_fetch_waits_until_the_sampler_chooses_rows(client):
    got = []
    config = {"sampler": LongestFirst}

    def consume():
        got.append(client.get_meta(["x"], 3, "p", task_name="t", sampling_config=config))

    thread = threading.Thread(target=consume)
    thread.start()
    for length in (1, 2, 3):
        numbers(client, [length])
    thread.join(20)
    assert client.get_data(got[0])["x"].tolist() == [3, 2, 1]


def test_too_few_rows_give_an_empty_batch(client, monkeypatch):
    session.init({"sampler": LongestFirst(), "timeout_s": 0.2})
    numbers(client, [1])
    with pytest.raises(CallTimeout, match="too few rows for task 't'"):
        client.get_meta(["x"], 2, "p", task_name="t")
    session.init({"polling_mode": True})
    assert client.get_meta(["x"], 2, "p", task_name="t") == BatchMeta.empty()
    session.init({"polling_mode": False, "timeout_s": 20})
    monkeypatch.setenv("TQ_PRE_ALLOC_SAMPLE_NUM", "1")
    assert get_client().get_meta(["x"], 2, "p", task_name="t") == BatchMeta.empty({"end": True})
    assert get_client().get_meta(["x"], 1, "p", task_name="t").size == 1
    assert get_client().get_meta(["x"], 1, "p", task_name="t") == BatchMeta.empty({"end": True})


def test_rows_that_a_sampler_must_not_consume_are_named(client):
    class Greedy(BaseSampler):
        def sample(self, ready_indexes, batch_size, **_):
            return ready_indexes, [*ready_indexes, 7, 8]

    numbers(client, [1])
    with pytest.raises(ValueError, match=r"Greedy consumed rows \[7, 8\], which are not ready"):
        client.get_meta(["x"], 1, "p", task_name="t", sampling_config={"sampler": Greedy})


def test_a_sampler_may_repeat_rows(client):
    class Again(BaseSampler):
        def sample(self, ready_indexes, batch_size, **_):
            return [ready_indexes[0]] * batch_size, []

    numbers(client, [1, 2])
    for _ in range(2):
        meta = client.get_meta(["x"], 3, "p", task_name="t", sampling_config={"sampler": Again})
        assert meta.global_indexes == [0, 0, 0]


class Counting(BaseSampler):
    """Remembers steps and counts its calls; another client takes the first row meanwhile."""

    def __init__(self, thief):
        self.asked, self.thief = 0, thief

    def sample(self, ready_indexes, batch_size, *, dp_rank, batch_index, task_name, partition_id, **_):
        self.asked += 1
        steps = self._states.setdefault(partition_id, {}).setdefault(task_name, {}).setdefault(dp_rank, {})
        if batch_index not in steps:
            steps[batch_index] = ready_indexes[:batch_size]
            if self.asked == 1:
                self.thief()
        return steps[batch_index], steps[batch_index]


def test_a_lost_race_leaves_no_trace_in_the_sampler(client):
    numbers(client, [1, 2, 3, 4])
    sampler = Counting(lambda: client.fetch(["x"], 1, "p", "t"))
    config = {"sampler": sampler, "dp_rank": 0, "batch_index": 0}
    meta = client.get_meta(["x"], 2, "p", task_name="t", sampling_config=config)
    assert meta.global_indexes == [1, 2] and sampler.asked == 2
    # The repeated step: the same rows, though they are consumed.
    assert client.get_meta(["x"], 2, "p", task_name="t", sampling_config=config).global_indexes == [1, 2]
    session.init({"sampler": sampler})
    client.clear_partition("p")
    assert not sampler.has_cached_result("p", "t", config)


class Steps(BaseSampler):
    """Remembers the rows of each step; calls `then` whenever it has chosen new ones."""

    def __init__(self, then):
        self.then = then

    def sample(self, ready_indexes, batch_size, *, dp_rank, batch_index, task_name, partition_id, **_):
        steps = self._states.setdefault(partition_id, {}).setdefault(task_name, {}).setdefault(dp_rank, {})
        if batch_index not in steps:
            steps[batch_index] = ready_indexes[:batch_size]
            self.then()
        return steps[batch_index], steps[batch_index]


def step(sampler, rank):
    return {"sampler": sampler, "dp_rank": rank, "batch_index": 0}


@pytest.mark.parametrize("fault", ["interrupt", "connection"])
def test_a_step_that_the_server_did_not_confirm_is_not_remembered(client, fault):
    numbers(client, [1, 2, 3, 4])
    url, faults = session.current().config.url, [fault]

    def fail_once():
        if not faults:
            return
        if faults.pop() == "interrupt":
            raise KeyboardInterrupt
        session.close()  # the claim finds no connection
        session.init(url)

    sampler = Steps(fail_once)
    with pytest.raises(KeyboardInterrupt if fault == "interrupt" else ConnectionLost):
        client.get_meta(["x"], 2, "p", task_name="t", sampling_config=step(sampler, 0))
    assert not sampler.has_cached_result("p", "t", step(sampler, 0))
    got = [client.get_meta(["x"], 2, "p", task_name="t", sampling_config=step(sampler, rank)) for rank in (1, 0)]
    assert [meta.global_indexes for meta in got] == [[0, 1], [2, 3]]


def test_an_async_step_that_is_cancelled_is_not_remembered(client):
    numbers(client, [1, 2, 3, 4])
    chosen, cancelled = threading.Event(), threading.Event()
    sampler = Steps(lambda: (chosen.set(), cancelled.wait(20)))

    async def cancel():
        task = asyncio.create_task(client.async_get_meta(["x"], 2, "p", task_name="t", sampling_config=step(sampler, 0)))
        await asyncio.to_thread(chosen.wait, 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        cancelled.set()

    asyncio.run(cancel())
    other = client.get_meta(["x"], 2, "p", task_name="t", sampling_config=step(sampler, 1))
    assert other.global_indexes == [0, 1] and not sampler.has_cached_result("p", "t", step(sampler, 0))


class Nested(BaseSampler):
    """Takes a row of another partition first, with a sampler of its own."""

    def __init__(self, client, partition):
        self.client, self.partition = client, partition

    def sample(self, ready_indexes, batch_size, *, partition_id, **_):
        if partition_id != self.partition:
            inner = self.client.get_meta(["x"], 1, self.partition, task_name="t", sampling_config={"sampler": self})
            assert inner.size == 1
        return ready_indexes[:batch_size], ready_indexes[:batch_size]


@pytest.mark.parametrize("partition", ["p", "q"])
def test_a_sampler_may_ask_for_a_batch_itself(client, partition):
    numbers(client, [1, 2])
    numbers(client, [1, 2], "q")
    got = []

    def take():
        sampler = Nested(client, "q")
        got.append(client.get_meta(["x"], 1, partition, task_name="t", sampling_config={"sampler": sampler}))

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    thread.join(20)
    assert got[0].size == 1


@pytest.mark.parametrize("shared", [False, True])
def test_a_slow_sampler_does_not_hold_up_another_partition(client, shared):
    numbers(client, [1, 2])
    numbers(client, [1, 2], "q")
    asked, proceed = threading.Event(), threading.Event()

    class Slow(BaseSampler):
        def sample(self, ready_indexes, batch_size, *, partition_id, **_):
            if partition_id == "p":
                asked.set()
                assert proceed.wait(20)
            return ready_indexes[:batch_size], ready_indexes[:batch_size]

    slow, got = Slow(), []

    def take(partition, sampler):
        got.append((partition, client.get_meta(["x"], 1, partition, task_name="t", sampling_config={"sampler": sampler}).size))

    threads = [threading.Thread(target=take, args=("p", slow), daemon=True)]
    threads.append(threading.Thread(target=take, args=("q", slow if shared else Slow()), daemon=True))
    threads[0].start()
    assert asked.wait(20)
    threads[1].start()
    threads[1].join(10)
    assert got == [("q", 1)]
    proceed.set()
    threads[0].join(10)
    assert got == [("q", 1), ("p", 1)]


def test_a_sampler_with_locks_can_be_pickled_and_copied():
    sampler = LongestFirst()
    sampler._states["p"] = {"t": {0: {0: [1]}}}
    with sampler._locks.of("p"):
        for other in (pickle.loads(pickle.dumps(sampler)), copy.deepcopy(sampler), copy.copy(sampler)):
            assert other.has_cached_result("p", "t", {"dp_rank": 0, "batch_index": 0})


def test_two_clients_lose_no_row_and_repeat_none(client):
    rows, batch = 240, 4
    session.init({"sampler": LongestFirst()})
    taken: list[list[int]] = []
    failures = []

    def consume():
        try:
            mine = get_client()
            while True:
                meta = mine.get_meta(["x"], batch, "p", task_name="t")
                if meta.get_extra_info("end"):
                    return
                taken.append(mine.get_data(meta)["x"].tolist())
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TQ_PRE_ALLOC_SAMPLE_NUM", str(rows))
        threads = [threading.Thread(target=consume) for _ in range(3)]
        for thread in threads:
            thread.start()
        for start in range(0, rows, 12):
            numbers(client, list(range(start, start + 12)))
        deadline = time.monotonic() + 40
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))
        assert not any(thread.is_alive() for thread in threads) and not failures
    assert sorted(row for rows in taken for row in rows) == list(range(rows))
