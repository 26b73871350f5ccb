"""Batches of tasks: the modes of get_meta, fetch with its options, and both from asyncio."""

import asyncio
import pickle
import threading
import time

import pytest
import torch
from client_cases import data_of, same
from tensordict import TensorDict

import sluice as tq
from sluice import get_client, session
from sluice.errors import CallTimeout, FullError, RequestError
from sluice.metadata import BatchMeta
from sluice.samplers import (
    BaseSampler,
    GRPOGroupNSampler,
    PerPartition,
    RankAwareSampler,
    SeqlenBalancedSampler,
    SequentialSampler,
)


def numbers(client, count, partition="p", **info):
    tags = [{"n": i, "total_lengths": i % 5} for i in range(count)]
    meta = BatchMeta(range(count), [partition] * count, custom_meta=tags)
    client.get_meta([], count, partition, mode="insert")
    return client.put(TensorDict({"x": torch.arange(count)}, batch_size=count), meta)


def eventually(thread):
    thread.join(20)
    assert not thread.is_alive()


def test_a_batch_is_described_and_consumed_once(client):
    meta = client.put(data_of(3, 1, 1, 2), partition_id="p")
    meta.update_custom_meta([{"n": i} for i in range(4)])
    client.set_custom_meta(meta)
    first = client.get_meta(["ids", "reward", "text"], 2, "p", task_name="t")
    assert first.global_indexes == [0, 1] and first.custom_meta == [{"n": 0}, {"n": 1}] and first.is_ready
    assert first.field_schema == meta[:2].select_fields(["ids", "reward", "text"]).field_schema
    assert first.field_schema["reward"]["shape"] == () and first.get_shapes("ids") == [(3,), (1,)]
    same(client.get_data(first), data_of(3, 1).select("ids", "reward", "text"))
    second = client.get_meta(["ids"], 2, "p", task_name="t")
    assert second.global_indexes == [2, 3]
    other = client.get_meta("ids", 2, "p", task_name="other")
    assert other.global_indexes == [0, 1] and other.field_names == ["ids"]


def test_rows_of_one_shape_in_a_ragged_field_are_dense(client):
    client.put(data_of(1, 1, 3), partition_id="p")
    meta = client.get_meta(["ids"], 2, "p", task_name="t")
    assert meta.field_schema["ids"] == {
        "dtype": torch.int64,
        "shape": (1,),
        "is_nested": False,
        "is_non_tensor": False,
    }


def test_get_meta_waits_for_rows(client):
    got = []
    thread = threading.Thread(target=lambda: got.append(client.get_meta(["x"], 2, "p", task_name="t")))
    thread.start()
    numbers(client, 1)
    client.put(TensorDict({"x": torch.zeros(1, dtype=torch.int64)}, batch_size=1), partition_id="p")
    eventually(thread)
    assert got[0].global_indexes == [0, 1]


def test_a_time_out_names_the_reason(client):
    session.init({"timeout_s": 0.2})
    numbers(client, 1)
    with pytest.raises(CallTimeout, match="too few rows for task 't' within 0.2 s: (?s:.*)1 row was created"):
        client.get_meta(["x"], 2, "p", task_name="t")
    with pytest.raises(CallTimeout, match="'none' does not exist"):
        client.get_meta(["x"], 2, "none", task_name="t")


def test_polling_mode_returns_an_empty_batch(client):
    session.init({"polling_mode": True})
    asked = time.monotonic()
    assert client.get_meta(["x"], 2, "p", task_name="t") == BatchMeta.empty()
    numbers(client, 1)
    assert client.get_meta(["x"], 2, "p", task_name="t") == BatchMeta.empty()
    assert time.monotonic() - asked < 15  # it does not wait, for the time-out is 20 s
    assert client.get_meta(["x"], 1, "p", task_name="t").size == 1


def test_the_end_of_the_stream_is_an_empty_batch(client, monkeypatch):
    monkeypatch.setenv("TQ_PRE_ALLOC_SAMPLE_NUM", "3")
    numbers(client, 3)
    assert client.get_meta(["x"], 2, "p", task_name="t").size == 2
    end = BatchMeta.empty({"end": True})
    assert client.get_meta(["x"], 2, "p", task_name="t") == end  # one row is left, and no more will come
    assert client.get_meta(["x"], 1, "p", task_name="t").size == 1
    assert client.get_meta(["x"], 1, "p", task_name="t") == end
    session.init({"polling_mode": True})
    assert client.get_meta(["x"], 1, "p", task_name="t") == end


