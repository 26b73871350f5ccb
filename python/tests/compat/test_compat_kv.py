"""The KV interface of sluice.compat: what TransferQueue accepts. Each test names what sluice does instead."""

import asyncio
import threading

import numpy as np
import pytest
import torch
from tensordict import LazyStackedTensorDict, NonTensorData, NonTensorStack, TensorDict

from sluice.compat import _mixed
from sluice.errors import FullError


def put(tq, keys="ab", **fields):
    return tq.kv_batch_put(list(keys), "p", TensorDict(fields, batch_size=[len(keys)]))


def rows(column):
    return [row.tolist() for row in column.unbind()]


# --- reading


def test_fields_that_nobody_has_are_left_out(tq, strict):
    put(tq, x=torch.ones(2, 3))
    assert list(tq.kv_batch_get(["a", "b"], "p", ["ref_log_prob", "x", "values"]).keys()) == ["x"]
    assert tq.kv_batch_get(["a", "b"], "p", "values").batch_size == (0,)
    with pytest.raises(ValueError, match="values"):
        strict.kv_batch_get(["a", "b"], "p", ["x", "values"])


def test_fields_that_only_some_rows_have_are_left_out(tq):
    put(tq, x=torch.ones(2, 3))
    put(tq, "a", y=torch.ones(1, 2))
    assert list(tq.kv_batch_get(["a", "b"], "p").keys()) == ["x"]
    assert list(tq.kv_batch_get(["b", "a"], "p", ["y", "x"]).keys()) == ["x"]
    assert sorted(tq.kv_batch_get("a", "p").keys()) == ["x", "y"]


def test_missing_keys_are_left_out_with_a_warning_that_names_them(tq):
    put(tq, x=torch.tensor([[1], [2]]))
    with pytest.warns(UserWarning, match=r"left out: \['c', 'd'\]"):
        got = tq.kv_batch_get(["d", "b", "c", "a"], "p")
    assert rows(got["x"]) == [[2], [1]]


@pytest.mark.parametrize("keys, partition", [(["c"], "p"), ("a", "q")])
def test_keys_of_which_none_exists_are_an_error(tq, keys, partition):
    put(tq, x=torch.ones(2, 3))
    with pytest.raises(ValueError, match="not found"):
        tq.kv_batch_get(keys, partition)


def test_rows_without_a_common_field_are_an_error(tq):
    tq.kv_batch_put(["a", "b"], "p", tags=[{}, {}])
    with pytest.raises(ValueError, match="no field in common"):
        tq.kv_batch_get(["a", "b"], "p")


def test_rows_of_one_length_are_jagged(tq):
    put(tq, x=torch.arange(6).reshape(2, 3), n=torch.arange(2))
    got = tq.kv_batch_get(["a", "b"], "p")
    assert got["x"].offsets().tolist() == [0, 3, 6] and not got["n"].is_nested
    meta = tq.KVBatchMeta(["b"], [{}], "p", ["x"])
    assert tq.kv_batch_get_by_meta(meta)["x"].values().tolist() == [3, 4, 5]
    assert tq.get_client().get_data(tq.get_client().kv_retrieve_meta(["a"], "p"))["x"].layout == torch.jagged


def test_by_meta_refuses_fields_that_the_meta_does_not_have(tq):
    with pytest.raises(ValueError, match=r"no fields \['y'\]"):
        tq.kv_batch_get_by_meta(put(tq, x=torch.ones(2, 1)), ["y"])


# --- tags


def test_tags_keep_none_and_dicts_replace_dicts(tq, strict):
    meta = tq.kv_put("a", "p", tag={"min_global_steps": None, "info": {"x": 1}, "n": 1})
    assert meta.tags == [{"min_global_steps": None, "info": {"x": 1}, "n": 1}]
    tq.kv_put("a", "p", tag={"info": {"y": None}})
    assert tq.kv_list("p") == {"p": {"a": {"min_global_steps": None, "info": {"y": None}, "n": 1}}}
    assert strict.kv_list("p", where=[("n", ">=", 1)])["p"]["a"]["n"] == 1


def test_tags_take_numpy_numbers_and_objects(tq):
    tag = {"n": np.int64(3), "f": np.float32(0.5), "t": (1, 2), "s": {1}, "nan": float("inf"), "array": np.arange(2)}
    tq.kv_put("a", "p", tag=tag)
    read = tq.kv_list("p")["p"]["a"]
    assert read["array"].tolist() == [0, 1] and read["t"] == [1, 2] and read["s"] == {1} and read["nan"] == float("inf")
    assert (read["n"], read["f"]) == (3, 0.5) and type(read["n"]) is int


