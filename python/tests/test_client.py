"""The metadata client against a real server: batches by row indexes, as in TransferQueue's client."""

import pytest
import torch
from client_cases import data_of, same
from streaming_cases import call
from tensordict import NonTensorStack, TensorDict

from sluice import session
from sluice.client import AsyncTransferQueueClient, TransferQueueClient, get_client
from sluice.errors import NotInitialized, RequestError
from sluice.metadata import BatchMeta
from sluice.wire import packed


def test_data_that_are_put_can_be_read(client):
    data = data_of(3, 1, 2)
    meta = client.put(data, partition_id="p")
    assert meta.global_indexes == [0, 1, 2] and meta.partition_ids == ["p"] * 3 and meta.is_ready
    assert meta.get_shapes("ids") == [(3,), (1,), (2,)] and meta.get_shapes("reward") == [()] * 3
    same(client.get_data(meta), data)
    same(client.get_data(meta.select_samples([2, 0])), data_of(2, 3))
    chosen = client.get_data(meta.select_samples([1, 1]).select_fields(["ids", "text"]))
    assert chosen["ids"].tolist() == [[100], [100]] and chosen["text"] == ["text 1", "text 1"]
    assert set(chosen.keys()) == {"ids", "text"}
    assert client.get_data(BatchMeta.empty()).batch_size == torch.Size([0])


def test_several_partitions_are_read_in_the_order_of_the_metadata(client):
    p = client.put(data_of(3, 1), partition_id="p")
    q = client.put(data_of(2, 5), partition_id="q")
    both = BatchMeta.concat([p, q])
    both.reorder([3, 0, 2, 1])
    same(client.get_data(both), data_of(5, 3, 2, 1))
    r = client.put(data_of(4), partition_id="r")
    same(client.get_data(BatchMeta.concat([p[:1], q[:1], r, p[1:]])), data_of(3, 2, 4, 1))
    client.clear_partition("r")
    # dense in one, dense of the same shape in the other, and a write across both
    update = TensorDict({"new": torch.arange(4), "name": NonTensorStack(*"abcd")}, batch_size=4)
    both.update_custom_meta([{"n": i} for i in range(4)])
    client.put(update, both)
    assert both.has_extra_info("x") is False and both.field_names == ["ids", "mask", "name", "new", "reward", "text"]
    same(client.get_data(both.select_fields(["new", "name"])), update)
    assert client.kv_list() == {"p": {"0": {"n": 1}, "1": {"n": 3}}, "q": {"0": {"n": 2}, "1": {"n": 0}}}
    same(client.get_data(p.select_fields(["ids"])), data_of(3, 1).select("ids"))


def test_ragged_fields_are_put_into_several_partitions(client):
    p = client.get_meta([], 2, "p", mode="insert")
    q = client.get_meta([], 2, "q", mode="insert")
    both = BatchMeta.concat([p, q])
    both.reorder([0, 2, 1, 3])
    client.put(data_of(3, 1, 2, 4), both)
    same(client.get_data(both), data_of(3, 1, 2, 4))
    p.add_fields(data_of(3, 2))
    same(client.get_data(p), data_of(3, 2))


def test_partitions_with_different_dtypes_are_an_error(client):
    p = client.put(TensorDict({"x": torch.zeros(1)}, batch_size=1), partition_id="p")
    client.put(TensorDict({"x": torch.zeros(1, dtype=torch.int64)}, batch_size=1), partition_id="q")
    both = BatchMeta([0, 0], ["p", "q"], p.field_schema)
    with pytest.raises(ValueError, match=r"field 'x' differs between the partitions: \['torch.float32', 'torch.int64'\]"):
        client.get_data(both)
    client.put(TensorDict({"y": torch.zeros(1)}, batch_size=1), BatchMeta([0], ["p"]))
    client.put(TensorDict({"y": torch.zeros(1, 1)}, batch_size=1), BatchMeta([0], ["q"]))
    schema = {"y": {"dtype": torch.float32, "shape": ()}}
    got = client.get_data(BatchMeta([0, 0], ["p", "q"], schema)).get("y")
    assert [row.shape for row in got.tolist()] == [(), (1,)]