def test_expected_rows_are_announced_for_each_partition_that_is_made(client, monkeypatch):
    monkeypatch.setenv("TQ_PRE_ALLOC_SAMPLE_NUM", "3")
    for other in (client, get_client()):
        numbers(client, 2)
        assert client.partition_info("p")["limits"]["expect"] == 3
        other.clear_partition("p")
    client.put(TensorDict({"x": torch.arange(2)}, [2]), partition_id="p")
    assert client.partition_info("p")["limits"]["expect"] == 3
    client.clear_partition("p")
    client.create_partition("p", expect=5)
    numbers(client, 2)
    assert client.partition_info("p")["limits"]["expect"] == 5  # what a program has set stays


def test_a_repeated_step_of_a_rank_returns_the_same_rows(client):
    numbers(client, 8)
    step = {"dp_rank": 1, "batch_index": 0}
    first = client.get_meta(["x"], 2, "p", task_name="t", sampling_config=step)
    assert client.get_meta(["x"], 2, "p", task_name="t", sampling_config=step) == first
    other = client.get_meta(["x"], 2, "p", task_name="t", sampling_config={"dp_rank": 0, "batch_index": 0})
    assert (first.global_indexes, other.global_indexes) == ([0, 1], [2, 3])
    with pytest.raises(RequestError, match="RANK and STEP require each other"):
        client.get_meta(["x"], 2, "p", task_name="t", sampling_config={"dp_rank": 0})


class First(BaseSampler):
    def sample(self, ready_indexes, batch_size, **_):
        rows = ready_indexes[:batch_size] if len(ready_indexes) >= batch_size else []
        return rows, rows


@pytest.mark.parametrize("config", [{}, {"sampler": First()}, {"sampler": First(), "dp_rank": 0, "batch_index": 0}], ids=str)
def test_rows_that_get_data_could_not_read_are_not_consumed(client, config):
    numbers(client, 2, partition="kept")
    assert client.get_meta(["x"], 1, "kept", task_name="t").size == 1
    client.create_partition("p", tasks=["t"], autoevict=True)
    numbers(client, 2)
    for _ in range(2):
        with pytest.raises(ValueError, match=r"'p' removes a row .* task 't' .*AUTOEVICT.*use fetch\(\)"):
            client.get_meta(["x"], 2, "p", task_name="t", sampling_config=dict(config))
    assert client.fetch(["x"], 2, "p", "t").data["x"].tolist() == [0, 1]


def test_get_data_says_that_consumed_rows_were_evicted(client):
    client.create_partition("p", tasks=["t", "u"], autoevict=True)
    metadata = numbers(client, 2)
    assert client.get_data(client.get_meta(["x"], 2, "p", task_name="t"))["x"].tolist() == [0, 1]
    client.fetch(["x"], 2, "p", "u")
    with pytest.raises(RequestError, match=r"has no row with index 0; .*AUTOEVICT.*use fetch\(\)"):
        client.get_data(metadata)
    client.put(TensorDict({"x": torch.arange(2)}, [2]), partition_id="p")
    client.fetch(["x"], 2, "p", "u")
    with pytest.raises(RequestError, match=r"has no row with index 2; .*AUTOEVICT.*use fetch\(\)"):
        client.get_meta(["x"], 2, "p", task_name="t", sampling_config={"sampler": First})


def test_a_partition_that_is_made_again_with_autoevict_is_noticed(client):
    numbers(client, 2)
    client.get_meta(["x"], 1, "p", task_name="t")
    client.clear_partition("p")
    client.create_partition("p", tasks=["t"], autoevict=True)
    numbers(client, 3)
    lost = client.get_meta(["x"], 1, "p", task_name="t")  # asking again for each batch would cost a round trip
    with pytest.raises(RequestError, match="AUTOEVICT"):
        client.get_data(lost)
    with pytest.raises(ValueError, match="AUTOEVICT"):
        client.get_meta(["x"], 1, "p", task_name="t")


