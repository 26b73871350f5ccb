"""Every dtype goes in and out bit for bit, with numpy and torch, by every transport and protocol version."""

import itertools

import numpy as np
import pytest
import redis
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

TORCH = {
    "bool": torch.bool,
    "uint8": torch.uint8,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
    "float8_e4m3fn": torch.float8_e4m3fn,
    "float8_e5m2": torch.float8_e5m2,
}
SHAPES = [(), (3,), (0,), (2, 0, 3), (5, 4), (2, 3, 4), (4097,), (1,) * 32]


def random_tensor(dtype, shape, seed=0):
    """Random bits, so that NaN payloads and denormal numbers come along; bools are 0 and 1."""
    generator = np.random.default_rng(seed)
    size = torch.empty((), dtype=TORCH[dtype]).element_size()
    count = int(np.prod(shape, dtype=np.int64))
    high = 2 if dtype == "bool" else 256
    raw = torch.from_numpy(generator.integers(0, high, count * size, dtype=np.uint8))
    return raw.view(TORCH[dtype]).reshape(shape) if count else torch.empty(shape, dtype=TORCH[dtype])


def to_bytes(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def from_bytes(data, dtype, shape):
    if not data:
        return torch.empty(shape, dtype=TORCH[dtype])
    return torch.frombuffer(bytearray(data), dtype=TORCH[dtype]).reshape(shape)


def same_bits(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and to_bytes(a) == to_bytes(b)


def packed(numbers):
    return np.array(numbers, dtype="<i8").tobytes()


def columns(reply):
    """{name: (dtype, shape, shapes as list of tuples or None, data)}"""
    result = {}
    for name, dtype, shape, shapes, data, *_ in reply:
        rank = len(shape) - 1
        rows = None if shapes is None else np.frombuffer(shapes, "<i8").reshape(-1, rank).tolist()
        result[name.decode()] = (dtype.decode(), tuple(shape), rows, data)
    return result


@pytest.mark.parametrize("dtype", TORCH)
def test_one_row_of_every_shape(r, dtype):
    for seed, shape in enumerate(SHAPES):
        tensor = random_tensor(dtype, shape, seed)
        key = f"k{seed}"
        assert r.execute_command("KV.PUT", "p", key, "FIELD", "x", dtype, *shape, "BLOB", to_bytes(tensor)) == 1
        [[[name, got_dtype, got_shape, data]]] = r.execute_command("KV.MGET", "p", "KEYS", 1, key, "FORMAT", "rows")
        assert (name, got_dtype.decode(), tuple(got_shape)) == (b"x", dtype, shape)
        assert same_bits(from_bytes(data, dtype, shape), tensor)


@pytest.mark.parametrize("dtype", TORCH)
def test_a_dense_column(r, dtype):
    for seed, shape in enumerate(SHAPES):
        if len(shape) >= 31:
            continue
        tensor = random_tensor(dtype, (7, *shape), seed)
        r.execute_command("KV.MPUT", f"p{seed}", "NEW", 7, "COLUMN", "x", dtype, *shape, "BLOB", to_bytes(tensor))
        reply = r.execute_command("KV.MGET", f"p{seed}", "ROWS", packed([6, 5, 4, 3, 2, 1, 0]))
        got_dtype, got_shape, shapes, data = columns(reply)["x"]
        assert (got_dtype, got_shape, shapes) == (dtype, (7, *shape), None)
        row = len(data) // 7
        assert b"".join(data[i * row : (i + 1) * row] for i in range(6, -1, -1)) == to_bytes(tensor)


@pytest.mark.parametrize("dtype", TORCH)
@pytest.mark.parametrize("rank", [1, 3])
def test_a_ragged_column(r, dtype, rank):
    shapes = [tuple((i * (d + 3) + d) % 5 for d in range(rank)) for i in range(9)] + [(700,) + (3,) * (rank - 1)]
    rows = [random_tensor(dtype, shape, i) for i, shape in enumerate(shapes)]
    keys = [f"k{i}" for i in range(len(rows))]
    r.execute_command(
        "KV.MPUT", "p", "KEYS", "LINES", "\n".join(keys), "COLUMN", "x", dtype, "SHAPES", rank, packed(shapes),
        "BLOB", b"".join(map(to_bytes, rows)),
    )  # fmt: skip
    order = list(reversed(range(len(rows))))
    reply = r.execute_command("KV.MGET", "p", "KEYS", len(rows), *[keys[i] for i in order])
    got_dtype, _, got_shapes, data = columns(reply)["x"]
    assert got_dtype == dtype
    assert [tuple(shape) for shape in got_shapes] == [shapes[i] for i in order]
    assert data == b"".join(to_bytes(rows[i]) for i in order)


@pytest.mark.parametrize("dtype", ["utf8", "json", "bytes"])
def test_byte_strings(r, dtype):
    values = [b"", b"a", b"\x00\xff\r\n", "é漢".encode(), b"x" * 70000]
    for i, value in enumerate(values):
        r.execute_command("KV.PUT", "p", f"k{i}", "FIELD", "s", dtype, "BLOB", value)
    reply = r.execute_command("KV.MGET", "p", "KEYS", 5, *[f"k{i}" for i in range(5)])
    assert columns(reply)["s"] == (dtype, (5, -1), [[len(v)] for v in values], b"".join(values))
    r.execute_command(
        "KV.MPUT", "q", "NEW", 5, "COLUMN", "s", dtype, "SHAPES", 1, packed([len(v) for v in values]),
        "BLOB", b"".join(values),
    )  # fmt: skip
    rows = r.execute_command("KV.MGET", "q", "ROWS", packed(range(5)), "FORMAT", "values")
    assert [row[0][3] for row in rows] == [[value] for value in values]


@pytest.mark.parametrize("dtype", TORCH)
def test_text_reads_back_the_same(r, dtype):
    tensor = random_tensor(dtype, (200,), 5)
    r.execute_command("KV.PUT", "p", "a", "FIELD", "x", dtype, 200, "BLOB", to_bytes(tensor))
    [[[_, _, _, texts]]] = r.execute_command("KV.MGET", "p", "KEYS", 1, "a", "FORMAT", "values")
    r.execute_command("KV.PUT", "p", "b", "FIELD", "x", dtype, 200, "VALUES", *texts)
    [[[_, _, _, data]]] = r.execute_command("KV.MGET", "p", "KEYS", 1, "b", "FORMAT", "rows")
    back = from_bytes(data, dtype, (200,))
    for text, a, b in zip(texts, tensor, back, strict=True):
        assert text == b"nan" or same_bits(a, b), text


def test_rows_that_share_storage_come_once(r):
    image = random_tensor("uint8", (2, 30000))
    dict_ = [1, 0, 1, 1]
    r.execute_command(
        "KV.MPUT", "p", "NEW", 4, "COLUMN", "image", "uint8", 30000, "DICT", packed(dict_), "BLOB", to_bytes(image)
    )
    assert int(r.info("memory")["used_memory_payload"]) < 70000
    [[_, _, shape, _, data, positions]] = r.execute_command("KV.MGET", "p", "ROWS", packed(range(4)), "DICT")
    assert shape == [2, 30000]
    distinct = from_bytes(data, "uint8", (2, 30000))
    for i, position in enumerate(np.frombuffer(positions, "<i8")):
        assert same_bits(distinct[position], image[dict_[i]])
    [[_, _, shape, _, data]] = r.execute_command("KV.MGET", "p", "ROWS", packed(range(4)))
    assert same_bits(from_bytes(data, "uint8", (4, 30000)), image[dict_])


@pytest.fixture(scope="module")
def gigabyte():
    return np.tile(np.arange(1 << 20, dtype="<i8"), 128).view(np.uint8)  # 1 GiB


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("dtype", TORCH)
def test_a_value_of_1_gb(server, gigabyte, dtype, protocol):
    count = gigabyte.size // torch.empty((), dtype=TORCH[dtype]).element_size()
    with redis.Redis(unix_socket_path=server.path, protocol=protocol) as client:
        client.flushall()
        client.execute_command("KV.PUT", "p", "k", "FIELD", "x", dtype, count, "BLOB", gigabyte.data)
        [[_, got_dtype, shape, shapes, data]] = client.execute_command("KV.MGET", "p", "KEYS", 1, "k")
        assert (got_dtype.decode(), shape, shapes) == (dtype, [1, count], None)
        assert np.array_equal(np.frombuffer(data, np.uint8), gigabyte)
        client.execute_command("KV.CLEAR", "p")
        assert int(client.info("memory")["used_memory_payload"]) == 0


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 300), min_size=1, max_size=40),
    dtype=st.sampled_from(sorted(TORCH)),
    seed=st.integers(0, 2**31),
)
def test_random_batches(server, lengths, dtype, seed):
    rows = [random_tensor(dtype, (n,), seed + i) for i, n in enumerate(lengths)]
    dense = random_tensor(dtype, (len(lengths), 3), seed)
    with redis.Redis(unix_socket_path=server.path) as client:
        client.flushall()
        new, indexes = client.execute_command(
            "KV.MPUT", "p", "NEW", len(rows),
            "COLUMN", "ragged", dtype, "SHAPES", 1, packed(lengths), "BLOB", b"".join(map(to_bytes, rows)),
            "COLUMN", "dense", dtype, 3, "BLOB", to_bytes(dense),
        )  # fmt: skip
        assert new == len(rows) and indexes == packed(range(len(rows)))
        got = columns(client.execute_command("KV.MGET", "p", "ROWS", indexes))
        assert got["ragged"][3] == b"".join(map(to_bytes, rows))
        assert same_bits(from_bytes(got["dense"][3], dtype, dense.shape), dense)


def test_a_pipeline_keeps_order(r):
    pipe = r.pipeline(transaction=False)
    for i in range(2000):
        pipe.execute_command("KV.PUT", "p", f"k{i}", "TAG", f'{{"i":{i}}}', "FIELD", "x", "int64", "VALUES", i)
    assert pipe.execute() == [1] * 2000
    for i in range(2000):
        pipe.execute_command("KV.TAGS", "p", "KEYS", 1, f"k{i}")
    assert list(itertools.chain(*pipe.execute())) == [b'{"i":%d}' % i for i in range(2000)]