def test_inserted_rows_can_be_put_later(client):
    meta = client.get_meta(["ids"], 2, "p", mode="insert")
    assert meta.global_indexes == [0, 1] and not meta.is_ready and meta.field_names == []
    meta.update_custom_meta([{"uid": "a"}, {"uid": "b"}])
    returned = client.put(data_of(3, 1), meta)
    assert returned is meta and meta.is_ready
    same(client.get_data(meta), data_of(3, 1))
    assert client.kv_list("p") == {"p": {"0": {"uid": "a"}, "1": {"uid": "b"}}}


def test_put_refuses_wrong_data(client):
    meta = client.get_meta([], 2, "p", mode="insert")
    for arguments, why in [
        ((data_of(1),), "put needs metadata or a partition_id"),
        ((data_of(1), meta), r"batch_size \[1\], expected the 2 rows of the metadata"),
        ((TensorDict({}, batch_size=0), None, "p"), r"batch_size \[0\], expected at least one row"),
        ((TensorDict({"x": torch.zeros(3)}), None, "p"), r"batch_size \[\], expected at least one row"),
        ((data_of(1, 2), BatchMeta([0, 7], ["p", "p"])), "no row with index 7"),
        ((data_of(1, 2), BatchMeta([0, 0], ["p", "p"])), "0"),
        ((data_of(1), BatchMeta([0], ["none"])), "'none' does not exist"),
        ((data_of(1, 2), BatchMeta([0, 1], ["p", "p"], custom_meta=[{"x": {1}}, {}])), "tag of '0' is not JSON"),
    ]:
        with pytest.raises(ValueError, match=why):
            client.put(*arguments)
    assert client.kv_list("p") == {"p": {"0": {}, "1": {}}}


def test_data_parser_runs_before_sending(client):
    def load(columns):
        columns["text"] = [text.upper() for text in columns["text"]]
        columns["reward"] += 1

    meta = client.put(data_of(3, 1), partition_id="p", data_parser=load)
    assert meta.get_shapes("ids") == [(3,), (1,)] and meta.field_schema["text"]["is_non_tensor"]
    assert client.get_data(meta)["text"] == ["TEXT 3", "TEXT 1"] and client.get_data(meta)["reward"].tolist() == [4, 2]


def test_parsed_data_are_described(client):
    def load(columns):
        columns["text"] = [torch.full((len(text), 2), 7) for text in columns["text"]]
        columns["mask"] = columns["mask"].numpy()

    meta = client.get_meta([], 2, "p", mode="insert")
    meta = client.put(data_of(3, 10), meta, data_parser=load)
    assert meta.get_shapes("text") == [(6, 2), (7, 2)] and meta.get_dtypes("text") == [torch.int64] * 2
    assert meta.get_shapes("mask") == [(2,), (2,)]
    assert [tuple(row.shape) for row in client.get_data(meta)["text"].unbind()] == [(6, 2), (7, 2)]


def test_text_is_put_into_existing_fields(client, server):
    with server.client() as redis:
        redis.execute_command("KV.PUT", "p", "a", "FIELD", "text", "utf8", "VALUES", "theirs")
    meta = client.put(data_of(3, 1), partition_id="p")
    assert client.get_data(meta)["text"] == ["text 3", "text 1"]
    with pytest.raises(RequestError, match="'reward' of partition 'p' is float32, not int64"):
        client.put(TensorDict({"reward": torch.arange(2)}, batch_size=2), meta)


def test_force_fetch_returns_all_rows(client):
    client.put(data_of(3, 1), partition_id="p")
    client.put(TensorDict({"reward": torch.zeros(1)}, batch_size=1), partition_id="p")
    client.get_meta(["ids"], 2, "p", task_name="t")
    meta = client.get_meta(["ids", "reward"], 0, "p", mode="force_fetch")
    assert meta.global_indexes == [0, 1, 2] and meta.production_status.tolist() == [1, 1, 0]
    assert meta.get_shapes("ids") == [(3,), (1,), None] and not meta.is_ready
    with pytest.raises(RequestError, match=r"no row of partition 'p' has fields \['nope'\]"):
        client.get_meta(["nope"], 0, "p", mode="force_fetch")
    with pytest.raises(RequestError, match="'none' does not exist"):
        client.get_meta(["ids"], 0, "none", mode="force_fetch")