def test_a_step_is_repeated_in_a_partition_with_autoevict(client):
    client.create_partition("p", tasks=["t"], autoevict=True)
    numbers(client, 4)
    for _ in range(2):
        assert client.fetch(["x"], 2, "p", "t", rank=0, step=0).data["x"].tolist() == [0, 1]
    leased = client.fetch(["x"], 2, "p", "t", rank=0, step=1, lease_s=60)
    assert client.ack(leased) == 2
    assert client.partition_info("p")["rows"] == 2


def test_samplers_are_set_at_init_and_per_call(client):
    session.init({"sampler": GRPOGroupNSampler(2)})
    numbers(client, 8)
    get = {"partition_id": "p", "task_name": "t"}
    assert client.get_meta(["x"], 1, sampling_config={"sampler": "SequentialSampler"}, **get).global_indexes == [0]
    assert client.get_meta(["x"], 2, **get).global_indexes == [2, 3]
    config = {"sampler": SeqlenBalancedSampler(1, 2), "dp_rank": 1, "batch_index": 0}
    assert client.get_meta(["x"], 2, sampling_config=config, **get).global_indexes == [
        1,
        6,
    ]  # rows 1, 4, 5, 6 have weights 1, 4, 0, 1
    with pytest.raises(RequestError, match="requires RANK and STEP"):
        client.get_meta(["x"], 1, sampling_config={"sampler": RankAwareSampler}, **get)
    with pytest.raises(ValueError, match=r"sampling_config has unknown names \['rank'\]; known are dp_rank, batch_index"):
        client.get_meta(["x"], 1, sampling_config={"rank": 1}, **get)
    with pytest.raises(ValueError, match="got 'Nope'"):
        client.get_meta(["x"], 1, sampling_config={"sampler": "Nope"}, **get)


def test_groups_are_formed_by_a_tag(client):
    tags = [{"uid": uid, "total_lengths": n} for n, uid in enumerate("abbacb")]
    meta = BatchMeta(range(6), ["p"] * 6, custom_meta=tags)
    client.get_meta([], 6, "p", mode="insert")
    client.put(TensorDict({"x": torch.arange(6)}, batch_size=6), meta)
    groups = GRPOGroupNSampler(2, by="uid")
    assert client.fetch(["x"], 4, "p", "t", sampler=groups).data["x"].tolist() == [0, 3, 1, 2]
    balanced = SeqlenBalancedSampler(2, 2, by="uid")
    shares = [client.fetch(["x"], 2, "p", "u", sampler=balanced, rank=rank, step=0).data["x"].tolist() for rank in (0, 1)]
    assert sorted(shares) == [[0, 3], [1, 2]]
    with pytest.raises(ValueError, match="only the server can sample groups by the tag 'uid'"):
        groups.sample([0, 1], 2)


def test_ids_that_differ_by_one_are_different_prompts(client):
    uid = 0x9F3C51D28A7740E6B1C40D5EF2986A31  # 128 bits, as a UUID
    tags = [{"uid": uid + i} for i in (0, 1, 1, 0, 2)]
    client.get_meta([], 5, "p", mode="insert")
    client.put(TensorDict({"x": torch.arange(5)}, batch_size=5), BatchMeta(range(5), ["p"] * 5, custom_meta=tags))
    batch = client.fetch(["x"], 4, "p", "t", sampler=GRPOGroupNSampler(2, by="uid"))
    assert batch.data["x"].tolist() == [0, 3, 1, 2] and batch.tags == [tags[0], tags[3], tags[1], tags[2]]
    assert batch.metadata.custom_meta == batch.tags
    for where, rows in [
        (("uid", "=", uid + 1), [1, 2]),
        (("uid", ">", uid), [1, 2, 4]),
        (("uid", "IN", [uid + 2, uid + 3]), [4]),
        (("uid", "=", float(uid)), []),  # the nearest double is another number
    ]:
        batch = client.fetch(["x"], 5, "p", f"task {where}", where=[where], min_rows=1)
        assert (batch.data["x"].tolist() if batch else []) == rows, where


