"""Ranks and loader workers as processes, some of which are killed."""

import multiprocessing
import os
import random
import signal
import time

import pytest
import torch
from live_server import wait_until
from streaming_cases import call, check, numbers_of, rows_of

import sluice as tq
from sluice.client import get_client
from sluice.samplers import GRPOGroupNSampler
from sluice.streaming import watch_parent

FORK = multiprocessing.get_context("fork")  # a spawned process imports torch for seconds

ROWS, GROUP, PRODUCERS, RANKS, WORKERS = 10_000, 5, 8, 4, 2
BATCH, MICRO_BATCH = 120, 50
PARTS = -(-BATCH // MICRO_BATCH)
PUT_ROWS = 50


def produce(config, number, seed):
    """Puts its share of the rows: the rows of each group come from GROUP producers."""
    torch.set_num_threads(1)
    tq.init(config)
    rows = list(range(number, ROWS, PRODUCERS))
    random.Random(seed + number).shuffle(rows)
    for begin in range(0, len(rows), PUT_ROWS):
        share = rows[begin : begin + PUT_ROWS]
        get_client().put(rows_of(share), tq.BatchMeta(share, ["p"] * len(share)))


def train(config, rank, had=0, workers=WORKERS, kill_at=None):
    """Two ranks per replica. Records each micro-batch's rows; kills one of its workers, and continues with new ones."""
    torch.set_num_threads(1)
    tq.init(config)
    while True:
        stream = tq.StreamingDataset(
            config, BATCH, MICRO_BATCH, ["row", "ids"], "p", "t", rank // 2, True, first_step=had // PARTS
        )
        skipped = had % PARTS
        try:
            for i, (data, metadata) in enumerate(tq.StreamingDataLoader(stream, workers)):
                if i < skipped:
                    continue
                check(data, metadata)
                call("SET", f"rank {rank} {had:04}", torch.tensor(metadata.global_indexes).numpy().tobytes())
                had += 1
                if had == kill_at:
                    os.kill(FORK.active_children()[0].pid, signal.SIGKILL)
            return
        except (RuntimeError, OSError, EOFError):  # the last two if it died within a batch
            assert kill_at is not None and had >= kill_at
        # Not in the except clause: while it keeps the old workers, torch reports the dead worker a second time.
        call("SET", f"killed {rank}", "yes")
        kill_at = None


def start(function, *arguments):
    process = FORK.Process(target=function, args=arguments)
    process.start()
    return process


def finish(processes, seconds=60):
    deadline = time.monotonic() + seconds
    for process in processes:
        process.join(max(0, deadline - time.monotonic()))
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0] * len(processes)


def had_by(rank):
    keys = sorted(bytes(key) for key in call("KEYS", f"rank {rank} *"))
    return [numbers_of(bytes(call("GET", key))) for key in keys]


def batches_of(parts):
    """Joins micro-batches."""
    return [sum(parts[i : i + PARTS], []) for i in range(0, len(parts), PARTS)]


