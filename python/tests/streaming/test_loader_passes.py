"""A loader with persistent workers: a pass that is left, interrupted, or begun late does not disturb the next one."""

import contextlib
import functools
import threading

import pytest
import torch
from live_server import wait_until
from streaming_cases import call, indexes, put, waiting
from torch.utils.data import dataloader

import sluice as tq
from sluice import _calls
from sluice.client import get_client


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Workers notice at once that nobody waits for them."""
    monkeypatch.setattr(_calls, "_GIVE_UP_WITHIN_S", 0.001)


def make_loader(config, finite=False, **options):
    stream = tq.StreamingDataset(config, 4, 4, ["row"], "p", "t", 0, finite)
    return tq.StreamingDataLoader(stream, 2, persistent_workers=True, multiprocessing_context="fork", **options)


def rows_come_late(*batches):
    """Puts the rows of each batch, in a thread, when a worker waits for them."""

    def wait_and_put():
        for numbers in batches:
            wait_until(lambda: b"blocked_clients:0" not in call("INFO", "clients"), "no worker waits", 10)
            put(numbers)

    thread = threading.Thread(target=wait_and_put)
    thread.start()
    return thread


def wait_for_the_second_pass(worker):
    """Holds the start of one worker until the loader has left its first pass."""
    torch.set_num_threads(1)
    if worker == 1:
        call("SET", "worker", "starts")
        wait_until(lambda: call("GET", "left") == b"yes", "the loader does not leave its first pass", 30)


def test_a_worker_that_begins_a_pass_after_it_was_left_does_not_wait_for_its_rows(config):
    put(range(4))
    loader = make_loader(config, worker_init_fn=wait_for_the_second_pass)
    had = [next(iter(loader))[1].global_indexes]
    wait_until(lambda: call("GET", "worker") == b"starts", "the second worker does not start", 30)
    call("SET", "left", "yes")
    for _ in range(2):
        for _, metadata in loader:
            had.append(metadata.global_indexes)
            break
    assert had == [[0, 1, 2, 3]] * 3


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_interrupt_at_the_start_of_a_pass_loses_no_batch(config, when, monkeypatch):
    put(range(4))
    call("PARTITION.CREATE", "p", "EXPECT", 12)
    loader = make_loader(config, finite=True)
    first = iter(loader)
    next(first)
    first.close()
    with monkeypatch.context() as patch:
        reset = dataloader._MultiProcessingDataLoaderIter._reset

        def interrupted(self, loader, first_iter=False):
            if when == "after":
                reset(self, loader, first_iter)
            raise KeyboardInterrupt

        patch.setattr(dataloader._MultiProcessingDataLoaderIter, "_reset", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(iter(loader))
    assert next(iter(loader.dataset))[1].global_indexes == [0, 1, 2, 3]  # a micro-batch, not a list of them
    loader.dataset.step("p")
    late = rows_come_late(range(4, 8), range(8, 12))
    assert indexes(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    late.join(20)


def test_a_pass_may_begin_while_the_iterator_of_an_earlier_one_exists(config):
    put(range(4))
    call("PARTITION.CREATE", "p", "EXPECT", 8)
    loader = make_loader(config, finite=True)
    first = iter(loader)
    assert next(first)[1].global_indexes == [0, 1, 2, 3]
    second = iter(loader)
    assert next(second)[1].global_indexes == [0, 1, 2, 3]
    first.close()  # it does not end the second
    late = rows_come_late(range(4, 8))
    assert [metadata.global_indexes for _, metadata in second] == [[4, 5, 6, 7]]
    late.join(20)
    assert len(indexes(loader)) == 2


def test_workers_wait_for_rows_only_during_a_pass(config):
    put(range(4))
    loader = make_loader(config)
    batches = iter(loader)
    next(batches)
    waiting(1)  # the other worker waits for its turn
    batches.close()
    waiting(0)


@pytest.mark.parametrize("late", [0, 1])
def test_a_worker_that_starts_late_gets_its_rows_in_a_small_partition_with_autoevict(config, late):
    """The other worker is ahead by as many steps as it may fetch, and the partition holds fewer."""
    client = get_client()
    client.create_partition("p", expect=40, max_rows=12, tasks=["t"], autoevict=True)
    producer = threading.Thread(target=lambda: [put(range(n, n + 4), wait_s=20) for n in range(0, 40, 4)])
    producer.start()
    stream = tq.StreamingDataset(config, 4, 4, ["row"], "p", "t", 0, True)
    loader = tq.StreamingDataLoader(
        stream, 2, prefetch_factor=4, multiprocessing_context="fork", worker_init_fn=functools.partial(start_late, late)
    )
    assert indexes(loader) == [list(range(n, n + 4)) for n in range(0, 40, 4)]
    producer.join(20)
    assert not producer.is_alive()


def start_late(late, worker):
    """Holds the start of one worker until the other one has taken the steps that it may take."""
    torch.set_num_threads(1)
    if worker == late:
        wait_until(lambda: call("GET", "started") == b"yes", "the other worker does not start", 30)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: get_client().partition_info("p")["made"] > 12, "no row was removed", 0.5)
    else:
        call("SET", "started", "yes")


def test_another_loader_with_workers_gets_each_batch_once(config):
    put(range(24))
    stream = tq.StreamingDataset(config, 4, 4, ["row"], "p", "t", 0, True)
    options = {"num_workers": 2, "multiprocessing_context": "fork", "collate_fn": lambda batch: batch}
    loader = torch.utils.data.DataLoader(stream, batch_size=None, **options)
    assert sorted(row for data, _ in loader for row in data["row"].tolist()) == list(range(24))
