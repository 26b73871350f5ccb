"""Batches, leases and samplers of a partition that was cleared never act on the next partition of the same name."""

import copy
import pickle

import pytest
import torch
from client_cases import data_of, same

import sluice
from sluice import BaseSampler, BatchMeta

STALE = "STALE|partition 'p' was made again"


def remade(client, *lengths):
    """Clears the partition, from another client than the one that made it, and makes it again."""
    other = sluice.get_client()
    other.clear_partition("p")
    return client.put(data_of(*lengths), partition_id="p")


def handles(client):
    """The metadata of the same rows, from every method that returns one."""
    put = client.put(data_of(3, 4), partition_id="p")
    fetched = client.fetch(["ids"], 2, "p", "fetched")
    keys = client.kv_retrieve_keys([0, 1], "p")
    return {
        "put": put,
        "get_meta": client.get_meta(["ids"], 2, "p", task_name="t"),
        "force_fetch": client.get_meta(["ids"], 2, "p", mode="force_fetch"),
        "fetch": fetched.metadata,
        "by keys": client.kv_retrieve_meta(keys, "p"),
        "created": client.kv_retrieve_meta(keys, "p", create=True),
        "own sampler": client.get_meta(["ids"], 2, "p", task_name="own", sampling_config={"sampler": First()}),
        "pickled": pickle.loads(pickle.dumps(put)),
        "copied": copy.deepcopy(put),
        "a part": put[:1],
        "a field": put.select_fields(["ids"]),
        "joined": BatchMeta.concat([put[:1], put[1:]]),
        "united": put.union(put.copy()),
        "chunked": put.chunk_by_partition()[0],
    }


class First(BaseSampler):
    def sample(self, ready_indexes, batch_size, *_args, task_name="", partition_id="", dp_rank=None, batch_index=None, **_):
        steps = self._states.setdefault(partition_id, {}).setdefault(task_name, {}).setdefault(dp_rank, {})
        rows = steps.get(batch_index) or ready_indexes[:batch_size]
        if len(rows) < batch_size:
            return [], []
        if dp_rank is not None:
            steps[batch_index] = rows
        return rows, rows


def test_every_handle_of_a_cleared_partition_is_refused(client):
    old = handles(client)
    now = remade(client, 5, 6)
    for name, metadata in old.items():
        metadata.field_schema = {"ids": now.field_schema["ids"]}
        for act in (client.get_data, client.clear_samples, client.set_custom_meta):
            with pytest.raises(ValueError, match=STALE):
                act(metadata)
            assert name
        with pytest.raises(ValueError, match=STALE):
            client.put(data_of(*range(1, metadata.size + 1)), metadata=metadata.copy())
    same(client.get_data(now), data_of(5, 6))


def test_rows_that_insert_made_are_of_their_partition(client):
    made = client.get_meta([], 2, "p", mode="insert")
    client.put(data_of(1, 2), metadata=made)
    now = remade(client, 5, 6)
    with pytest.raises(ValueError, match=STALE):
        client.put(data_of(1, 2), metadata=made)
    same(client.get_data(now), data_of(5, 6))


def test_a_lease_of_a_cleared_partition_consumes_nothing_of_the_next(client):
    client.put(data_of(1, 2), partition_id="p")
    leased = client.fetch(["ids"], 2, "p", "t", lease_s=60)
    remade(client, 5, 6)
    again = client.fetch(["ids"], 2, "p", "t", lease_s=60)
    for act in (client.ack, client.release):
        with pytest.raises(ValueError, match=STALE):
            act(leased)
    assert client.ack(again) == 2


def test_a_sampler_of_ones_own_forgets_the_steps_of_a_cleared_partition(client):
    sampler = First()
    client.put(data_of(1, 2), partition_id="p")
    config = {"sampler": sampler, "dp_rank": 0, "batch_index": 0}
    first = client.get_meta(["ids"], 1, "p", task_name="t", sampling_config=dict(config))
    again = client.get_meta(["ids"], 1, "p", task_name="t", sampling_config=dict(config))
    assert first.global_indexes == again.global_indexes == [0]
    now = remade(client, 7, 8)
    client.clear_samples(now[0])
    after = client.get_meta(["ids"], 1, "p", task_name="t", sampling_config=dict(config))
    assert after.global_indexes == [1]
    assert torch.equal(client.get_data(after)["ids"][0], torch.arange(8) + 800)


def test_batches_of_a_partition_and_of_the_next_cannot_be_joined(client):
    old = client.put(data_of(1, 2), partition_id="p")
    now = remade(client, 3, 4)
    with pytest.raises(ValueError, match="partition 'p' was made again"):
        BatchMeta.concat([old, now])
    with pytest.raises(ValueError, match="partition 'p' was made again"):
        old.union(now)


def test_a_batch_of_several_partitions_is_refused_if_one_of_them_was_made_again(client):
    batch = BatchMeta.concat([client.put(data_of(1, 2), partition_id=name) for name in ("p", "q")])
    remade(client, 9)
    with pytest.raises(ValueError, match=STALE):
        client.get_data(batch)
    with pytest.raises(ValueError, match=STALE):
        client.put(data_of(4, 5, 6, 7), metadata=batch)
    rest = batch.chunk_by_partition()[1]
    same(client.get_data(rest), data_of(1, 2))


def test_a_put_into_several_partitions_writes_nothing_if_one_of_them_was_made_again(client):
    batch = BatchMeta.concat([client.put(data_of(1, 2), partition_id=name) for name in ("q", "p")])
    remade(client, 9)
    with pytest.raises(ValueError, match=STALE):
        client.put(data_of(4, 5, 6, 7), metadata=batch.copy())
    same(client.get_data(batch.chunk_by_partition()[0]), data_of(1, 2))


def test_a_put_into_several_partitions_writes_nothing_if_a_row_was_removed(client):
    batch = BatchMeta.concat([client.put(data_of(1, 2), partition_id=name) for name in ("q", "p")])
    client.clear_samples(batch[3])
    with pytest.raises(ValueError, match="partition 'p' has no row with index 1"):
        client.put(data_of(4, 5, 6, 7), metadata=batch.copy())
    same(client.get_data(batch.chunk_by_partition()[0]), data_of(1, 2))


def test_a_batch_that_is_made_by_hand_names_rows_of_any_partition_of_that_name(client):
    client.put(data_of(1, 2), partition_id="p")
    now = remade(client, 3, 4)
    by_hand = BatchMeta([0, 1], ["p", "p"], now.field_schema)
    same(client.get_data(by_hand), data_of(3, 4))
