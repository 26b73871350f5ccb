"""The metadata client, the batches and the loader of sluice.compat: what TransferQueue accepts."""

import asyncio
import pickle

import pytest
import torch
from tensordict import TensorDict

from sluice.samplers import TokenBudgetSampler


@pytest.fixture
def client(tq):
    return tq.get_client()


def put(client, **fields):
    rows = len(next(iter(fields.values())))
    return client.put(TensorDict(fields, batch_size=[rows]), partition_id="p")


# --- batches


def test_keys_of_a_batch_may_be_unknown_and_chunks_empty(tq):
    meta = tq.KVBatchMeta(["a", "b"], [{"n": 1}, {"n": 2}], "p", ["x"])
    with pytest.raises(RuntimeError, match="not found"):
        meta.select_keys(["a", "c"])
    with pytest.raises(ValueError, match="duplicate"):
        meta.select_keys(["a", "a"])
    assert [part.keys for part in meta.chunk(3)] == [["a"], ["b"], []]
    meta.reorder([-1, 0])
    assert meta.keys == ["b", "a"] and meta.select_keys(["a"]).tags == [{"n": 1}]
    assert type(meta.chunk(1)[0]) is tq.KVBatchMeta


def test_batches_without_fields_take_those_of_the_first(tq):
    one, other = tq.KVBatchMeta(["a"], [{}], "p", ["x"]), tq.KVBatchMeta(["b"], [{}], "p")
    assert tq.KVBatchMeta.concat([one, tq.KVBatchMeta(), other]).fields == ["x"]
    with pytest.raises(ValueError, match="differ"):
        tq.KVBatchMeta.concat([other, one])
    assert tq.KVBatchMeta.concat([]) == tq.KVBatchMeta()


def test_fields_of_a_batch_may_be_unknown_and_chunks_empty(tq, client):
    batch = put(client, x=torch.zeros(2, 1), y=torch.zeros(2))
    assert batch.select_fields(["y", "z"]).field_names == ["y"]
    assert [part.size for part in batch.chunk(3)] == [1, 1, 0]
    assert type(batch[0]) is tq.BatchMeta and type(tq.BatchMeta.concat([batch, batch])) is tq.BatchMeta


def test_inserted_rows_name_the_fields_that_they_are_for(tq, client):
    put(client, x=torch.zeros(1, 2))
    batch = client.get_meta(["y", "x"], 2, "p", mode="insert")
    assert batch.field_names == ["x", "y"] and batch.get_shapes("y") == [None, None] and not batch.is_ready
    other = asyncio.run(client.async_get_meta(["y", "x"], 1, "p", mode="insert"))
    both = tq.BatchMeta.concat([batch, other])
    assert both.field_names == ["x", "y"] and both.get_dtypes("y") == [None] * 3
    client.put(TensorDict({"x": torch.ones(2, 2), "y": torch.ones(2)}, [2]), batch.select_samples([0, 1]))
    client.put(TensorDict({"x": torch.ones(3, 2), "y": torch.ones(3)}, [3]), both)
    assert both.is_ready and both.get_dtypes("y") == [torch.float32] * 3 and both.get_shapes("x") == [(2,)] * 3
    assert client.get_data(both)["y"].tolist() == [1.0] * 3


def test_batches_that_were_received_without_a_copy_can_be_changed(tq, client):
    batch, buffers = put(client, x=torch.zeros(2, 1)), []
    pickled = pickle.dumps(batch, protocol=5, buffer_callback=buffers.append)
    received = pickle.loads(pickled, buffers=[bytes(buffer) for buffer in buffers])  # read-only, as in Ray's object store
    received.production_status[0] = 0
    assert not received.is_ready and batch.is_ready
    received.production_status[0] = 1
    assert received == batch


# --- rows and keys


def test_missing_keys_are_left_out_of_a_batch(tq, client):
    tq.kv_put("a", "p", {"x": torch.ones(2)}, {"n": None})
    with pytest.warns(UserWarning, match=r"left out: \['b'\]"):
        batch = asyncio.run(client.async_kv_retrieve_meta(["b", "a"], "p"))
    assert batch.global_indexes == [0] and batch.is_ready and batch.custom_meta == [{"n": None}]
    with pytest.warns(UserWarning, match="left out"):
        assert client.kv_retrieve_meta("a", "q").size == 0
    made = client.kv_retrieve_meta(["b"], "p", create=True)
    assert made.size == 1 and not made.is_ready


def test_rows_that_do_not_exist_have_no_key(tq, client):
    tq.kv_put("a", "p", {"x": torch.ones(2)})
    assert client.kv_retrieve_keys([5, 0], "p") == [None, "a"] and client.kv_retrieve_keys(0, "p") == ["a"]
    with pytest.raises(RuntimeError, match="does not exist"):
        client.kv_retrieve_keys([0], "q")