@pytest.mark.timeout(60)
def test_force_fetch_of_many_ragged_rows_returns_all_shapes(client):
    """Some rows lack a field, and another field has rows of different rank. A request per row would fill the socket."""
    rows, partition = 30000, "a-partition-" + "p" * 60
    lengths = [i % 7 + 1 for i in range(rows)]
    values = torch.arange(sum(lengths))
    ids = torch.nested.nested_tensor_from_jagged(values, torch.tensor([0, *lengths]).cumsum(0))
    meta = client.put(TensorDict({"ids": ids, "late": ids}, batch_size=rows), partition_id=partition)
    client.put(TensorDict({"x": torch.zeros(rows, 2)}, batch_size=rows), meta)
    client.put(TensorDict({"x": torch.zeros(2, 3, 1)}, batch_size=2), meta[1:3])
    call("KV.CLEAR", partition, "ROWS", packed(range(0, rows, 3)), "FIELDS", 1, "late")
    meta = client.get_meta(["ids", "late", "x"], 0, partition, mode="force_fetch")
    assert meta.get_shapes("ids") == [(length,) for length in lengths]
    assert meta.get_shapes("late") == [None if i % 3 == 0 else (length,) for i, length in enumerate(lengths)]
    assert meta.get_shapes("x") == [(3, 1) if i in (1, 2) else (2,) for i in range(rows)]


def test_errors_name_missing_rows_and_fields(client):
    meta = client.put(data_of(3, 1), partition_id="p")
    client.put(TensorDict({"late": torch.zeros(1)}, batch_size=1), meta[0])
    schema = {"late": {"dtype": torch.float32, "shape": ()}}
    with pytest.raises(RequestError, match="'late'.*'1'") as caught:
        client.get_data(BatchMeta([0, 1], ["p", "p"], schema))
    assert caught.value.code == "NOTREADY"
    with pytest.raises(RequestError, match="no row with index 9"):
        client.get_data(BatchMeta([9], ["p"], schema))
    with pytest.raises(RequestError, match="'nope'"):
        client.get_data(BatchMeta([0], ["p"], {"nope": {}}))


def test_tags_are_written_by_metadata(client):
    meta = client.put(data_of(3, 1), partition_id="p")
    meta.update_custom_meta([{"a": 1}, {"b": 2}])
    client.set_custom_meta(meta)
    meta.clear_custom_meta()
    meta.update_custom_meta([{"a": None, "c": 3}, {}])
    client.set_custom_meta(meta)
    assert client.kv_list("p")["p"] == {"0": {"c": 3}, "1": {"b": 2}}
    with pytest.raises(RequestError, match="no row with index 9"):
        client.set_custom_meta(BatchMeta([9], ["p"]))


def test_rows_and_partitions_are_cleared(client):
    meta = BatchMeta.concat([client.put(data_of(3, 1), partition_id=name) for name in "pq"])
    client.clear_samples(meta.select_samples([0, 3]))
    client.clear_samples(meta.select_samples([0]))  # the row does not exist any more
    assert client.kv_list() == {"p": {"1": {}}, "q": {"0": {}}}
    client.clear_partition("p")
    client.clear_partition("p")
    assert client.get_partition_list() == ["q"]


def test_production_status_shows_written_rows(client):
    assert client.get_production_status(["x"], "p") == (None, None)
    assert client.check_production_status(["x"], "p") is False
    meta = client.put(TensorDict({"x": torch.zeros(3)}, batch_size=3), partition_id="p")
    client.put(TensorDict({"y": torch.zeros(2)}, batch_size=2), meta[:2])
    rows, ready = client.get_production_status(["x", "y"], "p")
    assert (rows.dtype, ready.dtype) == (torch.int64, torch.int8)
    assert rows.tolist() == [0, 1, 2] and ready.tolist() == [1, 1, 0]
    assert client.check_production_status(["x"], "p") is True
    assert client.check_production_status(["x", "y"], "p") is False
    assert client.check_production_status(["unknown"], "p") is False


