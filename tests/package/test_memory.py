"""Memory of large replies is used again once their tensors are gone, and never before."""

import gc
import os
import threading

import numpy as np
import pytest
import torch

import sluice as tq
from sluice.memory import POOL, Pool

MIB = 1 << 20


def address(array):
    return array.__array_interface__["data"][0]


def test_a_block_comes_back_when_its_last_tensor_goes():
    pool = Pool()
    array = pool.take(MIB)
    where = address(array)
    tensor = torch.from_numpy(array).view(torch.float32)[3:10]
    part = tensor[2:]
    del array, tensor
    assert address(pool.take(MIB)) != where
    del part
    assert address(pool.take(MIB)) == where


@pytest.mark.parametrize("nbytes", [1, 65535, 65536, 65537, MIB, MIB + 1, 7 * MIB + 5])
def test_a_block_is_as_long_as_asked_writable_and_little_longer_in_truth(nbytes):
    pool = Pool()
    array = pool.take(nbytes)
    array[:] = 7
    assert len(array) == nbytes and array.sum(dtype=np.int64) == 7 * nbytes
    assert pool.free_bytes == 0
    del array
    assert nbytes <= pool.free_bytes <= max(nbytes * 5 // 4, nbytes + 4096)


def test_what_is_kept_has_a_limit():
    pool = Pool(kept_bytes=3 * MIB)
    arrays = [pool.take(MIB) for _ in range(5)]
    huge = pool.take(4 * MIB)
    del arrays, huge
    assert pool.free_bytes == 3 * MIB
    other = pool.take(2 * MIB)
    del other
    assert pool.free_bytes == 3 * MIB  # what was used last is kept


def test_blocks_die_in_any_thread_and_within_the_collector():
    pool = Pool()

    def churn(seed):
        random = np.random.default_rng(seed)
        for i in range(300):
            array = pool.take(int(random.integers(1, MIB)))
            array[0] = array[-1] = i % 251
            cycle = [array]
            cycle.append(cycle)
            assert array[0] == array[-1] == i % 251
            del array, cycle
            if i % 50 == 0:
                gc.collect()

    threads = [threading.Thread(target=churn, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    gc.collect()
    assert pool.free_bytes <= 1 << 30


def test_a_forked_child_has_its_own():
    pool = Pool()
    array = pool.take(MIB)
    array[:] = 1
    child = os.fork()
    if child == 0:
        array[:] = 2
        pool.take(MIB)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert array.min() == array.max() == 1


def test_batches_that_are_read_in_turn_use_the_same_memory(sluice_url):
    tq.init(sluice_url)
    try:
        keys = [str(i) for i in range(64)]
        tq.kv_batch_put(keys, "p", {"x": torch.arange(64 * 4096, dtype=torch.float32).reshape(64, 4096)})
        first = tq.kv_batch_get(keys, "p")["x"]
        where = first.data_ptr()
        again = tq.kv_batch_get(keys, "p")["x"]
        assert again.data_ptr() != where and torch.equal(first, again)
        del first
        free = POOL.free_bytes
        third = tq.kv_batch_get(keys, "p")["x"]
        assert third.data_ptr() == where and POOL.free_bytes < free
    finally:
        tq.close()
