"""The KV interface: return values, refused calls, and no lost data."""

import json

import numpy as np
import pytest
import torch
from streaming_cases import call
from tensordict import NonTensorStack, TensorDict

import sluice as tq


@pytest.fixture(autouse=True)
def session(sluice_url):
    yield tq.init(sluice_url)
    tq.close()


def put(keys="ab", **fields):
    return tq.kv_batch_put(list(keys), "p", fields or {"x": torch.arange(len(keys))}, [{"k": key} for key in keys])


def raises(error, text):
    return pytest.raises(error, match=text)


def test_a_put_returns_the_current_fields_and_tags():
    first = put(x=torch.zeros(2, 3), y=[1, "é"])
    assert first == tq.KVBatchMeta(["a", "b"], [{"k": "a"}, {"k": "b"}], "p", ["x", "y"])
    second = tq.kv_put("a", "p", {"z": 0.5}, tag={"n": 1, "k": None})
    assert second == tq.KVBatchMeta(["a"], [{"n": 1}], "p", ["x", "y", "z"])
    both = tq.kv_batch_put(["b", "a"], "p", tags=[{"m": 2}, {}])
    assert both == tq.KVBatchMeta(["b", "a"], [{"k": "b", "m": 2}, {"n": 1}], "p", ["x", "y"])


def test_a_put_is_one_command():
    call("CONFIG", "RESETSTAT")
    tq.kv_batch_put(["a", "b"], "p", {"x": torch.arange(2)}, [{"n": 1}, {}])
    tq.kv_put("a", "p", tag={"n": 2})
    stats = bytes(call("INFO", "commandstats")).decode()
    assert "cmdstat_kv.mput:calls=2," in stats and "cmdstat_kv.fields" not in stats and "cmdstat_kv.tags" not in stats


def test_rows_are_returned_in_the_requested_order():
    put("abc", x=torch.tensor([10, 20, 30]))
    assert tq.kv_batch_get(["c", "a", "c"], "p")["x"].tolist() == [30, 10, 30]
    got = tq.kv_batch_get("b", "p", "x")
    assert got.batch_size == (1,) and got["x"].tolist() == [20]


@pytest.mark.parametrize("name", ["__num_turns__", "x.values", "x.shapes", "%", "__metadata__"])
def test_a_field_may_have_any_name(name):
    put(**{name: torch.arange(2), "x": torch.ones(2)})
    got = tq.kv_batch_get(["b", "a"], "p")
    assert set(got.keys()) == {name, "x"} and got[name].tolist() == [1, 0]


def test_returned_tensors_are_writable_and_alias_nothing():
    put(x=torch.zeros(2, 5000), y=torch.zeros(2), z=[torch.zeros(3), torch.zeros(9000)])
    one, two = tq.kv_batch_get(["a", "b"], "p"), tq.kv_batch_get(["a", "b"], "p")
    for name in ("x", "y"):
        one[name] += 1
        assert not two[name].any() and one[name].all()
    one["z"].values().add_(1)
    assert not two["z"].values().any()


def test_metadata_select_the_rows_and_fields_of_a_get():
    meta = put(x=torch.arange(2), y=torch.arange(2) * 2)
    assert set(tq.kv_batch_get_by_meta(meta).keys()) == {"x", "y"}
    assert list(tq.kv_batch_get_by_meta(meta, "y").keys()) == ["y"]
    tq.kv_put("a", "p", {"later": 1})
    assert set(tq.kv_batch_get_by_meta(meta).keys()) == {"x", "y"}
    with raises(ValueError, "no fields .'z'.; it has .'x', 'y'."):
        tq.kv_batch_get_by_meta(meta, ["x", "z"])
    with raises(ValueError, "no partition_id"):
        tq.kv_batch_get_by_meta(tq.KVBatchMeta(["a"], [{}]))


