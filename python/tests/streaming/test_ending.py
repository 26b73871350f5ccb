"""Everything that waits for rows ends with close(), with its event loop, and with the interpreter."""

import subprocess
import sys
import threading

import pytest
from live_server import wait_until
from streaming_cases import Last, by_hand, dataset, put, waiting

import sluice as tq
from sluice.client import get_client

PROGRAM = """
import asyncio, os, sys, threading, time
sys.path[:0] = {path!r}
import redis
import sluice as tq
from sluice.client import get_client
from sluice.samplers import BaseSampler

class Nothing(BaseSampler):
    def sample(self, ready_indexes, batch_size, **_):
        return [], []

admin = redis.Redis(unix_socket_path={url!r}.removeprefix("unix://"))
config = tq.init({url!r})

def wait_for_blocked():
    while admin.info("clients")["blocked_clients"] == 0:
        time.sleep(0.01)

{body}
"""

BODIES = {
    "an event loop that is closed with a pending call": """
async def main():
    return asyncio.ensure_future(get_client().async_fetch(["x"], 1, "p", "t", wait_s=None))

loop = asyncio.new_event_loop()
task = loop.run_until_complete(main())
loop.run_until_complete(asyncio.sleep(0.01))
wait_for_blocked()
loop.close()
""",
    "an event loop that is closed with a pending sampler": """
config = {"sampler": Nothing()}
task = get_client().async_get_meta(["x"], 1, "p", "fetch", "t", sampling_config=config)
loop = asyncio.new_event_loop()
task = loop.create_task(task)
loop.run_until_complete(asyncio.sleep(0.01))
wait_for_blocked()
loop.close()
""",
    "an event loop that is left by an error": """
async def main():
    calls = [asyncio.ensure_future(get_client().async_fetch(["x"], 1, "p", "t", wait_s=None)) for _ in range(3)]
    await asyncio.to_thread(wait_for_blocked)
    raise SystemExit(0)

asyncio.run(main())
""",
    "a daemon thread that iterates a dataset": """
stream = tq.StreamingDataset(config, 1, 1, ["x"], "p", "t", 0)
threading.Thread(target=lambda: list(stream), daemon=True).start()
wait_for_blocked()
""",
    "a daemon thread that iterates a dataset with its own sampler": """
config = tq.init({"sampler": Nothing()})
stream = tq.StreamingDataset(config, 1, 1, ["x"], "p", "t", 0)
threading.Thread(target=lambda: list(stream), daemon=True).start()
wait_for_blocked()
""",
    "a daemon thread that runs an event loop": """
threading.Thread(target=asyncio.run, args=(get_client().async_fetch(["x"], 1, "p", "t", wait_s=None),), daemon=True).start()
wait_for_blocked()
""",
    "a thread that iterates a loader with workers until close()": """
stream = tq.StreamingDataset(config, 1, 1, ["x"], "p", "t", 0)
def iterate():
    try:
        list(tq.StreamingDataLoader(stream, 2, multiprocessing_context="fork", persistent_workers=True))
    except tq.ConnectionLost:
        pass
threading.Thread(target=iterate).start()
wait_for_blocked()
tq.close()
""",
    "a daemon thread that iterates a loader with workers": """
stream = tq.StreamingDataset(config, 1, 1, ["x"], "p", "t", 0)
loader = tq.StreamingDataLoader(stream, 2, multiprocessing_context="fork")
threading.Thread(target=lambda: list(loader), daemon=True).start()
wait_for_blocked()
""",
    "a thread that iterates a dataset until close()": """
stream = tq.StreamingDataset(config, 1, 1, ["x"], "p", "t", 0)
def iterate():
    try:
        list(stream)
    except tq.ConnectionLost:
        pass
threading.Thread(target=iterate).start()
wait_for_blocked()
tq.close()
""",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_process_ends(sluice_url, body):
    program = PROGRAM.format(path=sys.path, url=sluice_url, body=body)
    done = subprocess.run([sys.executable, "-c", program], timeout=40, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def in_thread(function):
    """Runs a function in a thread; returns the thread, and a list that gets its error."""
    errors = []

    def run():
        try:
            function()
        except Exception as error:
            errors.append(error.with_traceback(None))  # its frames would keep the loader, and so its workers

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, errors


@pytest.mark.parametrize("sampler", [None, Last()])
def test_close_ends_a_dataset_that_waits(config, sampler, monkeypatch):
    config = tq.init({"url": config.url, "sampler": sampler})
    monkeypatch.setenv("SLUICE_URL", config.url)  # a call after close() would attach to the server again
    thread, errors = in_thread(lambda: list(dataset(config)))
    waiting()
    tq.close()
    thread.join(10)
    assert not thread.is_alive() and isinstance(errors[0], tq.ConnectionLost)
    waiting(0)


def test_close_ends_a_dataset_whose_fetch_function_has_no_batch(config, monkeypatch):
    monkeypatch.setenv("SLUICE_URL", config.url)
    asked = threading.Event()

    def nothing(tq_client, **_):
        asked.set()
        tq_client.get_partition_list()
        return None, tq.BatchMeta.empty()

    thread, errors = in_thread(lambda: list(dataset(config, fetch_batch_fn=nothing)))
    assert asked.wait(20)
    tq.close()
    thread.join(10)
    assert not thread.is_alive() and isinstance(errors[0], tq.ConnectionLost)
    tq.init(config.url)


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("fetch", [None, by_hand], ids=["sampler", "fetch function"])
def test_close_ends_a_loader_whose_workers_wait(config, persistent, fetch):
    put(range(4))
    stream = dataset(config, should_check_consumption_status=False, fetch_batch_fn=fetch)
    loader = tq.StreamingDataLoader(stream, 2, persistent_workers=persistent, multiprocessing_context="fork")
    had = []

    def iterate():
        for _, metadata in loader:
            had.append(metadata.global_indexes)

    thread, errors = in_thread(iterate)
    wait_until(lambda: had == [[0, 1, 2, 3]], "the first batch does not come", 20)
    waiting()
    tq.close()
    thread.join(10)
    assert not thread.is_alive() and isinstance(errors[0], tq.ConnectionLost)
    tq.init(config.url)
    waiting(0)
    again = iter(loader)  # a pass after close() begins anew
    assert next(again)[1].global_indexes == [0, 1, 2, 3]
    again.close()


def test_close_in_a_forked_process_ends_no_loader_of_its_parent(config):
    put(range(8))
    batches = iter(tq.StreamingDataLoader(dataset(config), 2, multiprocessing_context="fork", worker_init_fn=close_here))
    assert [next(batches)[1].global_indexes for _ in range(2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def close_here(_worker):
    tq.close()


def test_close_ends_calls_that_wait_in_other_threads(config):
    put(range(1))
    get_client().create_partition("full", max_rows=1)
    tq.kv_put("a", "full", {"x": 1})
    waits = [
        lambda: get_client().fetch(["row"], 2, "p", "t", wait_s=None),
        lambda: get_client().get_meta(["row"], 2, "p", task_name="t"),
        lambda: list(get_client().stream(["row"], 2, "p", "t")),
        lambda: tq.kv_put("b", "full", {"x": 1}, wait_s=None),
    ]
    threads = [in_thread(wait) for wait in waits]
    waiting(len(waits))
    tq.close()
    for thread, errors in threads:
        thread.join(10)
        assert not thread.is_alive() and isinstance(errors[0], tq.ConnectionLost)
    tq.init(config.url)
    waiting(0)