def test_keys_and_rows_of_another_type_raise_type_error(tq, client):
    tq.kv_put("a", "p", {"x": torch.ones(2)})
    with pytest.raises(TypeError, match="keys must be str, got 123"):
        asyncio.run(client.async_kv_retrieve_meta(["a", 123], "p", create=True))
    for rows in ([0, "a"], "a", [0.0]):
        with pytest.raises(TypeError):
            client.kv_retrieve_keys(rows, "p")
    assert list(client.kv_list("p")["p"]) == ["a"]


def test_cleared_rows_raise_storage_key_not_found(tq, client):
    batch = put(client, x=torch.zeros(2, 1))
    client.clear_samples(batch[0])
    with pytest.raises(tq.StorageKeyNotFoundError, match="row") as raised:
        client.get_data(batch)
    assert isinstance(raised.value, KeyError)
    client.clear_partition("p")
    with pytest.raises(tq.StorageKeyNotFoundError):
        client.get_data(batch)


def test_a_field_that_a_row_lacks_raises_storage_key_not_found(tq, client):
    batch = put(client, x=torch.zeros(2, 1))
    client.put(TensorDict({"y": torch.ones(1)}, batch_size=[1]), metadata=batch[0])
    with pytest.raises(tq.StorageKeyNotFoundError, match="'y'"):
        client.get_data(client.get_meta(["x", "y"], 2, "p", mode="force_fetch"))


def test_tags_of_a_batch_are_read_as_they_were_put(tq, client):
    batch = client.get_meta([], 2, "p", mode="insert")
    batch.update_custom_meta([{"steps": None}, {"t": [1]}])
    client.put(TensorDict({"x": torch.zeros(2)}, [2]), batch)
    assert batch.custom_meta == [{"steps": None}, {"t": [1]}] and batch.is_ready
    batch.update_custom_meta([{"steps": 3}, {}])
    client.set_custom_meta(batch)
    read = client.get_meta(["x"], 2, "p", task_name="t")
    assert read.custom_meta == [{"steps": 3}, {"t": [1]}]
    assert client.kv_list("p") == {"p": {"0": {"steps": 3}, "1": {"t": [1]}}} and client.kv_list("q") == {}


def test_production_status_has_a_column_per_field(tq, client):
    tq.kv_put("a", "p", {"x": torch.ones(2), "y": 1.5})
    tq.kv_put("b", "p", {"x": torch.ones(2)})
    rows, ready = client.get_production_status(["x", "y"], "p")
    assert rows.tolist() == [0, 1] and ready.tolist() == [[1, 1], [1, 0]]
    assert client.get_production_status(["x"], "q") == (None, None)
    assert client.reset_consumption("q") and client.reset_consumption("p", "nobody")
    assert client.get_meta(["x", "zz"], 2, "p", mode="force_fetch").field_names == ["x"]
    client.close()
    assert client.get_partition_list() == ["p"]


def test_rows_that_were_cleared_are_not_consumed_unless_they_were_expected(tq, client):
    for expected, consumed in [(None, False), (2, True)]:
        client.create_partition("p", expect=expected)
        batch = put(client, x=torch.zeros(2))
        client.get_meta(["x"], 2, "p", task_name="t")
        assert client.check_consumption_status("t", "p")
        client.clear_samples(batch)
        assert client.check_consumption_status("t", "p") is consumed
        assert asyncio.run(client.async_check_consumption_status("t", "p")) is consumed
        client.clear_partition("p")
    assert client.check_consumption_status("t", "p") is False


# --- sampling


@pytest.fixture
def polling(sluice_url):
    def init(sampler):
        import sluice.compat as tq

        tq.init({"url": sluice_url, "controller": {"sampler": sampler, "polling_mode": True}})
        return tq.get_client()

    yield init
    import sluice.compat

    sluice.compat.close()


def take(client, count=2, **config):
    return client.get_meta(["x"], count, "p", task_name="t", sampling_config=config).global_indexes


def test_half_a_step_and_unknown_names_are_ignored(polling):
    client = polling("RankAwareSampler")
    put(client, x=torch.zeros(8))
    assert take(client, dp_rank=0) == [0, 1]
    with pytest.warns(UserWarning, match="sampling_config: dp_size"):
        assert take(client, dp_size=4) == [2, 3]
    assert take(client, dp_rank=0, batch_index=0) == take(client, dp_rank=0, batch_index=0) == [4, 5]


def test_the_sequential_sampler_ignores_steps(polling):
    client = polling("SequentialSampler")
    put(client, x=torch.zeros(4))
    assert [take(client, dp_rank=0, batch_index=0) for _ in range(3)] == [[0, 1], [2, 3], []]