def test_list_returns_the_tags_of_all_partitions():
    assert tq.kv_list() == {}
    put("ba")
    tq.kv_put("k", "other", tag={"list": [1, {"é": None}], "n": 2**70})
    assert tq.kv_list("p") == {"p": {"b": {"k": "b"}, "a": {"k": "a"}}}
    assert list(tq.kv_list("p")["p"]) == ["b", "a"]
    assert tq.kv_list() == {"p": tq.kv_list("p")["p"], "other": {"k": {"list": [1, {"é": None}], "n": 2**70}}}
    assert tq.kv_list("nowhere") == {"nowhere": {}}


@pytest.mark.parametrize("n", [2**63, -(2**63) - 1, 2**64, 2**64 + 1, -(2**128), 1.0, -0.0, 0.1, 2.0**64, 5e-324])
def test_numbers_in_tags_are_returned_as_they_were_put(n):
    tag = {"n": n, "deep": {"list": [n, str(n)]}}
    assert repr(tq.kv_put("a", "p", tag=tag).tags) == repr([tag])  # repr() tells 1 from 1.0, and 0.0 from -0.0
    [merged] = tq.kv_batch_put(["a"], "p", tags=[{"more": 1}]).tags
    assert repr(merged) == repr(tq.kv_list("p")["p"]["a"]) == repr(tag | {"more": 1})


def test_a_long_list_is_complete():
    keys = [f"key-{i}" for i in range(5000)]
    tq.kv_batch_put(keys, "p", tags=[{"i": i} for i in range(5000)])
    assert tq.kv_list("p")["p"] == {key: {"i": i} for i, key in enumerate(keys)}


def test_clear_removes_rows_and_partitions():
    put("abc")
    tq.kv_clear("a", "p")
    tq.kv_clear(["a", "b", "nope"], "p")
    assert list(tq.kv_list("p")["p"]) == ["c"]
    tq.kv_clear("a", "nowhere")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: tq.kv_batch_get(["a", "nope"], "p"), "partition 'p' has no row 'nope'"),
        (lambda: tq.kv_batch_get("a", "nowhere"), "partition 'nowhere'"),
        (lambda: tq.kv_batch_get("a", "p", ["x", "nope"]), "nope"),
        (lambda: tq.kv_batch_get(["a", "b"], "p", "half"), "'half'.*'b'"),
        (lambda: tq.kv_batch_get(["a", "b"], "p"), "field 'half' of row 'b' is not ready"),
        (lambda: tq.kv_batch_get([], "p"), "keys is empty"),
        (lambda: tq.kv_batch_get("a", "p", []), "select_fields is empty"),
        (lambda: tq.kv_batch_get(["a\nb"], "p"), "keys: invalid name 'a.nb'"),
        (lambda: tq.kv_batch_get(["a", 3], "p"), "keys: invalid name 3"),
        (lambda: tq.kv_clear([], "p"), "keys is empty"),
        (lambda: tq.kv_batch_put(["a"], "p"), "expected fields or tags"),
        (lambda: tq.kv_batch_put(["a", "a"], "p", {"x": torch.zeros(2)}), "'a'"),
        (lambda: tq.kv_batch_put(["a"], "p", tags=[{}, {}]), "1 keys, got 2 tags"),
        (lambda: tq.kv_batch_put(["a"], "p", tags=[{"x": float("nan")}]), "the tag of 'a' is not JSON"),
        (lambda: tq.kv_put("a", "p", tag={"x": {1, 2}}), "the tag of 'a' is not JSON"),
        (lambda: tq.kv_batch_put(["a"], "p", {"x": torch.zeros(2)}), "field 'x' has shape .2."),
        (lambda: tq.kv_batch_put(["a"], "p", {"x": torch.tensor(1)}), "field 'x' has shape .."),
        (lambda: tq.kv_batch_put(["a"], "p", {"x": torch.nested.nested_tensor([torch.zeros(1)] * 2)}), "2 rows, expected 1"),
        (lambda: tq.kv_batch_put(["a"], "p", {"x": ["u", "v"]}), "field 'x' has 2 values for 1 rows"),
        (lambda: tq.kv_batch_put(["a", "b"], "p", {"n": [torch.zeros(1), torch.zeros(1, 1)]}), "field 'n': row 1 .*rank 2"),
        (lambda: tq.kv_batch_put(["a"], "p", {"x": torch.zeros(1)}), "field 'x' of partition 'p' is int64, not float32"),
        (lambda: tq.kv_put("a", "p", {"x": torch.nested.nested_tensor([torch.zeros(1)])}), "'x' is a nested tensor"),
        (lambda: tq.kv_put("a", "p", TensorDict({}, batch_size=[2])), "kv_put takes one row"),
    ],
)
def test_wrong_calls_are_value_errors_that_name_the_argument(call, text):
    put("ab", x=torch.arange(2))
    tq.kv_put("a", "p", {"half": torch.zeros(2)})
    before = tq.kv_list(), tq.kv_batch_get("a", "p")["x"].tolist()
    with raises(ValueError, text):
        call()
    assert (tq.kv_list(), tq.kv_batch_get("a", "p")["x"].tolist()) == before


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (torch.zeros(1, dtype=torch.complex64), "field 'x' is torch.complex64; the server stores bool, uint8"),
        (np.zeros(1, dtype="datetime64[s]"), "field 'x' is a NumPy array of datetime64"),
        ([{1, 2}], "field 'x', row 0: JSON cannot represent this set exactly"),
        ([(1, 2)], "this tuple"),
        ([{1: 2}], "this dict"),
        ([[float("inf")]], r"row 0, at \[0\]: JSON cannot represent inf"),
        ("text", "field 'x' is a str; expected"),
        (TensorDict({"y": torch.zeros(1)}, batch_size=[1]), "'x' is a TensorDict.*flatten_keys"),
    ],
)
def test_values_that_cannot_be_stored_are_type_errors(value, text):
    with raises(TypeError, text):
        tq.kv_batch_put(["a"], "p", {"x": value})
    assert tq.kv_list() == {}