def test_every_row_once_though_a_worker_and_a_rank_are_killed_and_replaced(config, record_property):
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    record_property("seed", seed)
    config = tq.init({"url": config.url, "sampler": GRPOGroupNSampler(GROUP)})
    call("PARTITION.CREATE", "p", "EXPECT", ROWS)
    get_client().get_meta([], ROWS, "p", mode="insert")
    ranks = [start(train, config, rank, 0, WORKERS, 10 if rank == 1 else None) for rank in range(RANKS)]
    producers = [start(produce, config, number, seed) for number in range(PRODUCERS)]
    wait_until(lambda: len(had_by(2)) >= 10, "rank 2 gets its rows", 60)
    ranks[2].kill()
    ranks[2].join()
    ranks[2] = start(train, config, 2, len(had_by(2)))
    finish([*ranks, *producers])

    assert call("GET", "killed 1") == b"yes"
    had = [had_by(rank) for rank in range(RANKS)]
    assert had[0] == had[1] and had[2] == had[3]
    assert len(had[0]) > 5 * PARTS and len(had[2]) > 5 * PARTS
    rows = []
    for batch in batches_of(had[0]) + batches_of(had[2]):
        groups = {row // GROUP for row in batch}
        assert sorted(batch) == [row for group in sorted(groups) for row in range(group * GROUP, (group + 1) * GROUP)]
        rows += batch
    assert sorted(rows) == list(range(ROWS))


def test_ranks_with_different_numbers_of_workers_get_the_same_rows(config):
    rows = 2_001  # the last batch is short
    call("PARTITION.CREATE", "p", "EXPECT", rows)
    ranks = [start(train, config, rank, 0, workers) for rank, workers in enumerate((0, 1, 3, 2))]
    for begin in range(0, rows, 100):
        get_client().put(rows_of(range(begin, min(begin + 100, rows))), partition_id="p")
    finish(ranks)
    had = [had_by(rank) for rank in range(RANKS)]
    assert had[0] == had[1] and had[2] == had[3]
    assert sorted(sum(had[0] + had[2], [])) == list(range(rows))


def wait_forever(config, workers):
    """A rank whose workers wait for rows that never come; reports their process ids."""
    torch.set_num_threads(1)
    tq.init(config)
    batches = iter(tq.StreamingDataLoader(tq.StreamingDataset(config, 4, 4, ["row"], "p", "t", 0), workers))
    next(batches)
    call("SET", "workers", " ".join(str(child.pid) for child in FORK.active_children()))
    next(batches)


def test_workers_end_when_their_rank_is_killed(config):
    rank = start(wait_forever, config, 2)
    get_client().put(rows_of(range(4)), partition_id="p")
    wait_until(lambda: call("GET", "workers"), "the first batch comes", 30)
    workers = [int(pid) for pid in bytes(call("GET", "workers")).split()]
    assert len(workers) == 2 and all(os.path.exists(f"/proc/{pid}") for pid in workers)
    rank.kill()
    rank.join()
    for pid in workers:
        wait_until(lambda pid=pid: _gone(pid), f"worker {pid} is still there", 30)


def look_late(config, loader):
    """A worker that looks for its loader, of this process id, when the loader has ended."""
    wait_until(lambda: os.getppid() != loader, "the loader still lives", 30)
    tq.init(config)
    call("SET", "left", str(watch_parent()()))


def leave_a_worker(config):
    """A loader that ends while its worker starts."""
    FORK.Process(target=look_late, args=(config, os.getpid())).start()
    os._exit(0)


def test_a_worker_sees_that_its_loader_ended_before_it_began(config):
    start(leave_a_worker, config).join()
    wait_until(lambda: call("GET", "left"), "the worker looks", 30)
    assert call("GET", "left") == b"True"


def _gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("persistent", [False, True])
def test_an_abandoned_loader_does_not_wait_for_its_waiting_workers(config, persistent, monkeypatch):
    """Only one batch exists: of two workers that ask simultaneously, the one of the first step gets it."""
    patience_s = 60  # torch's time-out for each worker that does not end
    monkeypatch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", patience_s)
    get_client().put(rows_of(range(4)), partition_id="p")
    for task in ("t", "u", "v"):
        stream = tq.StreamingDataset(config, 4, 4, ["row"], "p", task, 0)
        loader = tq.StreamingDataLoader(stream, 2, multiprocessing_context="fork", persistent_workers=persistent)
        for _ in range(2):  # a pass begins at the first step
            for data, metadata in loader:
                check(data, metadata)
                assert metadata.global_indexes == [0, 1, 2, 3]
                began = time.monotonic()
                break
        del loader
        assert time.monotonic() - began < patience_s / 2
        assert not multiprocessing.active_children()


def test_workers_do_not_need_rows_that_their_trainer_removes(config):
    call("PARTITION.CREATE", "p", "EXPECT", 40)
    get_client().put(rows_of(range(40)), partition_id="p")
    had = []
    for data, metadata in tq.StreamingDataLoader(tq.StreamingDataset(config, 4, 4, ["row"], "p", "t", 0, True), 3):
        check(data, metadata)
        get_client().clear_samples(metadata)
        had += metadata.global_indexes
    assert had == list(range(40))


def test_a_collate_function_gets_each_micro_batch(config):
    call("PARTITION.CREATE", "p", "EXPECT", 8)
    get_client().put(rows_of(range(8)), partition_id="p")
    for workers in (0, 2):
        stream = tq.StreamingDataset(config, 4, 2, ["row"], "p", "t", 0, True)
        loader = tq.StreamingDataLoader(stream, workers, collate_fn=lambda part: part[0]["row"].tolist())
        assert list(loader) == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_a_step_to_another_partition_reaches_persistent_workers(config):
    for partition in ("p", "q"):
        call("PARTITION.CREATE", partition, "EXPECT", 4)
        get_client().put(rows_of(range(4)), partition_id=partition)
    loader = tq.StreamingDataLoader(tq.StreamingDataset(config, 4, 4, ["row"], "p", "t", 0, True), 2, persistent_workers=True)
    assert [metadata.partition_ids[0] for _, metadata in loader] == ["p"] and loader.get_buffer() == []
    loader.step("q")
    assert [metadata.partition_ids[0] for _, metadata in loader] == ["q"]


@pytest.mark.filterwarnings("error")
def test_spawned_workers_run_without_a_gpu(config, monkeypatch):
    call("PARTITION.CREATE", "p", "EXPECT", 6)
    get_client().put(rows_of(range(6)), partition_id="p")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    stream = tq.StreamingDataset(config, 4, 3, ["row", "ids", "grid", "text"], "p", "t", 0, True)
    loader = tq.StreamingDataLoader(stream, 1, multiprocessing_context="spawn", pin_memory=True, pin_memory_device="cuda:0")
    had = []
    for data, metadata in loader:
        check(data, metadata)
        had.append(metadata.global_indexes)
    assert had == [[0, 1, 2], [3], [4, 5]]


def test_workers_lose_no_row_to_autoevict(config):
    """Each worker repeats the steps of the others, and reads a step after another worker may have taken its rows."""
    rows = 400
    client = get_client()
    client.create_partition("p", expect=rows, tasks=["t"], autoevict=True)
    client.put(rows_of(range(rows)), partition_id="p")
    had = []
    for data, metadata in tq.StreamingDataLoader(tq.StreamingDataset(config, 4, 4, ["row"], "p", "t", 0, True), 2):
        check(data, metadata)
        had += metadata.global_indexes
    assert had == list(range(rows))
    assert client.partition_info("p")["rows"] == 4 * 64
    assert call("PARTITION.EVICT", "p", "t") == 4 * 64


def test_workers_and_a_producer_share_a_small_partition_with_autoevict(config):
    rows = 400
    client = get_client()
    client.create_partition("p", expect=rows, tasks=["t"], autoevict=True, max_rows=80)
    producer = start(put_slowly, config, rows)
    had = []
    for data, metadata in tq.StreamingDataLoader(tq.StreamingDataset(config, 4, 4, ["row"], "p", "t", 0, True), 2):
        check(data, metadata)
        had += metadata.global_indexes
    finish([producer])
    assert had == list(range(rows))


def put_slowly(config, rows):
    """Waits for space."""
    torch.set_num_threads(1)
    tq.init(config)
    for begin in range(0, rows, 10):
        get_client().put(rows_of(range(begin, begin + 10)), partition_id="p", wait_s=None)
