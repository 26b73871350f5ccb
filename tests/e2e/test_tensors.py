"""Every dtype is stored and read bit for bit, with numpy and torch, by every transport and protocol version."""

import itertools

import numpy as np
import pytest
import redis
import safetensors.torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tensors import NUMPY, TORCH, columns, from_bytes, item_size, packed, random_tensor, same_bits, to_bytes

SHAPES = [(), (3,), (0,), (2, 0, 3), (5, 4), (2, 3, 4), (4097,), (1,) * 32]


@pytest.mark.parametrize("dtype", TORCH)
def test_one_row_of_every_shape_is_read_back(r, dtype):
    for seed, shape in enumerate(SHAPES):
        tensor = random_tensor(dtype, shape, seed)
        key = f"k{seed}"
        assert r.execute_command("KV.PUT", "p", key, "FIELD", "x", dtype, *shape, "BLOB", to_bytes(tensor)) == 1
        [[[name, got_dtype, got_shape, data]]] = r.execute_command("KV.MGET", "p", "KEYS", 1, key, "FORMAT", "rows")
        assert (name, got_dtype.decode(), tuple(got_shape)) == (b"x", dtype, shape)
        assert same_bits(from_bytes(data, dtype, shape), tensor)


@pytest.mark.parametrize("dtype", TORCH)
def test_a_dense_column_is_read_back(r, dtype):
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
def test_a_ragged_column_is_read_back(r, dtype, rank):
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


BATCHES = [
    [(2, 0), (3, 0)],
    [(0, 2), (0, 3)],
    [(2, 1), (3, 2)],
    [(0,), (2,)],
    [(2, 0, 3), (0, 2, 3)],
    [(), ()],
    [(1,) * 31 + (2,), (1,) * 31 + (3,)],
]
MIXED_RANKS = [[(), (1,)], [(0,), ()], [(2,), (1, 2)], [(2, 0), (0,), (2, 0)]]


def put_rows(r, dtype, shapes):
    """Puts the rows one by one, and as one ragged column if they have one rank. Returns the tensors."""
    rows = [random_tensor(dtype, shape, seed) for seed, shape in enumerate(shapes)]
    for key, row in enumerate(rows):
        r.execute_command("KV.PUT", "p", key, "FIELD", "x", dtype, *row.shape, "BLOB", to_bytes(row))
    if len({len(shape) for shape in shapes}) == 1:
        r.execute_command(
            "KV.MPUT", "q", "NEW", len(rows), "COLUMN", "x", dtype, "SHAPES", len(shapes[0]), packed(shapes),
            "BLOB", b"".join(map(to_bytes, rows)),
        )  # fmt: skip
    return rows


def read(r, partition, rows, *form):
    return r.execute_command("KV.MGET", partition, "KEYS", len(rows), *range(len(rows)), "FORMAT", *form)


def check_rows(r, partition, rows, dtype):
    for row, [[_, got_dtype, shape, data]] in zip(rows, read(r, partition, rows, "rows"), strict=True):
        assert got_dtype.decode() == dtype
        assert same_bits(from_bytes(data, dtype, tuple(shape)), row)
    for row, [[_, _, shape, texts]] in zip(rows, read(r, partition, rows, "values"), strict=True):
        assert (tuple(shape), len(texts)) == (tuple(row.shape), row.numel())


