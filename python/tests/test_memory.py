"""Memory of large replies is reused once their tensors are freed, and never before."""

import gc
import os
import pickle
import sys
import threading

import numpy as np
import pytest
import torch

import sluice as tq
from sluice.memory import POOL, Pool

MIB = 1 << 20


def address(array):
    return array.__array_interface__["data"][0]


def test_a_block_is_returned_with_its_last_tensor():
    pool = Pool()
    array = pool.take(MIB)
    where = address(array)
    tensor = torch.from_numpy(array).view(torch.float32)[3:10]
    part = tensor[2:]
    del array, tensor
    assert address(pool.take(MIB)) != where
    del part
    assert address(pool.take(MIB)) == where


def values_in(view):
    """Returns the distinct bytes that are seen."""
    view = view.numpy() if isinstance(view, torch.Tensor) else view
    return set(memoryview(view).cast("B").tolist() if not isinstance(view, np.ndarray) else view.tobytes())


WAYS_TO_SEE = {
    "asarray": np.asarray,
    "asarray of a tensor": lambda array: np.asarray(torch.from_numpy(array)),
    "slice": lambda array: array[5:],
    "slice of asarray": lambda array: np.asarray(array)[5:],
    "other dtype": lambda array: np.asarray(array).view(np.float32),
    "reshaped": lambda array: np.asarray(array).reshape(2, -1),
    "memoryview": memoryview,
    "memoryview of asarray": lambda array: memoryview(np.asarray(array)),
    "frombuffer": lambda array: np.frombuffer(array, np.uint8),
    "from_numpy": torch.from_numpy,
    "numpy of from_numpy": lambda array: torch.from_numpy(array).numpy(),
    "numpy of a view": lambda array: torch.from_numpy(np.asarray(array)).view(torch.int32)[3:].numpy(),
    "torch.frombuffer": lambda array: torch.frombuffer(array, dtype=torch.uint8),
    "dlpack": np.from_dlpack,
    "pickle out of band": lambda array: pickle.PickleBuffer(array),
}


@pytest.mark.parametrize("see", WAYS_TO_SEE.values(), ids=WAYS_TO_SEE)
def test_every_object_that_shares_a_block_keeps_it(see):
    pool = Pool()
    array = pool.take(MIB)
    array[:] = 7
    where, view = address(array), see(array)
    del array
    other = pool.take(MIB)
    other[:] = 0
    assert address(other) != where and values_in(view) == {7}
    del view, other
    gc.collect()
    assert pool.free_bytes == 2 * MIB


def check_recycling(pool, size):
    """Requires that a block of this size is kept and lent again. A new block may get the address of a dropped one."""
    block = pool.take(size)
    del block
    free = pool.free_bytes
    assert size <= free <= 2 * MIB
    block = pool.take(size)
    assert len(block) == size and pool.free_bytes == free - size


class Interrupt(Exception):
    """Raised by a signal handler."""


def interrupted_at_each_line(function):
    """Calls a function again and again; each time an exception is raised at the next traced line or call in memory.py."""
    point, reached = 0, True
    while reached:
        reached, seen = False, 0

        def trace(frame, event, _, point=point):
            nonlocal seen, reached
            if not frame.f_code.co_filename.endswith("sluice/memory.py"):
                return None
            seen += 1
            if seen > point and not reached:
                reached = True
                raise Interrupt
            return trace

        sys.settrace(trace)
        try:
            function()
        except Interrupt:
            pass
        finally:
            sys.settrace(None)
        point += 1
    return point


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("step", ["take", "return", "drop"])
def test_an_interrupt_at_any_moment_leaves_a_pool_that_works(step):
    """As KeyboardInterrupt and every signal handler that raises may be."""
    pool = Pool(kept_bytes=2 * MIB)

    def use():
        arrays = [pool.take(MIB) for _ in range({"take": 1, "return": 2, "drop": 4}[step])]
        del arrays
        assert pool.free_bytes <= 2 * MIB

    assert interrupted_at_each_line(use) > 5
    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    check_recycling(pool, MIB)


def test_no_python_code_runs_when_a_block_returns():
    """So neither a signal handler nor a lock is in its way."""
    pool, ran = Pool(), []
    array = pool.take(MIB)
    sys.setprofile(lambda frame, event, _: ran.append(frame.f_code.co_name) if event == "call" else None)
    del array
    sys.setprofile(None)
    assert ran == [] and pool.free_bytes == MIB


def test_a_size_of_which_all_blocks_are_lent_does_not_end_the_recycling():
    pool = Pool(kept_bytes=2 * MIB)
    small = pool.take(MIB)
    del small
    lent = [pool.take(MIB)]  # none of this size is left
    for size in (2 * MIB, MIB // 2, 2 * MIB):
        check_recycling(pool, size)
    del lent


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickled_array_is_a_copy(protocol):
    pool = Pool()
    array = pool.take(MIB)
    array[:] = 7
    copy = pickle.loads(pickle.dumps(array, protocol))
    del array
    pool.take(MIB)[:] = 0
    assert copy.min() == copy.max() == 7 and type(copy) is np.ndarray


@pytest.mark.parametrize("nbytes", [1, 65535, 65536, 65537, MIB, MIB + 1, 7 * MIB + 5])
def test_a_block_has_the_requested_length_is_writable_and_wastes_little(nbytes):
    pool = Pool()
    array = pool.take(nbytes)
    array[:] = 7
    assert len(array) == nbytes and array.sum(dtype=np.int64) == 7 * nbytes
    assert pool.free_bytes == 0
    del array
    assert nbytes <= pool.free_bytes <= max(nbytes * 5 // 4, nbytes + 4096)


def test_kept_memory_is_limited():
    pool = Pool(kept_bytes=3 * MIB)
    arrays = [pool.take(MIB) for _ in range(5)]
    huge = pool.take(4 * MIB)
    del arrays, huge
    assert pool.free_bytes == 3 * MIB
    other = pool.take(2 * MIB)
    del other
    assert pool.free_bytes == 3 * MIB  # the block used last is kept


def test_blocks_may_be_freed_in_any_thread_and_within_the_collector():
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


def test_a_forked_child_has_its_own_pool():
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