def test_limits_and_conditions_of_partitions_apply(client):
    client.create_partition("p", expect=3, max_rows=2, max_bytes=1000, tasks=["t"], autoevict=True, ttl_s=60)
    info = client.partition_info("p")
    limits = info["limits"]
    assert (limits["expect"], limits["maxrows"], limits["maxbytes"], limits["ttl"]) == (3, 2, 1000, 60000)
    numbers(client, 2)
    with pytest.raises(FullError):
        client.put(TensorDict({"x": torch.arange(1)}, batch_size=1), partition_id="p")
    assert client.explain(["x"], 3, "p", "t", where=[("n", ">=", 1)]).startswith("where: 1 complete row does not match")
    assert client.fetch(["x"], 1, "p", "t").keys == ["0"]
    info = client.partition_info("p")
    assert (info["rows"], info["made"]) == (1, 2) and [field[0] for field in info["fields"]] == ["x"]
    client.create_partition("p", max_rows=0)
    client.put(TensorDict({"x": torch.arange(1)}, batch_size=1), partition_id="p")
    with pytest.raises(ValueError, match="partition 'nowhere'"):
        client.partition_info("nowhere")
    assert asyncio.run(client.async_partition_info("p"))["rows"] == 2


def test_a_sampler_may_be_set_per_partition(client):
    session.init({"sampler": PerPartition({"g*": GRPOGroupNSampler(2), "*": SequentialSampler()})})
    for name in ("groups", "p"):
        numbers(client, 4, name)
        client.fetch(["x"], 1, name, "t", sampler=SequentialSampler)
    assert client.get_meta(["x"], 2, "groups", task_name="t").global_indexes == [2, 3]
    assert client.get_meta(["x"], 2, "p", task_name="t").global_indexes == [1, 2]
    assert client.fetch(["x"], 2, "groups", "u").metadata.global_indexes == [0, 1]  # on the server


def test_get_meta_refuses_wrong_arguments(client):
    with pytest.raises(ValueError, match="mode must be 'fetch', 'force_fetch' or 'insert', got 'steal'"):
        client.get_meta(["x"], 1, "p", mode="steal")
    with pytest.raises(ValueError, match="mode 'fetch' needs a task_name"):
        client.get_meta(["x"], 1, "p")
    with pytest.raises(ValueError, match="fields"):
        client.get_meta([], 1, "p", task_name="t")


def test_fetch_returns_data_and_metadata_in_one_call(client):
    meta = client.put(data_of(3, 1, 2), partition_id="p")
    meta.update_custom_meta([{"v": 1, "s": "a"}, {"v": 2, "s": "b"}, {"v": 3, "s": "a"}])
    client.set_custom_meta(meta)
    batch = client.fetch(["ids", "text"], 2, "p", "t", where=[("v", ">=", 1), ("s", "=", "a"), ("s", "IN", ["a", "c"])])
    assert batch.keys == ["0", "2"] and batch.tags == [{"v": 1, "s": "a"}, {"v": 3, "s": "a"}]
    assert batch.lease is None and not batch.end and len(batch) == 2
    same(batch.data, data_of(3, 2).select("ids", "text"))
    assert batch.metadata == meta.select_samples([0, 2]).select_fields(["ids", "text"])
    assert client.fetch(["ids"], 2, "p", "t") is None and client.fetch(["ids"], 1, "none", "t") is None
    last = client.fetch(["ids"], 2, "p", "t", min_rows=1, wait_s=0.05)
    assert last.keys == ["1"]
    assert pickle.loads(pickle.dumps(batch.metadata)) == batch.metadata
    with pytest.raises(RequestError, match="COUNT"):
        client.fetch(["ids"], 0, "p", "t")


def test_fetch_takes_ranks_and_samplers(client):
    numbers(client, 6)
    one = client.fetch(["x"], 2, "p", "t", sampler=GRPOGroupNSampler(2), rank=0, step=3)
    again = client.fetch(["x"], 2, "p", "t", sampler=GRPOGroupNSampler(2), rank=0, step=3)
    assert one.metadata == again.metadata and one.data["x"].tolist() == [0, 1]
    assert client.fetch(["x"], 2, "p", "t", sampler=RankAwareSampler, rank=0, step=0).data["x"].tolist() == [2, 3]