@pytest.mark.parametrize("dtype", ["bool", "int64", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize("shapes", BATCHES, ids=str)
def test_rows_of_one_rank_are_read_back_in_every_form(r, dtype, shapes):
    rows = put_rows(r, dtype, shapes)
    data = b"".join(map(to_bytes, rows))
    largest = [max(sizes) for sizes in zip(*shapes, strict=True)]
    for partition in ("p", "q"):
        check_rows(r, partition, rows, dtype)
        for form in (["columns"], ["columns", "DICT"]):
            got_dtype, shape, got_shapes, got = columns(read(r, partition, rows, *form))["x"]
            assert (got_dtype, shape[0], got) == (dtype, len(rows), data)
            assert [tuple(dims) for dims in got_shapes or [shape[1:]] * len(rows)] == shapes
        _, shape, _, padded = columns(read(r, partition, rows, "columns", "PAD", "right", "1"))["x"]
        assert shape == (len(rows), *largest)
        padded = from_bytes(padded, dtype, shape)
        for row, got in zip(rows, padded, strict=True):
            assert same_bits(got[tuple(map(slice, row.shape))], row)
        file = safetensors.torch.load(read(r, partition, rows, "safetensors"))
        assert to_bytes(file["x.values" if len(set(shapes)) > 1 else "x"]) == data
        file = read(r, partition, rows, "safetensors", "PAD", "right", "1")
        assert same_bits(safetensors.torch.load(file)["x"], padded)


@pytest.mark.parametrize("dtype", ["int64", "float8_e4m3fn"])
@pytest.mark.parametrize("shapes", MIXED_RANKS, ids=str)
def test_rows_of_different_rank_are_read_back_row_by_row(r, dtype, shapes):
    rows = put_rows(r, dtype, shapes)
    check_rows(r, "p", rows, dtype)
    ranks = f"rows of rank {len(shapes[0])} and {len(shapes[1])}"
    for form in (
        ["columns"],
        ["columns", "DICT"],
        ["columns", "PAD", "left", "0"],
        ["safetensors"],
    ):
        with pytest.raises(
            redis.ResponseError,
            match=f"^SHAPE field 'x': {ranks} cannot form a column: use FORMAT rows",
        ):
            read(r, "p", rows, *form)
    assert r.execute_command("KV.FIELDS", "p") == [[b"x", dtype.encode(), None, len(rows), sum(map(len, map(to_bytes, rows)))]]


@pytest.mark.parametrize("dtype", NUMPY)
def test_numpy_arrays_are_read_back(r, dtype):
    array = np.frombuffer(to_bytes(random_tensor(dtype, (6, 4))), dtype).reshape(6, 4)
    turned = np.ascontiguousarray(array.T)
    r.execute_command(
        "KV.MPUT", "p", "NEW", 4, "COLUMN", "x", dtype, 6, "BLOB", turned.data.cast("B"),
        "COLUMN", "y", dtype, 2, 3, "BLOB", turned.tobytes(),
    )  # fmt: skip
    got = columns(r.execute_command("KV.MGET", "p", "KEYS", 4, *range(4), "FORMAT", "columns"))
    for field, shape in {"x": (4, 6), "y": (4, 2, 3)}.items():
        got_dtype, got_shape, _, data = got[field]
        back = np.frombuffer(data, got_dtype).reshape(got_shape)
        assert back.shape == shape
        assert back.tobytes() == turned.tobytes()


@pytest.mark.parametrize("dtype", [name for name in TORCH if item_size(name) <= 2 and name != "bool"])
def test_every_bit_pattern_is_kept(r, dtype):
    every = np.arange(1 << 8 * item_size(dtype)).astype(f"<u{item_size(dtype)}").tobytes()
    count = len(every) // item_size(dtype)
    r.execute_command("KV.PUT", "p", "k", "FIELD", "x", dtype, count, "BLOB", every)
    [[[_, _, _, data]]] = r.execute_command("KV.MGET", "p", "KEYS", 1, "k", "FORMAT", "rows")
    assert data == every


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [
        ("float32", [0x7FC00000, 0x7F800001, 0xFFC12345, 0x7FFFFFFF, 0x80000000, 0x00000001]),
        ("float64", [0x7FF8 << 48, (0x7FF0 << 48) + 1, (0xFFF8 << 48) + 12345, (1 << 63) - 1, 1 << 63, 1]),
    ],
)
def test_nan_payloads_keep_their_bits(r, dtype, bits):
    data = np.array(bits, f"<u{item_size(dtype)}").tobytes()
    r.execute_command("KV.PUT", "p", "a", "FIELD", "x", dtype, len(bits), "BLOB", data)
    r.execute_command("KV.MPUT", "p", "KEYS", 1, "b", "COLUMN", "x", dtype, len(bits), "BLOB", data)
    [[_, _, shape, _, got]] = r.execute_command("KV.MGET", "p", "KEYS", 2, "a", "b")
    assert (shape, got) == ([2, len(bits)], data + data)


@pytest.mark.parametrize("dtype", ["utf8", "json", "bytes"])
def test_byte_strings_are_read_back(r, dtype):
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


def test_rows_that_share_storage_are_sent_once(r):
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


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 300), min_size=1, max_size=40),
    dtype=st.sampled_from(sorted(TORCH)),
    seed=st.integers(0, 2**31),
)
def test_random_batches_are_read_back(server, lengths, dtype, seed):
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
