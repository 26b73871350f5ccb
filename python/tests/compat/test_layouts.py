"""The layout of the tensors that a get returns: dense, jagged in one dimension, or strided."""

import pytest
import torch
from batches import same_tensor
from tensordict import TensorDict

import sluice as tq

EQUAL = [torch.arange(3), torch.arange(3) + 5]
LONGER = [torch.arange(2), torch.arange(4)]
WIDER = [torch.arange(12).reshape(4, 3), torch.arange(20).reshape(4, 5)]
READERS = ["keys", "meta", "data", "fetch", "dataset"]


def put(rows):
    keys = [str(i) for i in range(len(rows))]
    return tq.kv_batch_put(keys, "p", {"x": rows})


def read(reader, layout):
    """Reads the field of the two rows of partition p in this way."""
    client = tq.get_client()
    if reader == "keys":
        return tq.kv_batch_get(["0", "1"], "p", layout=layout)["x"]
    if reader == "meta":
        return tq.kv_batch_get_by_meta(tq.KVBatchMeta(["0", "1"], [{}, {}], "p", ["x"]), layout=layout)["x"]
    if reader == "data":
        return client.get_data(client.kv_retrieve_meta(["0", "1"], "p"), layout=layout)["x"]
    if reader == "fetch":
        return client.fetch(["x"], 2, "p", "t", keep=True, layout=layout).data["x"]
    dataset = tq.StreamingDataset(client._session.config, 2, 2, ["x"], "p", "t", 0, layout=layout)
    return next(iter(dataset))[0]["x"]


def has_rows(column, rows):
    return all(same_tensor(got, put) for got, put in zip(column.unbind(), rows, strict=True))


@pytest.mark.parametrize("reader", READERS)
def test_rows_of_one_shape_are_dense_unless_the_layout_is_jagged(client, reader):
    put(EQUAL)
    assert not read(reader, "auto").is_nested and not read(reader, "dense").is_nested
    column = read(reader, "jagged")
    assert column.layout == torch.jagged and has_rows(column, EQUAL)
    assert column.offsets().tolist() == [0, 3, 6] and column.values().tolist() == [0, 1, 2, 5, 6, 7]


@pytest.mark.parametrize("reader", READERS)
def test_rows_that_differ_in_a_later_dimension_are_jagged_in_that_one(client, reader):
    put(WIDER)
    for layout in ("auto", "jagged"):
        column = read(reader, layout)
        assert column.layout == torch.jagged and column._ragged_idx == 2 and has_rows(column, WIDER)
        assert column.to_padded_tensor(0).shape == (2, 4, 5)


@pytest.mark.parametrize("reader", READERS)
def test_dense_refuses_rows_of_different_shapes_and_names_them(client, reader):
    put(LONGER)
    with pytest.raises(ValueError, match=r"field 'x' is not dense: row 1 has shape \[4\], row 0 \[2\]"):
        read(reader, "dense")


def test_dense_refuses_rows_of_different_rank(client):
    put([torch.zeros(2)])
    tq.kv_put("1", "p", {"x": torch.zeros(2, 2)})
    with pytest.raises(ValueError, match=r"row 1 has shape \[2, 2\], row 0 \[2\]"):
        tq.kv_batch_get(["0", "1"], "p", layout="dense")


@pytest.mark.parametrize("rows", [EQUAL, LONGER, WIDER, [torch.zeros(0, 2), torch.zeros(0, 2)]])
def test_a_put_takes_what_a_jagged_get_returned(client, rows):
    put(rows)
    got = tq.kv_batch_get(["0", "1"], "p", layout="jagged")
    tq.kv_batch_put(["a", "b"], "p", got)
    assert has_rows(tq.kv_batch_get(["a", "b"], "p")["x"], rows)
    assert client.put(got, partition_id="q").get_shapes("x") == [tuple(row.shape) for row in rows]


def test_scalars_and_objects_have_no_layout(client):
    tq.kv_batch_put(["0", "1"], "p", {"x": torch.arange(2), "text": ["a", "b"]})
    got = tq.kv_batch_get(["0", "1"], "p", layout="jagged")
    assert got["x"].tolist() == [0, 1] and not got["x"].is_nested and got["text"].tolist() == ["a", "b"]


def test_shared_rows_are_jagged_too(client):
    tq.kv_batch_put(["0", "1", "2"], "p", {"x": torch.tensor([[1, 2], [1, 2], [3, 4]])}, dedup=True)
    column = tq.kv_batch_get(["2", "0", "1"], "p", dedup=True, layout="jagged")["x"]
    assert column.values().tolist() == [3, 4, 1, 2, 1, 2]


@pytest.mark.parametrize("layout", ["jagged", "dense"])
def test_rows_of_several_partitions_have_one_layout(client, layout):
    one = client.put(TensorDict({"x": torch.arange(4).reshape(2, 2)}, [2]), partition_id="p")
    two = client.put(TensorDict({"x": torch.arange(2).reshape(1, 2)}, [1]), partition_id="q")
    batch = tq.BatchMeta.concat([one, two])
    batch.reorder([2, 0, 1])
    column = client.get_data(batch, layout=layout)["x"]
    assert column.is_nested == (layout == "jagged") and [row.tolist() for row in column.unbind()] == [[0, 1], [0, 1], [2, 3]]
    uneven = tq.BatchMeta.concat(
        [batch, client.put(TensorDict({"x": torch.zeros(1, 5, dtype=torch.int64)}, [1]), partition_id="q")]
    )
    with pytest.raises(ValueError, match=r"row 3 has shape \[5\]"):
        client.get_data(uneven, layout="dense")


def test_other_layouts_and_padding_of_jagged_are_refused(client):
    put(EQUAL)
    with pytest.raises(ValueError, match="layout must be one of auto, jagged, dense, got 'strided'"):
        tq.kv_batch_get("0", "p", layout="strided")
    with pytest.raises(ValueError, match="cannot be combined with layout 'jagged'"):
        tq.kv_batch_get("0", "p", pad=("right", 0), layout="jagged")