def test_consumption_status_shows_consumed_rows(client):
    assert client.get_consumption_status("t", "p") == (None, None)
    assert client.check_consumption_status("t", "p") is False
    client.put(data_of(3, 1), partition_id="p")
    rows, consumed = client.get_consumption_status("t", "p")
    assert (rows.dtype, consumed.dtype) == (torch.int64, torch.int8)
    assert rows.tolist() == [0, 1] and consumed.tolist() == [0, 0]
    client.get_meta(["ids"], 1, "p", task_name="t")
    assert client.get_consumption_status("t", "p")[1].tolist() == [1, 0]
    assert client.check_consumption_status("t", "p") is False
    client.get_meta(["ids"], 1, "p", task_name="t")
    assert client.check_consumption_status("t", "p") is True
    assert client.reset_consumption("p", "t") is True
    assert client.get_consumption_status("t", "p")[1].tolist() == [0, 0]
    client.get_meta(["ids"], 2, "p", task_name="t")
    client.reset_consumption("p")
    assert client.check_consumption_status("t", "p") is False
    with pytest.raises(RequestError, match="'none' does not exist"):
        client.reset_consumption("none")


def test_removed_rows_count_as_made(client, server):
    with server.client() as redis:
        redis.execute_command("PARTITION.CREATE", "p", "EXPECT", 2, "TASKS", 1, "t", "AUTOEVICT")
    assert not client.check_production_status(["ids"], "p") and not client.check_consumption_status("t", "p")
    client.put(data_of(3, 1), partition_id="p")
    client.fetch(["reward"], 2, "p", "t")
    assert client.get_consumption_status("t", "p")[0].tolist() == []
    assert client.check_production_status(["ids"], "p") and client.check_consumption_status("t", "p")


def test_expected_rows_are_waited_for(client, server, monkeypatch):
    monkeypatch.setenv("TQ_PRE_ALLOC_SAMPLE_NUM", "3")
    client.put(data_of(3, 1), partition_id="p")
    client.get_meta(["ids"], 2, "p", task_name="t")
    assert not client.check_production_status(["ids"], "p") and not client.check_consumption_status("t", "p")
    client.put(data_of(1), partition_id="p")
    assert client.check_production_status(["ids"], "p") and not client.check_consumption_status("t", "p")
    with server.client() as redis:  # EXPECT is sent once
        redis.execute_command("PARTITION.CREATE", "p", "EXPECT", 4)
    client.get_meta(["ids"], 1, "p", task_name="t")
    assert not client.check_consumption_status("t", "p")
    monkeypatch.setenv("TQ_PRE_ALLOC_SAMPLE_NUM", "many")
    with pytest.raises(RequestError):
        client.put(data_of(1), partition_id="q")


def test_rows_are_found_by_key(client):
    meta = client.kv_retrieve_meta(["b", "a"], "p", create=True)
    assert meta.global_indexes == [0, 1] and meta.field_names == []
    meta.update_custom_meta([{"n": 0}, {"n": 1}])
    client.put(data_of(3, 3), meta)
    client.put(TensorDict({"some": torch.zeros(1)}, batch_size=1), meta[0])
    again = client.kv_retrieve_meta(["a", "b"], "p")
    assert again.global_indexes == [1, 0] and again.field_names == ["ids", "mask", "reward", "text"] and again.is_ready
    assert again.custom_meta == [{"n": 1}, {"n": 0}] and again.get_shapes("ids") == [(3,), (3,)]
    assert client.kv_retrieve_meta("b", "p").field_names == ["ids", "mask", "reward", "some", "text"]
    assert client.kv_retrieve_meta(["c", "b"], "p", create=True).global_indexes == [2, 0]
    assert client.kv_retrieve_keys([1, 0], "p") == ["a", "b"] and client.kv_retrieve_keys(1, "p") == ["a"]
    with pytest.raises(RequestError, match=r"partition 'p' has no rows \['x', 'y'\]"):
        client.kv_retrieve_meta(["x", "a", "y"], "p")
    with pytest.raises(RequestError, match=r"partition 'none' has no rows \['a'\]"):
        client.kv_retrieve_meta(["a"], "none")
    with pytest.raises(RequestError, match=r"partition 'p' has no rows with indexes \[7\]"):
        client.kv_retrieve_keys([0, 7], "p")


def test_both_names_return_the_same_client(client):
    assert AsyncTransferQueueClient is TransferQueueClient
    session.close()
    with pytest.raises(NotInitialized):
        get_client()
