"""Values of 1 GiB, of every dtype."""

import time

import numpy as np
import pytest
import redis
from tensors import TORCH, item_size

GIB = 1 << 30


@pytest.fixture(scope="module")
def gigabyte():
    return np.tile(np.arange(1 << 20, dtype="<i8"), 128).view(np.uint8)


def memory(client):
    return {name: int(value) for name, value in client.info("memory").items() if name.startswith("used_memory_")
            and isinstance(value, int)}  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("dtype", TORCH)
def test_a_value_of_1_gb_is_stored_and_read_without_a_copy(server, gigabyte, dtype, protocol):
    count = GIB // item_size(dtype)
    with redis.Redis(unix_socket_path=server.path, protocol=protocol) as client:
        client.execute_command("KV.PUT", "q", "k", "FIELD", "x", "float32", 1, "VALUES", 1)
        client.execute_command("KV.SHOW", "q", "k")  # loads libtorch, which would otherwise be loaded at some moment below
        client.flushall()
        before = memory(client)
        start = time.monotonic()
        client.execute_command("KV.PUT", "p", "k", "FIELD", "x", dtype, count, "BLOB", gigabyte.data)
        [[_, got_dtype, shape, shapes, data]] = client.execute_command("KV.MGET", "p", "KEYS", 1, "k")
        assert time.monotonic() - start < 60
        assert (got_dtype.decode(), shape, shapes) == (dtype, [1, count], None)
        assert np.array_equal(np.frombuffer(data, np.uint8), gigabyte)
        held = memory(client)
        assert GIB <= held["used_memory_payload"] <= GIB + (2 << 20)
        assert held["used_memory_rss"] - before["used_memory_rss"] < GIB + (32 << 20)  # one copy of the value exists
        client.execute_command("KV.CLEAR", "p")
        assert memory(client)["used_memory_payload"] == 0