def test_a_list_that_looks_like_a_mark_is_read_as_it_was(tq):
    for value in (["sluice.json", None], ["sluice.pickle", "x"]):
        assert tq.kv_put("a", "p", tag={"v": value}).tags == [{"v": value}]


def test_objects_in_tags_need_allow_pickle(tq):
    tq.kv_put("a", "p", tag={"s": {1}})
    tq.init({"allow_pickle": False})
    with pytest.raises(ValueError, match="tag 's' holds a pickled"):
        tq.kv_list("p")
    with pytest.raises(ValueError, match="value of tag 's' is not JSON"):
        tq.kv_put("b", "p", tag={"s": {1}})
    assert tq.kv_put("b", "p", tag={"t": (1, 2), "n": None}).tags == [{"t": [1, 2], "n": None}]


# --- rows of other dtypes


def test_integers_in_a_field_of_floats_become_floats(tq, strict):
    put(tq, mask=torch.ones(2, 3))
    with pytest.raises(ValueError, match="float32"):
        strict.kv_put("c", "p", {"mask": torch.ones(3, dtype=torch.int64)})
    tq.kv_put("c", "p", {"mask": torch.tensor([1, 0])})
    got = tq.kv_batch_get(["a", "c"], "p")["mask"]
    assert got.dtype == torch.float32 and rows(got) == [[1, 1, 1], [1, 0]]


def test_floats_in_a_field_of_integers_make_it_a_field_of_floats(tq):
    put(tq, x=torch.tensor([1, 2]))
    tq.kv_put("c", "p", {"x": torch.tensor([[0.5]])})  # rank 2 beside rank 0
    assert tq.kv_batch_get("a", "p")["x"].dtype == torch.float32
    assert [row.tolist() for row in tq.kv_batch_get(["a", "b", "c"], "p")["x"].tolist()] == [1.0, 2.0, [[0.5]]]


MIXED = [torch.tensor([1, 2]), torch.tensor([0.5]), torch.tensor([3], dtype=torch.int8)]


@pytest.mark.parametrize("way", ["dict", "stack", "client", "field of integers"])
def test_rows_of_several_dtypes_in_one_put_get_the_dtype_that_fits_all(tq, way):
    stack = LazyStackedTensorDict(*(TensorDict({"x": row}, []) for row in MIXED)) if way == "stack" else None
    if way == "field of integers":
        tq.kv_put("d", "p", {"x": torch.tensor([4])})
    if way == "client":
        client = tq.get_client()
        got = client.get_data(client.put(TensorDict({"x": NonTensorStack(*MIXED)}, batch_size=[3]), partition_id="p"))
    else:
        tq.kv_batch_put(["a", "b", "c"], "p", stack if stack is not None else {"x": MIXED})
        got = tq.kv_batch_get(["a", "b", "c"], "p")
    assert got["x"].dtype == torch.float32 and rows(got["x"]) == [[1, 2], [0.5], [3]]


def test_rows_of_different_rank_in_one_put_are_an_error_that_names_them(tq):
    with pytest.raises(ValueError, match="field 'x': row 1 has rank 1, row 0 has rank 0; put rows of different rank in sep"):
        tq.kv_batch_put(["a", "b"], "p", {"x": [torch.tensor(1), torch.tensor([0.5])]})
    assert tq.kv_list("p") == {}


def test_tensors_and_objects_share_a_field(tq):
    put(tq, x=torch.arange(4).reshape(2, 2))
    tq.kv_put("c", "p", {"x": "text"})
    got = tq.kv_batch_get(["a", "c"], "p")["x"].tolist()
    assert got[0].tolist() == [0, 1] and got[1] == "text"
    assert tq.kv_batch_get(["a", "b"], "p")["x"].offsets().tolist() == [0, 2, 4]
    tq.kv_put("d", "p", {"x": torch.arange(3)})
    assert rows(tq.kv_batch_get(["d", "b"], "p")["x"]) == [[0, 1, 2], [2, 3]]
    tq.kv_batch_put(["e"], "p", TensorDict({"x": NonTensorStack(b"raw")}, batch_size=[1]))
    assert tq.kv_batch_get(["e", "c"], "p")["x"].tolist() == [b"raw", "text"]


def test_a_field_that_changes_keeps_what_tasks_have_consumed(tq):
    put(tq, x=torch.tensor([1, 2]))
    client = tq.get_client()
    assert client.get_meta(["x"], 2, "p", task_name="t").size == 2
    tq.kv_put("c", "p", {"x": torch.tensor(0.5)})
    assert client.get_consumption_status("t", "p")[1].tolist() == [1, 1, 0]


