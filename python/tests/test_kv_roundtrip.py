"""All values are read back as they were put: dtype, shape, layout and bits; sync and async, from forked and spawned workers."""

import asyncio
import multiprocessing

import pytest
import torch
from batches import assert_same_column, batches, random_tensor
from hypothesis import HealthCheck, given, settings
from tensordict import NonTensorStack, TensorDict

import sluice as tq
from sluice.columns import DTYPES

THOROUGH = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
QUICK = settings(THOROUGH, max_examples=25)


@pytest.fixture(autouse=True)
def session(sluice_url):
    yield tq.init(sluice_url)
    tq.close()


def keys_of(batch):
    return [f"k{i}" for i in range(batch.batch_size[0])]


def empty_the_partition():
    if keys := list(tq.kv_list("p")["p"]):
        tq.kv_clear(keys, "p")


def check(got, each):
    assert set(got.keys()) == set(each)
    for name, rows in each.items():
        assert_same_column(got.get(name), rows)


@THOROUGH
@given(batches())
def test_batches_are_read_back_by_sync_calls(drawn):
    batch, each = drawn
    empty_the_partition()
    meta = tq.kv_batch_put(keys_of(batch), "p", batch)
    assert sorted(meta.fields) == sorted(each)
    got = tq.kv_batch_get(keys_of(batch), "p")
    assert got.batch_size == batch.batch_size
    check(got, each)


@QUICK
@given(batches())
def test_equal_rows_are_sent_once(drawn):
    batch, each = drawn
    doubled = {name: rows + rows for name, rows in each.items()}
    keys = [f"{copy}{key}" for copy in "ab" for key in keys_of(batch)]
    columns = {
        name: torch.cat([batch.get(name)] * 2)
        if isinstance(batch.get(name), torch.Tensor) and not batch.get(name).is_nested
        else rows
        for name, rows in doubled.items()
    }
    empty_the_partition()
    tq.kv_batch_put(keys, "p", columns, dedup=True)
    check(tq.kv_batch_get(keys, "p"), doubled)
    check(tq.kv_batch_get(keys, "p", dedup=True), doubled)


@QUICK
@given(batches())
def test_batches_are_read_back_by_async_calls_in_a_running_loop(drawn):
    batch, each = drawn

    async def put_and_get():
        await tq.async_kv_batch_put(keys_of(batch), "p", batch, tags=[{"n": 1}] * batch.batch_size[0])
        listed, got, by_meta = await asyncio.gather(
            tq.async_kv_list("p"),
            tq.async_kv_batch_get(keys_of(batch), "p"),
            tq.async_kv_batch_get_by_meta(tq.KVBatchMeta(keys_of(batch), [{}] * batch.batch_size[0], "p", list(each))),
        )
        tq.kv_batch_get(keys_of(batch), "p")  # the sync form inside a running loop
        await tq.async_kv_clear(keys_of(batch), "p")
        return listed, got, by_meta

    listed, got, by_meta = asyncio.run(put_and_get())
    assert listed == {"p": {key: {"n": 1} for key in keys_of(batch)}}
    check(got, each)
    check(by_meta, each)
    assert tq.kv_list("p") == {"p": {}}


@QUICK
@given(batches())
def test_single_rows_are_read_back(drawn):
    batch, each = drawn
    empty_the_partition()
    for i, key in enumerate(keys_of(batch)):
        tq.kv_put(key, "p", {name: rows[i] for name, rows in each.items()}, tag={"i": i})
    check(tq.kv_batch_get(keys_of(batch), "p"), each)


@pytest.mark.parametrize("name", sorted(DTYPES))
@pytest.mark.parametrize("shape", [(), (0,), (1,), (70000,), (3, 0, 2)])
def test_every_dtype_and_size_is_read_back(name, shape):
    tensor = random_tensor(DTYPES[name], (3, *shape), 7)
    tq.kv_batch_put(["a", "b", "c"], "p", TensorDict({"x": tensor}, batch_size=[3]))
    got = tq.kv_batch_get(["c", "a"], "p")["x"]
    assert_same_column(got, [tensor[2], tensor[0]])
    assert got.shape == (2, *shape)


def worker(url, name, pipe):
    try:
        tq.init(url)
        batch = tq.kv_batch_get(["a", "b"], "p")
        tq.kv_batch_put([f"{name}-a", f"{name}-b"], "p", batch)
        tq.close()
        pipe.send(None)
    except BaseException as error:
        pipe.send(repr(error))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_put_and_get_batches(method, sluice_url):
    each = {
        "x": [random_tensor(torch.bfloat16, (5000,), i) for i in range(2)],
        "ragged": [torch.arange(3), torch.arange(40000)],
        "s": ["é", ""],
    }
    tq.kv_batch_put(["a", "b"], "p", {"x": torch.stack(each["x"]), "ragged": each["ragged"], "s": NonTensorStack(*each["s"])})
    context = multiprocessing.get_context(method)
    pipes = []
    for name in ("w0", "w1", "w2"):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=worker, args=(sluice_url, name, theirs), daemon=True)
        process.start()
        pipes.append((process, ours))
    for process, pipe in pipes:
        assert pipe.poll(60)
        assert pipe.recv() is None
        process.join(20)
        assert process.exitcode == 0
    for name in ("w0", "w1", "w2"):
        check(tq.kv_batch_get([f"{name}-a", f"{name}-b"], "p"), each)
    check(tq.kv_batch_get(["a", "b"], "p"), each)  # and the parent's own connections were not disturbed