def test_kv_put_takes_one_row_s_values():
    row = {
        "tensor": torch.arange(6).reshape(2, 3),
        "scalar": torch.tensor(0.5, dtype=torch.bfloat16),
        "array": np.arange(3, dtype=np.int16),
        **{"text": "é", "bytes": b"\x80\x00", "number": 3, "none": None, "list": [1, "a"], "dict": {"a": [True]}},
    }
    tq.kv_put("a", "p", row)
    got = tq.kv_batch_get("a", "p")
    assert torch.equal(got["tensor"], row["tensor"][None]) and got["scalar"].dtype == torch.bfloat16
    assert got["array"].dtype == torch.int16 and got["array"].tolist() == [[0, 1, 2]]
    for name in ("text", "bytes", "number", "none", "list", "dict"):
        assert got.get(name).tolist() == [row[name]]
    tq.kv_put("b", "p", TensorDict({"tensor": torch.zeros(1, 2, 3, dtype=torch.int64)}, batch_size=[1]))
    tq.kv_put("c", "p", TensorDict({"tensor": torch.ones(2, 3, dtype=torch.int64)}, batch_size=[]))
    assert tq.kv_batch_get(["a", "b", "c"], "p", "tensor")["tensor"].shape == (3, 2, 3)


def test_rows_of_a_field_may_mix_strings_and_other_values():
    for i, value in enumerate(["text", None, {"a": 1}, 7, ["x"], ""]):
        tq.kv_put(f"k{i}", "p", {"v": value})
    assert tq.kv_batch_get([f"k{i}" for i in range(6)], "p").get("v").tolist() == ["text", None, {"a": 1}, 7, ["x"], ""]


def test_strings_are_put_into_another_clients_text_field(server):
    with server.client() as client:
        client.execute_command("KV.PUT", "p", "a", "FIELD", "s", "utf8", "BLOB", "é")
        tq.kv_put("b", "p", {"s": "ö", "t": "new"})
        assert client.execute_command("KV.MGET", "p", "KEYS", 1, "b", "FIELDS", 1, "s", "FORMAT", "values")[0][0][3] == [
            "ö".encode()
        ]
    assert tq.kv_batch_get(["a", "b"], "p", "s").get("s").tolist() == ["é", "ö"]
    with raises(TypeError, "field 's' is utf8: its values must be str"):
        tq.kv_put("c", "p", {"s": None})