@pytest.mark.parametrize("other", [torch.float8_e5m2, torch.float16, torch.float32, torch.int64])
def test_float8_beside_other_numbers(tq, other):
    put(tq, x=torch.tensor([[0.5], [448.0]]).to(torch.float8_e4m3fn))
    tq.kv_put("c", "p", {"x": torch.tensor([3]).to(other)})
    assert rows(tq.kv_batch_get(["a", "b", "c"], "p")["x"].double()) == [[0.5], [448.0], [3.0]]


def test_float8_beside_objects(tq):
    put(tq, x=torch.tensor([0.5, 448.0]).to(torch.float8_e4m3fn))
    tq.kv_put("c", "p", {"x": "text"})
    first, second, text = tq.kv_batch_get(["a", "b", "c"], "p")["x"].tolist()
    assert first.dtype == torch.float8_e4m3fn and [first.item(), second.item(), text] == [0.5, 448.0, "text"]


def test_a_field_that_cannot_change_keeps_its_rows(tq):
    tq.get_client().create_partition("p", max_bytes=3000)
    put(tq, x=torch.ones(2, 1000, dtype=torch.int8))
    with pytest.raises(FullError, match="MAXBYTES"):
        tq.kv_put("c", "p", {"x": torch.tensor([0.5])})
    got = tq.kv_batch_get(["a", "b"], "p")["x"]
    assert got.dtype == torch.int8 and got.values().tolist() == [1] * 2000


def test_a_field_with_rows_of_different_rank_changes_in_one_put_or_not_at_all(tq):
    put(tq, "a", x=torch.tensor([1]))
    put(tq, "b", x=torch.tensor([[[2]]]))
    with pytest.raises(ValueError, match="rows of different rank, so it cannot change from int64 to float32"):
        tq.kv_put("c", "p", {"x": torch.tensor(0.5)})
    assert [row.tolist() for row in tq.kv_batch_get(["a", "b"], "p")["x"].tolist()] == [1, [[2]]]
    tq.kv_put("c", "p", {"x": "text"})
    one, two, text = tq.kv_batch_get(["a", "b", "c"], "p")["x"].tolist()
    assert [one.tolist(), two.tolist(), text] == [1, [[2]], "text"]


def test_a_field_of_a_schema_takes_only_what_fits_its_dtype(tq):
    tq.get_client().create_partition("p", fields={"x": torch.int64})
    for _ in range(2):  # without rows, and with rows
        with pytest.raises(ValueError, match="int64 by its schema, not float32"):
            tq.kv_put("a", "p", {"x": torch.tensor(0.5)})
        tq.kv_put("a", "p", {"x": torch.tensor(7, dtype=torch.int8)})
    assert tq.kv_batch_get("a", "p")["x"].tolist() == [7]


@pytest.mark.parametrize("write", ["put", "update"])
def test_a_field_that_two_writers_change_fits_both(tq, monkeypatch, write):
    put(tq, x=torch.tensor([1, 2], dtype=torch.int32))
    common = _mixed._common

    def overtaken(one, other):
        monkeypatch.setattr(_mixed, "_common", common)
        tq.kv_put("c", "p", {"x": torch.tensor(0.1, dtype=torch.float64)})
        return common(one, other)

    monkeypatch.setattr(_mixed, "_common", overtaken)
    if write == "put":
        tq.kv_put("a", "p", {"x": torch.tensor(3)})
    else:
        tq.kv_update("a", "p", "x", torch.tensor(3, dtype=torch.int32), lambda old, new: new)
    assert tq.kv_batch_get(["a", "b", "c"], "p")["x"].tolist() == [3, 2, 0.1]


def test_the_metadata_client_takes_other_dtypes_too(tq):
    client = tq.get_client()
    meta = client.put(TensorDict({"x": torch.tensor([1, 2])}, [2]), partition_id="p")
    client.put(TensorDict({"x": torch.tensor([0.5, 1.5])}, [2]), meta)
    assert client.get_data(meta)["x"].tolist() == [0.5, 1.5]


# --- kv_update, kv_empty


def append(old, new):
    return new if old is None else torch.cat([old, new])


def test_an_update_replaces_values_by_what_the_parser_returns(tq):
    put(tq, "a", ids=torch.tensor([[1, 2]]), n=torch.tensor([3]))
    tq.kv_update("a", "p", "ids", torch.tensor([5]), append)
    tq.kv_update("a", "p", ["ids", "new"], {"ids": torch.tensor([6]), "new": torch.tensor([7])}, parser=append)
    asyncio.run(tq.async_kv_update("a", "p", "stats", {"r": 0.5}, lambda old, new: {"was": old, **new}))
    got = tq.kv_batch_get("a", "p")
    assert rows(got["ids"]) == [[1, 2, 5, 6]] and rows(got["new"]) == [[7]] and got["n"].tolist() == [3]
    assert got["stats"].tolist() == [{"was": None, "r": 0.5}]