def test_groups_are_any_run_of_consecutive_rows(polling):
    from sluice.compat import GRPOGroupNSampler

    client = polling(GRPOGroupNSampler(2))
    client.clear_samples(put(client, x=torch.zeros(6))[0])
    assert take(client, 4) == [1, 2, 3, 4] and take(client) == []
    put(client, x=torch.zeros(3))
    # The server samples a step: its groups are rows 2k and 2k+1.
    assert take(client, dp_rank=0, batch_index=0) == take(client, dp_rank=0, batch_index=0) == [6, 7]


def put_lengths(client, lengths):
    meta = put(client, x=torch.zeros(len(lengths)))
    meta.update_custom_meta([{"total_lengths": length} for length in lengths])
    client.set_custom_meta(meta)


def test_the_token_budget_of_a_call_limits_the_rows_of_all_ranks(polling):
    client = polling("StreamingTokenBudgetSampler")
    put_lengths(client, [4, 4, 4, 4, 9, 9, 1, 1, 1, 1])
    # The batch_size is not a limit. The second budget is for the second step only.
    first = {"dp_size": 2, "token_budget": 8, "batch_index": 0}
    assert [take(client, 1, dp_rank=rank, **first) for rank in (0, 1, 0)] == [[0, 1], [2, 3], [0, 1]]
    second = {"dp_size": 2, "token_budget": 10, "batch_index": 1, "allow_underfill": False}
    assert [take(client, 1, dp_rank=rank, **second) for rank in (1, 0)] == [[5, 6], [4]]
    rest = {"dp_size": 2, "token_budget": 10, "batch_index": 2}
    assert take(client, 1, dp_rank=0, **rest | {"allow_underfill": False}) == []
    assert sorted(take(client, 1, dp_rank=0, **rest) + take(client, 1, dp_rank=1, **rest)) == [7, 8, 9]


def test_without_a_token_budget_or_a_step_each_call_takes_its_own_rows(polling, recwarn):
    client = polling("StreamingTokenBudgetSampler")
    put_lengths(client, [4] * 8)
    assert take(client, 1, dp_rank=0, dp_size=2, allow_underfill=False) == [0]
    assert [take(client, 1, dp_rank=rank, dp_size=2, token_budget=9) for rank in (0, 0, 1)] == [[1, 2], [3, 4], [5, 6]]
    with pytest.raises(ValueError, match="token_budget needs dp_rank and dp_size"):
        take(client, 1, dp_rank=0, token_budget=9)
    assert not recwarn.list


def test_the_token_budget_of_a_call_replaces_that_of_the_sampler(polling):
    client = polling(TokenBudgetSampler(100, dp_size=1, underfill=True))
    put_lengths(client, [4] * 8)
    assert take(client, 8, dp_rank=0, batch_index=0, token_budget=9) == [0, 1]
    assert take(client, 1, dp_rank=0, batch_index=1, token_budget=9) == [2]  # its batch_size is a limit
    assert take(client, 8, dp_rank=0, batch_index=2) == [3, 4, 5, 6, 7]


def test_samplers_take_any_batch_size(tq):
    ready = [1, 2, 3, 7, 8]
    assert tq.SequentialSampler()(ready, 9) == (ready, ready) and tq.SequentialSampler()(ready, 0) == ([], [])
    ranked = tq.RankAwareSampler()
    assert ranked(ready, 0, dp_rank=0, batch_index=0, task_name="t", partition_id="p") == ([], [])
    first = ranked(ready, 2, dp_rank=0, batch_index=0, task_name="t", partition_id="p")
    assert first == ranked(ready, 3, dp_rank=0, batch_index=0, task_name="t", partition_id="p") == ([1, 2], [1, 2])
    groups = tq.GRPOGroupNSampler(2)
    assert groups(ready, 4)[0] == [1, 2, 7, 8] and groups(ready, 0) == ([], []) and groups(ready, 6) == ([], [])
    balanced = tq.SeqlenBalancedSampler(1, dp_size=2)
    assert balanced(ready, 2, dp_rank=1, batch_index=0) == ([3, 7], [3, 7]) and balanced(ready, 2, dp_rank=9) == ([], [])
    assert balanced(ready, 2)[0] == [1, 2]  # rank 0 of step 0


def test_a_dataset_yields_jagged_batches(tq, client, sluice_url):
    put(client, x=torch.arange(8).reshape(4, 2))
    config = {"url": sluice_url, "enable": True}
    dataset = tq.StreamingDataset(config, 4, 2, ["x"], "p", "t", 0, should_check_consumption_status=True)
    parts = list(tq.StreamingDataLoader(dataset))
    assert [data["x"].offsets().tolist() for data, _ in parts] == [[0, 2, 4]] * 2
    assert all(type(metadata) is tq.BatchMeta for _, metadata in parts)