def test_leases_are_renewed_acknowledged_and_released(client):
    numbers(client, 4)
    first = client.fetch(["x"], 2, "p", "t", lease_s=60)
    second = client.fetch(["x"], 2, "p", "t", lease_s=60)
    assert client.renew(first, 90) == 2
    assert client.ack(first) == 2 and client.ack(first) == 0
    assert client.release(second) == 2 and client.renew(second, 1) == 0
    assert client.fetch(["x"], 2, "p", "t").metadata.global_indexes == [2, 3]
    with pytest.raises(ValueError, match="the batch has no lease"):
        client.renew(client.fetch(["x"], 1, "p", "other"), 1)


def test_rows_of_an_expired_lease_go_to_others(client):
    numbers(client, 2)
    slow = client.fetch(["x"], 2, "p", "t", lease_s=0.05)
    quick = client.fetch(["x"], 2, "p", "t", lease_s=60, wait_s=20)
    assert quick.keys == slow.keys and quick.lease != slow.lease
    assert client.ack(slow) == 0 and client.ack(quick) == 2


def test_a_stream_ends(client, monkeypatch):
    monkeypatch.setenv("TQ_PRE_ALLOC_SAMPLE_NUM", "5")
    numbers(client, 5)
    seen = [batch.data["x"].tolist() for batch in client.stream(["x"], 2, "p", "t", min_rows=1, lease_s=60)]
    assert seen == [[0, 1], [2, 3], [4]]
    end = client.fetch(["x"], 1, "p", "t")
    assert end.end and not end.keys and end.metadata == BatchMeta.empty({"end": True})
    assert client.ack(end) == 0 and end.data.batch_size == torch.Size([0])
    assert client.check_consumption_status("t", "p")


def test_async_variants_return_the_same(client):
    async def consume():
        meta = await client.async_put(data_of(3, 1), partition_id="p")
        waiting = asyncio.create_task(client.async_get_meta(["late"], 2, "p", task_name="t"))
        late = TensorDict({"late": torch.arange(2)}, batch_size=2)
        await client.async_put(late, meta.copy())
        got = await waiting
        same(await client.async_get_data(got), late)
        batch = await client.async_fetch(["ids"], 2, "p", "u", lease_s=60)
        assert await client.async_ack(batch) == 2
        assert await client.async_check_consumption_status("u", "p")
        assert client.get_partition_list() == ["p"]  # sync, with a loop running
        with pytest.raises(RequestError, match="'nope'"):
            await client.async_get_data(BatchMeta([0], ["p"], {"nope": {}}))

    asyncio.run(consume())
    names = [name for name in dir(client) if not name.startswith(("_", "async_")) and name != "stream"]
    for name in names:
        assert getattr(client, f"async_{name}").__name__ == f"async_{name}"
        assert getattr(client, name).__doc__ in getattr(client, f"async_{name}").__doc__


def test_a_cancelled_fetch_consumes_nothing(client, server):
    async def give_up():
        waiting = asyncio.create_task(client.async_fetch(["x"], 1, "p", "t", wait_s=None))
        deadline = time.monotonic() + 20
        with server.client() as redis:
            while redis.info()["blocked_clients"] == 0:
                assert time.monotonic() < deadline
                await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            while redis.info()["blocked_clients"]:
                assert time.monotonic() < deadline
                await asyncio.sleep(0)

    asyncio.run(give_up())
    numbers(client, 1)
    assert client.fetch(["x"], 1, "p", "t").keys == ["0"]


@pytest.mark.parametrize("lease_s", [None, 60])
def test_rows_that_cannot_be_read_are_not_consumed(client, lease_s):
    url = tq.init({"allow_pickle": True}).url
    tq.kv_put("a", "p", {"v": {1, 2}})
    tq.init({"url": url, "allow_pickle": False})
    for _ in range(2):
        with pytest.raises(ValueError, match="pickles are not allowed"):
            client.fetch(["v"], 1, "p", "t", lease_s=lease_s)
    tq.init({"allow_pickle": True})
    assert client.fetch(["v"], 1, "p", "t", lease_s=lease_s).data.get("v").tolist() == [{1, 2}]
