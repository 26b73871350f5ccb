"""BatchMeta: the description of a batch of rows, cut, joined and sorted."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensordict import NonTensorStack, TensorDict

from sluice.metadata import BatchMeta


def ragged(*shapes, dtype=torch.float32):
    return torch.nested.as_nested_tensor([torch.zeros(shape, dtype=dtype) for shape in shapes], layout=torch.strided)


def four_rows():
    data = TensorDict(
        {
            "ids": ragged((3,), (2,), (2,), (5,)),
            "reward": torch.zeros(4),
            "image": torch.zeros(4, 2, 3, dtype=torch.uint8),
            "text": NonTensorStack("a", "b", "c", "d"),
        },
        batch_size=4,
    )
    tags = [{"n": i, "of": [i]} for i in range(4)]
    return BatchMeta([7, 3, 5, 1], ["p", "q", "p", "q"], custom_meta=tags, extra_info={"step": 3}).add_fields(data)


def test_fields_of_data_are_described_per_row():
    batch = four_rows()
    assert batch.field_names == ["ids", "image", "reward", "text"]
    assert batch.field_schema["reward"] == {
        "dtype": torch.float32,
        "shape": (),
        "is_nested": False,
        "is_non_tensor": False,
    }
    assert batch.field_schema["image"]["shape"] == (2, 3)
    assert batch.field_schema["ids"]["is_nested"] and batch.field_schema["ids"]["shape"] is None
    assert batch.get_shapes("ids") == [(3,), (2,), (2,), (5,)]
    assert batch.get_dtypes("image") == [torch.uint8] * 4
    assert batch.get_shapes("reward") == [()] * 4
    assert batch.field_schema["text"]["is_non_tensor"] and batch.get_dtypes("text") == [None] * 4
    with pytest.raises(KeyError, match="nope"):
        batch.get_dtypes("nope")
    with pytest.raises(KeyError, match="nope"):
        batch.get_shapes("nope")


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_rows_of_one_shape_are_not_a_nested_field(layout):
    data = torch.nested.nested_tensor([torch.zeros(2, 3), torch.zeros(2, 3)], layout=layout)
    batch = BatchMeta([0, 1], ["p", "p"]).add_fields(TensorDict({"x": data}, batch_size=2))
    assert batch.field_schema["x"] == {
        "dtype": torch.float32,
        "shape": (2, 3),
        "is_nested": False,
        "is_non_tensor": False,
    }
    assert not four_rows().select_samples([1, 2]).field_schema["ids"]["is_nested"]


def test_samples_show_each_row():
    batch = four_rows()
    assert len(batch.samples) == 4
    last = batch.samples[-1]
    assert (last.global_index, last.partition_id, last.production_status) == (1, "q", 1)
    assert last.custom_meta == {"n": 3, "of": [3]}
    assert last.fields["ids"]["shape"] == (5,) and last.fields["image"]["shape"] == (2, 3)
    assert [sample.global_index for sample in batch.samples] == [7, 3, 5, 1]
    assert [sample.global_index for sample in batch.samples[1:3]] == [3, 5]
    with pytest.raises(TypeError):
        last.custom_meta["n"] = 5
    with pytest.raises(IndexError):
        batch.samples[4]


def test_a_batch_is_ready_when_all_rows_are():
    assert four_rows().is_ready
    assert not BatchMeta.empty().is_ready
    batch = BatchMeta([0, 1], ["p", "p"], production_status=[1, 0])
    assert batch.production_status.dtype == np.int8 and not batch.is_ready
    batch.production_status[1] = 1
    assert batch.is_ready


def test_different_lengths_are_named():
    with pytest.raises(ValueError, match="partition_ids must have 2 entries, one per global index, got 1"):
        BatchMeta([0, 1], ["p"])
    with pytest.raises(ValueError, match="production_status must have 2 entries, one per global index, got 3"):
        BatchMeta([0, 1], ["p", "p"], production_status=np.ones(3))
    with pytest.raises(ValueError, match="custom_meta must have 2 entries, one per global index, got 1"):
        BatchMeta([0, 1], ["p", "p"], custom_meta=[{}])
    with pytest.raises(ValueError, match="per_sample_shapes of field 'x' must have 2 entries, one per global index, got 1"):
        BatchMeta([0, 1], ["p", "p"], {"x": {"dtype": torch.float32, "per_sample_shapes": [(1,)]}})


def test_data_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"4 rows, the data have batch_size \[0\]"):
        four_rows().add_fields(TensorDict({"x": torch.zeros(0)}, batch_size=0))
    with pytest.raises(ValueError, match=r"4 rows, the data have batch_size \[\]"):
        four_rows().add_fields(TensorDict({"x": torch.zeros(4)}))


def test_fields_that_are_not_written_yet_can_be_added():
    batch = BatchMeta([0], ["p"]).add_fields(TensorDict({"x": torch.zeros(1)}, batch_size=1), set_all_ready=False)
    assert batch.field_names == ["x"] and not batch.is_ready


def test_metadata_are_pickled_and_compared_in_depth():
    batch = four_rows()
    batch.set_extra_info("mask", torch.tensor([1, 2]))
    again = pickle.loads(pickle.dumps(batch))
    assert again == batch and batch.copy() == batch
    again.extra_info["mask"][0] = 3
    assert again != batch
    assert four_rows() != BatchMeta.empty() and BatchMeta.empty() == BatchMeta.empty()
    renamed = four_rows()
    renamed.custom_meta[0]["n"] = False
    assert renamed != four_rows()  # False is not 0
    with pytest.raises(TypeError, match="unhashable"):
        hash(batch)


def test_copies_share_nothing():
    batch = four_rows()
    parts = [batch.copy(), *batch.chunk(2), batch.select_fields(["ids"]), batch[0], batch.union(batch)]
    for part in parts:
        part.custom_meta[0]["of"].append("mine")
        part.production_status[0] = 0
        part.field_schema["ids"]["dtype"] = None
        part.set_extra_info("step", 9)
    assert batch == four_rows()
    tags = [{"of": []}]
    made = BatchMeta([0], ["p"], custom_meta=tags)
    tags[0]["of"].append(1)
    assert made.custom_meta == [{"of": []}]


def test_extra_info_is_set_read_and_removed():
    batch = BatchMeta.empty({"a": 1})
    batch.set_extra_info("b", [2])
    batch.update_extra_info({"c": 3})
    assert batch.has_extra_info("a") and not batch.has_extra_info("z")
    assert batch.get_extra_info("c") == 3 and batch.get_extra_info("z", 5) == 5
    batch.get_all_extra_info()["b"].append(1)
    assert batch.remove_extra_info("a") == 1 and batch.remove_extra_info("a") is None
    assert batch.extra_info == {"b": [2], "c": 3}
    batch.clear_extra_info()
    assert batch.extra_info == {}


def test_custom_meta_is_set_and_read_per_row():
    batch = BatchMeta([0, 1], ["p", "p"])
    batch.update_custom_meta([{"a": 1}, {"b": 2}])
    batch.update_custom_meta([{"b": 3}, {}])
    batch.update_custom_meta(None)
    assert batch.get_all_custom_meta() == [{"a": 1, "b": 3}, {"b": 2}]
    batch.get_all_custom_meta()[0]["a"] = 9
    assert batch.custom_meta[0]["a"] == 1
    with pytest.raises(ValueError, match="custom_meta must have 2 dicts, one per row, got 1"):
        batch.update_custom_meta([{}])
    batch.clear_custom_meta()
    assert batch.custom_meta == [{}, {}]


def test_rows_are_selected():
    batch = four_rows()
    chosen = batch.select_samples(torch.tensor([2, 0, 2]))
    assert chosen.global_indexes == [5, 7, 5] and chosen.partition_ids == ["p"] * 3
    assert chosen.get_shapes("ids") == [(2,), (3,), (2,)]
    assert [tag["n"] for tag in chosen.custom_meta] == [2, 0, 2]
    assert batch[-1] == batch.select_samples([3]) and batch[1:3] == batch.select_samples([1, 2])
    with pytest.raises(ValueError, match="-1 is not a position in a batch of 4"):
        batch.select_samples([-1])
    with pytest.raises(ValueError, match="4 is not a position"):
        batch.select_samples([4])
    with pytest.raises(ValueError, match="True is not a position"):
        batch.select_samples(torch.tensor([True, False, True, True]))
    with pytest.raises(IndexError):
        batch[4]
    with pytest.raises(TypeError):
        batch["ids"]


def test_fields_are_selected():
    assert four_rows().select_fields(["text", "ids"]).field_names == ["ids", "text"]
    with pytest.raises(ValueError, match=r"no fields \['nope'\]; it has \['ids', 'image', 'reward', 'text'\]"):
        four_rows().select_fields(["ids", "nope"])


def test_chunks_cover_all_rows():
    assert [len(part) for part in four_rows().chunk(3)] == [2, 1, 1]
    for chunks in (0, -1, 5):
        with pytest.raises(ValueError, match=f"a batch of 4 cannot be cut into {chunks} chunks"):
            four_rows().chunk(chunks)
    by_partition = four_rows().chunk_by_partition()
    assert [(part.partition_ids, part.global_indexes) for part in by_partition] == [
        (["p", "p"], [7, 5]),
        (["q", "q"], [3, 1]),
    ]


def test_concat_refuses_incompatible_batches():
    batch = four_rows()
    with pytest.raises(ValueError, match=r"batch 1 has fields \['ids'\], batch 0 has \['ids', 'image',"):
        BatchMeta.concat([batch, batch.select_fields(["ids"])], validate=False)
    other = four_rows()
    other.field_schema["reward"]["dtype"] = torch.int64
    with pytest.raises(ValueError, match="field 'reward' is torch.int64 in batch 1, torch.float32 in batch 0"):
        BatchMeta.concat([batch, other])
    other = four_rows()
    other.set_extra_info("step", 4)
    with pytest.raises(ValueError, match="extra_info 'step' is 4 in batch 1, 3 in an earlier batch"):
        BatchMeta.concat([batch, other])


def test_concat_joins_rows():
    batch = four_rows()
    other = four_rows()
    other.extra_info = {"tensor": torch.ones(2)}
    joined = BatchMeta.concat([batch, BatchMeta.empty({"end": True}), other, other])
    assert joined.global_indexes == [7, 3, 5, 1] * 3
    assert joined.extra_info["step"] == 3 and joined.extra_info["tensor"] is other.extra_info["tensor"]
    assert BatchMeta.concat([]) == BatchMeta.empty()
    assert BatchMeta.concat([BatchMeta.empty({"end": True})]).extra_info == {"end": True}


def test_concat_of_dense_fields_of_different_shapes_is_nested():
    one = BatchMeta([0], ["p"]).add_fields(TensorDict({"x": torch.zeros(1, 3)}, batch_size=1))
    two = BatchMeta([1], ["p"]).add_fields(TensorDict({"x": torch.zeros(1, 5)}, batch_size=1))
    joined = BatchMeta.concat([one, two])
    assert joined.field_schema["x"]["is_nested"] and joined.get_shapes("x") == [(3,), (5,)]


def test_union_joins_fields():
    batch = four_rows()
    other = BatchMeta(batch.global_indexes, batch.partition_ids, custom_meta=[{"n": -1}] * 4, extra_info={"step": 4})
    other.add_fields(TensorDict({"new": torch.zeros(4), "reward": torch.zeros(4, 2)}, batch_size=4))
    other.production_status[2] = 0
    joined = batch.union(other)
    assert joined.field_names == ["ids", "image", "new", "reward", "text"]
    assert joined.field_schema["reward"]["shape"] == (2,)
    assert joined.production_status.tolist() == [1, 1, 0, 1]
    assert joined.custom_meta == [{"n": -1, "of": [i]} for i in range(4)] and joined.extra_info == {"step": 4}
    assert batch == four_rows()
    assert batch.union(BatchMeta.empty()) == batch == BatchMeta.empty().union(batch)
    with pytest.raises(ValueError, match="global_indexes differ"):
        batch.union(batch[::-1])
    elsewhere = batch.copy()
    elsewhere.partition_ids[0] = "z"
    with pytest.raises(ValueError, match="partition_ids differ"):
        batch.union(elsewhere)


def test_reorder_is_in_place_and_needs_each_row_once():
    batch = four_rows()
    batch.reorder([3, 0, 1, 2])
    assert batch == four_rows().select_samples([3, 0, 1, 2])
    for wrong, why in [
        ([0, 1, 2], "one per row, got 3"),
        ([0, 1, 2, 2], "duplicate position 2"),
        ([0, 1, 2, -1], "-1 is not a position"),
        ([0, 1, 2, 4], "4 is not a position"),
    ]:
        with pytest.raises(ValueError, match=why):
            batch.reorder(wrong)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("pq"), st.integers(0, 2)), min_size=1), st.data())
def test_cut_batches_can_be_joined_again(rows, data):
    batch = BatchMeta([i for i, _, _ in rows], [p for _, p, _ in rows], custom_meta=[{"l": n} for _, _, n in rows])
    batch.add_fields(TensorDict({"x": ragged(*((n,) for _, _, n in rows))}, batch_size=len(rows)))
    chunks = batch.chunk(data.draw(st.integers(1, len(rows))))
    assert max(map(len, chunks)) - min(map(len, chunks)) <= 1
    assert BatchMeta.concat(chunks) == batch
    order = data.draw(st.permutations(range(len(rows))))
    batch.reorder(order)
    assert [tag["l"] for tag in batch.custom_meta] == [rows[i][2] for i in order]
    batch.reorder([order.index(i) for i in range(len(rows))])
    assert BatchMeta.concat(chunks) == batch
