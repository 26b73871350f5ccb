"""Whatever a put takes, a get gives back; what it does not take is an error that names field, row and path."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import redis
import torch
from streaming_cases import waiting
from tensordict import LazyStackedTensorDict, NonTensorData, NonTensorStack, TensorDict, lazy_stack

import sluice as tq
from sluice.client import get_client
from sluice.columns import DTYPES
from sluice.micro_batches import micro_batches


@pytest.fixture(autouse=True)
def session(sluice_url):
    yield tq.init(sluice_url)
    tq.close()


def rows_in(column):
    """Returns the rows of a column of a TensorDict, of any kind."""
    return list(column.unbind()) if isinstance(column, torch.Tensor) else column.tolist()


def same(got, expected):
    assert [(row.dtype, row.shape) for row in got] == [(row.dtype, row.shape) for row in expected]
    assert all(torch.equal(one.to(torch.float64), other.to(torch.float64)) for one, other in zip(got, expected, strict=True))


def put_and_get(column, rows=2):
    keys = [f"k{i}" for i in range(rows)]
    tq.kv_batch_put(keys, "p", {"x": column})
    return tq.kv_batch_get(keys, "p").get("x")


RAGGED = [[(2, 0), (3, 0)], [(2, 1), (3, 2)], [(0, 2), (0, 3)], [(0,), (3,)], [(2, 0, 1), (1, 3, 0)], [(0, 0), (0, 0)]]


@pytest.mark.parametrize("shapes", RAGGED, ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_ragged_rows_of_every_dtype_and_size_are_read_back(dtype, shapes):
    rows = [torch.ones(shape).to(DTYPES[dtype]) for shape in shapes]
    got = put_and_get(rows)
    same(rows_in(got), rows)
    tq.kv_batch_put(["c", "d"], "p", {"x": got})  # what was read can be put
    same(rows_in(tq.kv_batch_get(["k1", "c", "k0"], "p").get("x")), [rows[1], rows[0], rows[0]])


def test_strided_rows_of_float8_are_read_from_several_partitions_and_cut():
    rows = [torch.ones(n, n).to(torch.float8_e5m2) for n in (1, 2, 3)]
    metas = [
        get_client().put(TensorDict({"x": rows_in(torch.stack([row]))}, [1]), partition_id=f"p{i}") for i, row in enumerate(rows)
    ]
    meta = tq.BatchMeta.concat(metas)
    data = get_client().get_data(meta)
    same(rows_in(data.get("x")), rows)
    parts = [rows_in(part.get("x")) for part, _ in micro_batches(data, meta, 2)]
    same([*itertools.chain(*parts)], rows)


RANKS = [[(), (2,)], [(2,), (2, 1)], [(0,), ()], [(1, 1), (1, 1, 1)]]


@pytest.mark.parametrize("shapes", RANKS, ids=str)
@pytest.mark.parametrize("name", ["kv", "kv with dedup", "client", "fetch", "fetch that waits", "partitions"])
def test_rows_of_different_rank_are_a_list_column(shapes, name):
    client, rows = get_client(), [torch.ones(shape, dtype=torch.int16) for shape in shapes]
    with ThreadPoolExecutor() as threads:
        waiting_fetch = threads.submit(client.fetch, ["x"], 2, "p", "waits", wait_s=10) if "waits" in name else None
        if waiting_fetch:
            waiting(1)
        for i, row in enumerate(rows):
            tq.kv_put(f"k{i}", f"p{i}" if name == "partitions" else "p", {"x": row, "n": i})
    if name.startswith("kv"):
        data = tq.kv_batch_get(["k0", "k1"], "p", dedup="dedup" in name)
        assert list(data.keys()) == ["n", "x"]
    elif name == "client":
        data = client.get_data(client.get_meta(["x"], 2, "p", task_name="t"))
    elif name == "partitions":
        data = client.get_data(tq.BatchMeta([0, 0], ["p0", "p1"], {"x": {}}))
    elif name == "fetch":
        batch = client.fetch(["x"], 2, "p", "t")
        assert batch.metadata.get_shapes("x") == [tuple(shape) for shape in shapes]
        data = batch.data
    else:
        data = waiting_fetch.result().data
    same(rows_in(data.get("x")), rows)


def test_rows_of_different_rank_in_one_put_are_an_error_that_says_what_to_do():
    with pytest.raises(ValueError, match="field 'x': row 1 has rank 1, row 0 has rank 0; put rows of different rank in separate"):
        tq.kv_batch_put(["a", "b"], "p", {"x": [torch.tensor(1), torch.ones(1, dtype=torch.int64)]})


def test_rows_of_different_dtype_in_one_put_are_an_error_that_says_what_to_do():
    with pytest.raises(ValueError, match=r"field 'x': row 1 is torch.float32, row 0 is torch.int64; convert .* row.to\(torch"):
        tq.kv_batch_put(["a", "b"], "p", {"x": [torch.tensor(1), torch.ones(1)]})


def test_a_gap_in_rows_of_different_rank_is_named():
    tq.kv_put("a", "p", {"x": torch.tensor(1), "half": 1})
    tq.kv_put("b", "p", {"x": torch.tensor([1])})
    with pytest.raises(ValueError, match="field 'half' of row 'b' is not ready"):
        tq.kv_batch_get(["a", "b"], "p")
    assert len(rows_in(tq.kv_batch_get(["a", "b"], "p", "x").get("x"))) == 2


ARRAYS = {
    "objects of equal length": (np.array([np.arange(2), np.arange(2)], dtype=object), [[0, 1], [0, 1]]),
    "floats of equal length": (np.array([np.ones(2), np.ones(2)], dtype=object), [[1.0, 1.0], [1.0, 1.0]]),
    "objects of other kinds": (np.array([["a", 1], ["b", None]], dtype=object), [["a", 1], ["b", None]]),
    "large integers": (np.array([[2**70, 1], [1, 2]], dtype=object), [[2**70, 1], [1, 2]]),
    "int and float": (np.array([[1, 2.5], [3, 4]], dtype=object), [[1, 2.5], [3, 4]]),
    "bytes": (np.array([b"a", b"bc"]), [b"a", b"bc"]),
    "texts": (np.array(["a", "é"]), ["a", "é"]),
    "rows of texts": (np.array([["a", "b"], ["c", "d"]]), [["a", "b"], ["c", "d"]]),
    "arrays of texts": ([np.array(["a"]), np.array(["b", "c"])], [["a"], ["b", "c"]]),
    "object arrays": ([np.array([1, 2], dtype=object), np.array([3], dtype=object)], [[1, 2], [3]]),
    "negative strides": (np.arange(4)[::-2], [3, 1]),
    "big-endian numbers": (np.arange(2, dtype=">i4"), [0, 1]),
    "a list in NonTensorData": (NonTensorData([1, 2], batch_size=[2]), [1, 2]),
    "a tuple in NonTensorData": (NonTensorData(("a", "b"), batch_size=[2]), ["a", "b"]),
    "an array in NonTensorData": (NonTensorData(np.array(["a", "b"]), batch_size=[2]), ["a", "b"]),
    "a shared value": (NonTensorData({"a": [1]}, batch_size=[2]), [{"a": [1]}] * 2),
    "the same list in every row": (NonTensorStack([1, 2], [1, 2]), [[1, 2], [1, 2]]),
    "NumPy scalars": ([np.float64(0.5), np.int8(3)], [0.5, 3]),
    "NumPy scalars in objects": ([{"r": [np.float64(0.5)]}, np.bool_(True)], [{"r": [0.5]}, True]),
    "NumPy float32 in objects": ([{"r": [np.float32(0.1)]}, [np.bool_(False)]], [{"r": [float(np.float32(0.1))]}, [False]]),
    "NumPy texts": ([np.str_("a"), {np.str_("k"): np.str_("b")}], ["a", {"k": "b"}]),
    "NumPy bytes": ([np.bytes_(b"a"), b"b"], [b"a", b"b"]),
    "0-d arrays": ([np.array(1.5), np.array(2.5)], [1.5, 2.5]),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_containers_are_read_back_by_row(name):
    column, expected = ARRAYS[name]
    got = rows_in(put_and_get(column))
    got = [row.tolist() if isinstance(row, torch.Tensor) else row for row in got]
    assert got == expected and [type(row) for row in got] == [type(row) for row in expected]
    if isinstance(column, np.ndarray):
        tq.kv_batch_put(["c", "d"], "p", TensorDict({"x": column}, batch_size=[2]) if column.strides[0] > 0 else {"x": column})
        again = rows_in(tq.kv_batch_get(["c", "d"], "p").get("x"))
        assert [row.tolist() if isinstance(row, torch.Tensor) else row for row in again] == expected


def test_one_row_may_hold_any_of_them():
    tq.kv_put("a", "p", {"o": np.array(["u", 1], dtype=object), "u": np.array(["a", "b"]), "f": np.float64(0.5), "i": [1, 2]})
    tq.kv_put("b", "p", TensorDict({"o": NonTensorData(["u", 1]), "f": NonTensorData(0.25)}, batch_size=[]))
    assert [tq.kv_batch_get("a", "p").get(name).tolist() for name in "oufi"] == [[["u", 1]], [["a", "b"]], [0.5], [[1, 2]]]
    assert tq.kv_batch_get("b", "p").get("o").tolist() == [["u", 1]]


def test_lazy_stacks_are_put_row_by_row():
    ids = [torch.arange(2), torch.arange(3)]
    rows = [TensorDict({"ids": row, "acc": torch.tensor(0.5), "t": NonTensorData([1, "a"])}) for row in ids]
    meta = get_client().put(lazy_stack(rows), partition_id="p")
    assert meta.get_shapes("ids") == [(2,), (3,)]
    data = get_client().get_data(meta)
    same(rows_in(data.get("ids")), ids)
    assert data["acc"].tolist() == [0.5, 0.5] and data.get("t").tolist() == [[1, "a"], [1, "a"]]
    assert isinstance(lazy_stack(rows), LazyStackedTensorDict)
    tq.kv_batch_put(["a", "b"], "q", lazy_stack(rows), data_parser=lambda columns: columns["ids"].reverse())
    same(rows_in(tq.kv_batch_get(["a", "b"], "q").get("ids")), ids[::-1])


@pytest.mark.parametrize("layout", [torch.jagged, torch.strided])
def test_a_lazy_stack_over_another_dim_is_put_row_by_row(layout):
    def item(number):
        ids = torch.nested.nested_tensor([torch.full((n,), number) for n in (2, 3)], layout=layout)
        return TensorDict({"x": torch.arange(2) + number, "ids": ids, "t": NonTensorStack(f"a{number}", f"b{number}")}, [2])

    data = lazy_stack([item(number) for number in (5, 6, 7)], 1)
    got = get_client().get_data(get_client().put(data, partition_id="p"))
    assert torch.equal(got["x"], data["x"]) and got["x"].tolist() == [[5, 6, 7], [6, 7, 8]]
    same(rows_in(got.get("ids")), [torch.stack([torch.full((n,), number) for number in (5, 6, 7)]) for n in (2, 3)])
    assert got.get("t").tolist() == data.get("t").tolist() == [["a5", "a6", "a7"], ["b5", "b6", "b7"]]


def test_a_lazy_stack_of_lazy_stacks_is_put_row_by_row():
    rows = [lazy_stack([TensorDict({"x": torch.full((2,), 10 * i + j)}) for j in range(3)]) for i in range(2)]
    assert torch.equal(put_lazy(rows)["x"], lazy_stack(rows)["x"])


def put_lazy(rows):
    return get_client().get_data(get_client().put(lazy_stack(rows), partition_id="p"))


ERRORS = {
    "missing in a lazy stack over another dim": (
        lambda: lazy_stack([TensorDict({"x": torch.ones(2), "y": torch.ones(2)}, [2]), TensorDict({"x": torch.ones(2)}, [2])], 1),
        "field 'y' is missing in row 0, item 1: put rows with different fields in separate calls",
    ),
    "ragged within a row": (
        lambda: lazy_stack([TensorDict({"x": torch.ones(2, n)}, [2]) for n in (3, 4)], 1),
        "field 'x', row 0: the items of this lazy stack differ in shape or dtype.*pad them, or stack along dim 0",
    ),
    "TensorDict within a row": (
        lambda: lazy_stack([TensorDict({"x": TensorDict({"y": torch.ones(2)}, [2])}, [2])] * 2, 1),
        "field 'x', row 0, item 0 is a TensorDict; use flatten_keys",
    ),
    "a nested tensor as a row": (
        lambda: {"x": [torch.nested.nested_tensor([torch.ones(n) for n in (1, 2)], layout=torch.jagged)] * 2},
        "field 'x', row 0 is a nested tensor, and a row is one tensor: pad it",
    ),
    "a sparse tensor": (lambda: {"x": torch.eye(2).to_sparse()}, r"field 'x' is a sparse tensor.*\.to_dense\(\)"),
    "a sparse CSR tensor": (lambda: {"x": torch.eye(2).to_sparse_csr()}, r"field 'x' is a sparse tensor.*\.to_dense\(\)"),
    "sparse rows": (lambda: {"x": [torch.ones(2), torch.eye(2).to_sparse()]}, "field 'x', row 1 is a sparse tensor"),
    "a meta tensor": (lambda: {"x": torch.ones(2, device="meta")}, "field 'x' is a meta tensor, which has no values"),
    "a masked array": (lambda: {"x": np.ma.array([1, 2], mask=[0, 1])}, r"field 'x' is a masked array: use \.filled"),
    "masked texts": (lambda: {"x": np.ma.array(["a", "b"], mask=[0, 1])}, r"field 'x' is a masked array: use \.filled"),
    "masked rows": (lambda: {"x": [np.ones(1), np.ma.array([1], mask=[1])]}, "field 'x', row 1 is a masked array"),
    "a masked number": (lambda: {"x": [1, np.ma.masked]}, "field 'x', row 1 is a masked array"),
    "an array of bytes of two dims": (
        lambda: {"x": np.array([[b"a", b"b"], [b"c", b"d"]])},
        r"field 'x', row 0, at \[0\]: JSON cannot represent bytes: put one bytes object per row, or .*astype\(str\)",
    ),
    "missing in a lazy stack": (
        lambda: lazy_stack([TensorDict({"ids": torch.ones(2), "acc": torch.ones(1)}), TensorDict({"ids": torch.ones(2)})]),
        "field 'acc' is missing in row 1: put rows with different fields in separate calls",
    ),
    "dtypes of a lazy stack": (
        lambda: lazy_stack([TensorDict({"x": torch.ones(2)}), TensorDict({"x": torch.ones(3, dtype=torch.int64)})]),
        "field 'x': row 1 is torch.int64",
    ),
    "nested TensorDict": (lambda: {"x": TensorDict({"y": torch.ones(2)}, [2])}, "field 'x' is a TensorDict.*flatten_keys"),
    "nested in a lazy stack": (
        lambda: lazy_stack([TensorDict({"x": TensorDict({"y": torch.ones(n)})}) for n in (1, 2)]),
        "field 'x', row 0 is a TensorDict; use flatten_keys",
    ),
    "list of another length": (
        lambda: {"x": NonTensorData([1, 2, 3], batch_size=[2])},
        "field 'x' is a NonTensorData with 3 values for 2 rows: .*NonTensorStack",
    ),
    "datetime64": (lambda: {"x": np.zeros(2, "datetime64[s]")}, r"field 'x' is a NumPy array of datetime64.*astype\('int64'\)"),
    "timedelta64 in a list": (
        lambda: {"x": [np.zeros(1), np.zeros(1, "timedelta64[s]")]},
        r"field 'x', row 1 is a NumPy array of timedelta64.*astype\('int64'\)",
    ),
    "uint16": (lambda: {"x": np.zeros(2, np.complex64)}, "field 'x' is torch.complex64"),
    "long double": (lambda: {"x": np.zeros(2, np.longdouble)}, "field 'x' is a NumPy array of .*convert it with .astype"),
    "NaN deep in a dict": (
        lambda: {"x": ["a", {"a": [1, {"b": float("nan")}]}]},
        r"field 'x', row 1, at \['a'\]\[1\]\['b'\]: JSON cannot represent nan: use None",
    ),
    "NumPy NaN": (lambda: {"x": [np.float64("inf"), 1]}, "field 'x', row 0: JSON cannot represent inf"),
    "a tensor in a dict": (
        lambda: {"x": [1, {"t": torch.ones(1)}]},
        r"field 'x', row 1, at \['t'\]: .*this Tensor: make it a field",
    ),
    "an array in a list": (lambda: {"x": [[np.ones(1)], 1]}, r"field 'x', row 0, at \[0\]: .*this ndarray: .*tolist"),
    "a date": (lambda: {"x": [{"d": np.datetime64(1, "ns")}, 1]}, r"row 0, at \['d'\]: JSON cannot represent this datetime64"),
    "a tuple in a dict": (lambda: {"x": [{"d": (1,)}, 1]}, r"row 0, at \['d'\]: JSON cannot represent this tuple exactly"),
    "a key": (lambda: {"x": [[{1: 2}], 1]}, r"field 'x', row 0, at \[0\]: .*its key 1 is no str"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_is_not_stored_is_named(name):
    make, text = ERRORS[name]
    with pytest.raises((TypeError, ValueError), match=text):
        tq.kv_batch_put(["a", "b"], "p", make())
    assert tq.kv_list() == {}


def test_numpy_scalars_are_numbers_in_tags_and_conditions():
    tags = [{"a": np.int64(3), "b": [np.float32(0.5)], "c": np.bool_(True)}, {"a": np.int64(4)}]
    tq.kv_batch_put(["a", "b"], "p", tags=tags)
    assert tq.kv_list("p", where=[("a", "=", np.int64(3))]) == {"p": {"a": {"a": 3, "b": [0.5], "c": True}}}
    for tag, text in (
        ({"a": {"b": [float("nan")]}}, r"the tag of 'a' is not JSON, at \['a'\]\['b'\]\[0\]: .* nan"),
        ({"a": torch.tensor(1)}, r"the tag of 'a' is not JSON, at \['a'\]: .*this Tensor"),
        ({"a": {1: 2}}, r"the tag of 'a' is not JSON, at \['a'\]: .*its key 1 is no str"),
    ):
        with pytest.raises(ValueError, match=text):
            tq.kv_put("a", "p", tag=tag)
    with pytest.raises(ValueError, match="where: the value of 'a' is not JSON: .*nan"):
        tq.kv_list("p", where=[("a", "<", float("nan"))])


@pytest.mark.parametrize(
    "value", [np.arange(4)[::-2], np.arange(2, dtype=">i8"), np.array(["a", "b"]), [np.arange(2)[::-1], np.ones(3, int)]]
)
def test_the_schema_of_a_put_is_known_before_the_write(value):
    class Columns(dict):
        batch_size = torch.Size([2])

    meta = get_client().put(Columns(x=value), partition_id="p")
    assert meta.size == 2 and len(tq.kv_list("p")["p"]) == 2
    stored = get_client().get_meta(["x"], 2, "p", task_name="t")
    assert stored.field_schema == meta.field_schema


@pytest.mark.parametrize("wrong", ["value", "tag"])
def test_an_error_in_one_partition_leaves_the_others_alone(wrong):
    client = get_client()
    metas = [client.put(TensorDict({"x": torch.zeros(1)}, [1]), partition_id=name) for name in "pq"]
    both = tq.BatchMeta.concat(metas)
    values = NonTensorStack("new", {1, 2} if wrong == "value" else "new")
    both.update_custom_meta([{"new": 1}, {"new": {1} if wrong == "tag" else 1}])
    with pytest.raises((TypeError, ValueError)):
        client.put(TensorDict({"y": values}, [2]), both)
    if wrong == "tag":
        with pytest.raises(ValueError, match="not JSON"):
            client.set_custom_meta(both)
    assert [tag for rows in tq.kv_list().values() for tag in rows.values()] == [{}, {}]
    assert list(tq.kv_batch_get("0", "p").keys()) == ["x"]


def test_add_fields_reads_values_as_a_put_does():
    meta = get_client().get_meta([], 2, "p", mode="insert")
    meta.add_fields(lazy_stack([TensorDict({"x": torch.ones(n)}) for n in (1, 2)]))
    assert meta.get_shapes("x") == [(1,), (2,)]


@pytest.mark.parametrize(
    "value",
    [
        torch.arange(8.0).view(1, 8)[:, -1],
        torch.arange(8).view(2, 4)[1:, 2],
        torch.tensor([5], dtype=torch.float8_e5m2).expand(1),
        torch.arange(12).view(3, 4)[:1, :1],
    ],
    ids=str,
)
def test_a_batch_of_one_row_may_have_any_stride(value):
    client = get_client()
    client.put(TensorDict({"x": value}, [1]), partition_id="p")
    got = tq.kv_batch_get(client.kv_retrieve_keys([0], "p"), "p")["x"]
    assert got.dtype == value.dtype and torch.equal(got.float(), value.float())


def test_zero_dims_of_numpy_are_stored():
    tq.kv_put("a", "p", {"i": np.array(3), "f": np.array(1.5, np.float32), "s": np.arange(8)[::8]})
    got = tq.kv_batch_get(["a"], "p")
    assert (got["i"].item(), got["f"].item(), got["s"].tolist()) == (3, 1.5, [[0]])


def test_an_object_array_of_large_integers_keeps_them():
    big = np.array([[2**63 + 1, 2], [3, 4]], dtype=object)
    tq.kv_batch_put(keys=["a", "b"], partition_id="p", fields={"x": big})
    assert tq.kv_batch_get(["a", "b"], "p")["x"].tolist() == [[2**63 + 1, 2], [3, 4]]


def test_an_integer_of_any_length_in_a_tag_of_another_client_is_read(sluice_url):
    tag = '{"u":-1' + "0" * 5000 + "}"
    with redis.Redis.from_url(sluice_url) as other:
        other.execute_command("KV.PUT", "p", "a", "TAG", tag, "FIELD", "x", "int64", "VALUES", 1)
    assert get_client().fetch(["x"], 1, "p", "t").tags == [{"u": -(10**5000)}]
    assert tq.kv_list("p")["p"]["a"]["u"] == -(10**5000)
