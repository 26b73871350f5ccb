"""KVBatchMeta: keys and tags of a batch, cut, joined and sorted."""

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sluice.metadata import KVBatchMeta


def three_keys(**changed):
    values = {
        "keys": ["a", "b", "c"],
        "tags": [{"n": 0}, {"n": 1}, {"n": 2}],
        "partition_id": "p",
        "fields": ["x", "y"],
    }
    return KVBatchMeta(**values | {"extra_info": {"step": 1}} | changed)


def test_errors_name_the_wrong_part():
    with pytest.raises(ValueError, match="expected one tag per key: 3 keys, got 1 tags"):
        three_keys(tags=[{}])
    with pytest.raises(ValueError, match="duplicate key 'a'"):
        three_keys(keys=["a", "b", "a"])
    with pytest.raises(ValueError, match="duplicate field 'x'"):
        three_keys(fields=["x", "x"])
    assert len(KVBatchMeta()) == KVBatchMeta().size == 0 and KVBatchMeta().extra_info == {}
    assert three_keys().size == len(three_keys()) == 3


def test_tags_are_copied():
    tags = [{"list": [1], "tensor": torch.zeros(1)}]
    info = {"list": [1]}
    batch = KVBatchMeta(["a"], tags, extra_info=info)
    tags[0]["list"].append(2)
    tags[0]["tensor"] += 1
    info["list"].append(2)
    assert batch.tags[0]["list"] == [1] and batch.tags[0]["tensor"] == 0 and batch.extra_info == {"list": [1]}
    batch.chunk(1)[0].tags[0]["list"].append(3)
    assert batch.tags[0]["list"] == [1]


def test_metadata_are_pickled_and_compared_in_depth():
    batch = three_keys(extra_info={"tensor": torch.tensor([1, 2])})
    assert pickle.loads(pickle.dumps(batch)) == batch == copy.deepcopy(batch)
    assert batch != three_keys(extra_info={"tensor": torch.tensor([1, 3])})
    assert batch != three_keys(extra_info={"tensor": torch.tensor([1, 2], dtype=torch.int32)})
    with pytest.raises(TypeError, match="unhashable"):
        hash(batch)


def test_keys_are_selected():
    chosen = three_keys().select_keys(["c", "a"])
    assert chosen == three_keys(keys=["c", "a"], tags=[{"n": 2}, {"n": 0}])
    with pytest.raises(ValueError, match=r"the batch has no keys \['z'\]"):
        three_keys().select_keys(["a", "z"])
    with pytest.raises(ValueError, match="duplicate key 'a'"):
        three_keys().select_keys(["a", "a"])


def test_reorder_is_in_place_and_needs_each_position_once():
    batch = three_keys()
    batch.reorder([2, 0, 1])
    assert batch == three_keys(keys=["c", "a", "b"], tags=[{"n": 2}, {"n": 0}, {"n": 1}])
    for wrong, why in [
        ([0, 1], "one per row, got 2"),
        ([0, 1, 1], "duplicate position 1"),
        ([0, 1, -1], "-1 is not a position"),
    ]:
        with pytest.raises(ValueError, match=why):
            batch.reorder(wrong)


def test_chunks_cover_all_keys():
    assert [part.keys for part in three_keys().chunk(2)] == [["a", "b"], ["c"]]
    for chunks in (0, 4):
        with pytest.raises(ValueError, match=f"a batch of 3 cannot be cut into {chunks} chunks"):
            three_keys().chunk(chunks)


def test_concat_refuses_incompatible_batches():
    batch = three_keys()
    other = {"keys": ["d", "e", "f"]}
    with pytest.raises(ValueError, match="batch 1 is of partition 'q', batch 0 of 'p'"):
        KVBatchMeta.concat([batch, three_keys(**other, partition_id="q")])
    with pytest.raises(ValueError, match=r"batch 1 has fields \['x'\], batch 0 has \['x', 'y'\]"):
        KVBatchMeta.concat([batch, three_keys(**other, fields=["x"])])
    with pytest.raises(ValueError, match="extra_info 'step' is True in batch 1, 1 in an earlier batch"):
        KVBatchMeta.concat([batch, three_keys(**other, extra_info={"step": True})])
    with pytest.raises(ValueError, match="duplicate key 'a'"):
        KVBatchMeta.concat([batch, batch])


def test_concat_joins_keys():
    other = three_keys(keys=["d", "e", "f"], fields=["y", "x"], extra_info={"more": [2]})
    joined = KVBatchMeta.concat([three_keys(), KVBatchMeta(), other])
    assert joined.keys == list("abcdef") and joined.fields == ["x", "y"] and joined.partition_id == "p"
    assert joined.extra_info == {"step": 1, "more": [2]}
    assert KVBatchMeta.concat([three_keys(), three_keys(keys=["d", "e", "f"], fields=None)]).fields is None
    assert KVBatchMeta.concat([]) == KVBatchMeta()
    assert KVBatchMeta.concat([KVBatchMeta(partition_id="p")]).partition_id == "p"


@given(st.lists(st.text(), min_size=1, unique=True), st.data())
def test_cut_batches_can_be_joined_again(keys, data):
    batch = KVBatchMeta(keys, [{"key": key} for key in keys], "p")
    chunks = batch.chunk(data.draw(st.integers(1, len(keys))))
    assert max(map(len, chunks)) - min(map(len, chunks)) <= 1
    assert KVBatchMeta.concat(chunks) == batch