def test_arrays_of_objects_are_rows():
    tq.kv_batch_put(["a", "b"], "p", TensorDict({"s": np.array(["x", {"y": 1}], dtype=object)}, batch_size=[2]))
    assert tq.kv_batch_get(["b", "a"], "p").get("s").tolist() == [{"y": 1}, "x"]


def test_pickles_need_permission(sluice_url):
    tq.init({"allow_pickle": True})
    values = [{1, 2}, (1, (2, 3))]
    tq.kv_batch_put(["a", "b"], "p", {"v": NonTensorStack(*values), "x": [1, 2]})
    assert tq.kv_batch_get(["a", "b"], "p").get("v").tolist() == values
    tq.init({"allow_pickle": False})
    with raises(ValueError, "field 'v' holds a pickled Python object"):
        tq.kv_batch_get(["a", "b"], "p")
    assert tq.kv_batch_get(["a", "b"], "p", "x").get("x").tolist() == [1, 2]


def test_data_parser_changes_values_in_the_caller():
    seen = {}

    def load(columns):
        seen.update({name: type(value) for name, value in columns.items()})
        columns["image"][:] = [torch.full((len(url),), i) for i, url in enumerate(columns["image"])]
        columns["n"] *= 2

    jagged = torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)], layout=torch.jagged)
    batch = TensorDict({"image": NonTensorStack("u", "vv"), "n": torch.arange(2), "j": jagged}, batch_size=[2])
    tq.kv_batch_put(["a", "b"], "p", batch, data_parser=load)
    assert seen == {"image": list, "n": torch.Tensor, "j": list}
    got = tq.kv_batch_get(["a", "b"], "p")
    assert [row.tolist() for row in got["image"].unbind()] == [[0], [1, 1]] and got["n"].tolist() == [0, 2]
    tq.kv_put("c", "p", {"image": "www"}, data_parser=lambda columns: columns.update(image=[torch.zeros(3, dtype=torch.int64)]))
    assert tq.kv_batch_get("c", "p", "image")["image"].shape == (1, 3)


@pytest.mark.parametrize("change", [lambda c: c.pop("s"), lambda c: c.update(new=[1]), lambda c: c["s"].append("y")])
def test_data_parser_must_keep_fields_and_rows(change):
    with raises(ValueError, "data_parser added or removed field '(s|new)'"):
        tq.kv_batch_put(["a"], "p", {"s": ["x"]}, data_parser=change)
    assert tq.kv_list() == {}


def test_equal_rows_are_stored_once(server):
    prompts = torch.arange(4).repeat_interleave(8)[:, None].expand(32, 4000).contiguous()
    keys = [str(i) for i in range(32)]
    tq.kv_batch_put(keys, "p", {"prompt": prompts, "n": torch.arange(32)}, dedup=True)
    with server.client() as client:
        fields = {entry[0]: entry[4] for entry in client.execute_command("KV.FIELDS", "p")}
    assert fields == {b"prompt": 4 * 4000 * 8, b"n": 32 * 8}
    for dedup in (False, True):
        got = tq.kv_batch_get(keys, "p", dedup=dedup)
        assert torch.equal(got["prompt"], prompts) and got["n"].tolist() == list(range(32))


def test_a_put_into_a_full_partition_is_an_error(server):
    with server.client() as client:
        client.execute_command("PARTITION.CREATE", "p", "MAXROWS", 2)
        put("ab")
        with raises(tq.FullError, "'p'"):
            tq.kv_put("c", "p", {"x": torch.tensor(1)}, wait_s=0.05)
        with raises(tq.FullError, "'p'"):
            tq.kv_batch_put(["c"], "p", {"x": torch.ones(1, dtype=torch.int64)})
    assert list(tq.kv_list("p")["p"]) == ["a", "b"]


def test_a_tag_and_its_data_are_written_together(server):
    tq.kv_put("a", "p", {"x": 1}, tag={"s": 1})
    with server.client() as client:
        [tag] = client.execute_command("KV.TAGS", "p", "KEYS", 1, "a")
    assert json.loads(tag) == {"s": 1}