@pytest.mark.parametrize("batch_size", [[], [1]])
def test_an_update_takes_a_tensordict_of_one_row(tq, batch_size):
    put(tq, "a", ids=torch.tensor([[1, 2]]))
    ids, info = torch.tensor([3]).reshape(*batch_size, 1), NonTensorData({"n": 1}, batch_size=batch_size)
    tq.kv_update("a", "p", "ids", TensorDict({"ids": ids}, batch_size), append)
    tq.kv_update("a", "p", ["ids", "info"], TensorDict({"ids": ids, "info": info}, batch_size), append)
    got = tq.kv_batch_get("a", "p")
    assert rows(got["ids"]) == [[1, 2, 3, 3]] and got["info"].tolist() == [{"n": 1}]


def test_updates_of_one_row_at_the_same_time_are_all_kept(tq):
    put(tq, "a", ids=torch.zeros(1, 1))
    threads = [threading.Thread(target=tq.kv_update, args=("a", "p", "ids", torch.full((1,), n), append)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(rows(tq.kv_batch_get("a", "p")["ids"])[0]) == [0, *range(8)]


def test_an_update_that_fails_changes_nothing(tq):
    put(tq, "a", ids=torch.tensor([[1, 2]]))
    with pytest.raises(ZeroDivisionError):
        tq.kv_update("a", "p", "ids", torch.tensor([5]), lambda old, new: 1 / 0)
    assert rows(tq.kv_batch_get("a", "p")["ids"]) == [[1, 2]]


@pytest.mark.parametrize("whole", [False, True])
def test_an_update_does_not_make_a_cleared_row_again(tq, whole):
    tq.kv_batch_put(["a[*]", "a"], "p", {"x": torch.ones(2, 1)})

    def clear(old, new):
        tq.get_client().clear_partition("p") if whole else tq.kv_clear("a[*]", "p")
        return new

    with pytest.raises(ValueError, match="'p' does not exist" if whole else r"key 'a\[\*\]' not found in partition 'p'"):
        tq.kv_update("a[*]", "p", "x", torch.ones(1), clear)
    assert tq.kv_list("p") == ({} if whole else {"p": {"a": {}}})


@pytest.mark.parametrize("whole", [False, True])
def test_an_update_of_a_row_that_is_replaced_meanwhile_starts_again(tq, whole):
    put(tq, "a", x=torch.tensor([[1]]))
    seen = []

    def replace(old, new):
        seen.append(old.tolist())
        if len(seen) == 1:
            tq.get_client().clear_partition("p") if whole else tq.kv_clear("a", "p")
            put(tq, "a", x=torch.tensor([[2]]))
        return torch.cat([old, new])

    tq.kv_update("a", "p", "x", torch.tensor([3]), replace)
    assert seen == [[1], [2]] and rows(tq.kv_batch_get("a", "p")["x"]) == [[2, 3]]


@pytest.mark.parametrize(
    "error, text, arguments",
    [
        (ValueError, "not found", {"key": "z", "values": 1, "parser": append}),
        (ValueError, "requires values", {"parser": append}),
        (TypeError, "parser must be callable", {"values": 1}),
        (ValueError, "same columns", {"fields": ["x", "y"], "values": {"x": 1}, "parser": append}),
        (ValueError, r"expected \['x', 'y'\], got int", {"fields": ["x", "y"], "values": 1, "parser": append}),
        (ValueError, r"expected \['x'\], got \['y'\]", {"values": TensorDict({"y": torch.ones(1)}, []), "parser": append}),
        (ValueError, r"must be one row.*got \[2\]", {"values": TensorDict({"x": torch.ones(2)}, [2]), "parser": append}),
        (ValueError, "must not specify values", {"values": 1, "empty": True}),
        (ValueError, "must not specify parser", {"parser": append, "empty": True}),
    ],
)
def test_wrong_updates_are_errors(tq, error, text, arguments):
    put(tq, "a", x=torch.ones(1, 1))
    with pytest.raises(error, match=text):
        tq.kv_update(**{"key": "a", "partition_id": "p", "fields": "x"} | arguments)


def test_an_emptied_value_stays_ready(tq):
    tq.kv_put("a", "p", {"ids": torch.ones(2, 3), "info": {"x": 1}, "raw": b"bytes"})
    tq.kv_empty("a", "p", ["ids", "info"])
    asyncio.run(tq.async_kv_empty("a", "p", "raw"))
    got = tq.kv_batch_get("a", "p")
    assert got["ids"][0].shape == (0, 3) and got["info"].tolist() == [None] and got["raw"].tolist() == [b""]
    assert tq.get_client().check_production_status(["ids", "info", "raw"], "p")
