"""Shared by the tests of the streaming loader."""

import functools

import numpy as np
import torch
from live_server import wait_until
from tensordict import NonTensorStack, TensorDict

import sluice as tq
from sluice import session
from sluice.samplers import BaseSampler
from sluice.wire import unpacked

FIELDS = ["row", "ids", "grid", "text"]


def call(*command):
    return session.current().wire.call(*command)


def rows_of(numbers):
    """Returns data with distinct values per row: dense, jagged, strided, and text."""
    numbers = list(numbers)
    columns = {
        "row": torch.tensor(numbers),
        "ids": torch.nested.nested_tensor([torch.full((n % 4 + 1,), n) for n in numbers], layout=torch.jagged),
        "grid": torch.nested.nested_tensor([torch.full((n % 2 + 1, n % 3 + 1), n) for n in numbers], layout=torch.strided),
        "text": NonTensorStack(*(f"row {n}" for n in numbers)),
    }
    return TensorDict(columns, batch_size=[len(numbers)])


def put(numbers, partition="p", wait_s=0.0):
    numbers = list(numbers)
    tq.kv_batch_put(keys=[str(n) for n in numbers], partition_id=partition, fields=rows_of(numbers), wait_s=wait_s)


def check(data, metadata):
    """Requires that all fields are those of the metadata's rows."""
    numbers = metadata.global_indexes
    assert data.batch_size == torch.Size([len(numbers)])
    expected = rows_of(numbers)
    for name in data.keys():  # noqa: SIM118
        got, wanted = data.get(name), expected.get(name)
        if name == "text":
            assert got.tolist() == wanted.tolist()
            continue
        assert got.dtype == wanted.dtype and got.is_nested == wanted.is_nested
        pairs = zip(got.unbind(), wanted.unbind(), strict=True)
        assert all(torch.equal(mine, theirs) for mine, theirs in pairs)


def dataset(config, **changes):
    standard = {"batch_size": 4, "micro_batch_size": 4, "data_fields": ["row"], "partition_id": "p", "task_name": "t"}
    return tq.StreamingDataset(config, **{**standard, "dp_rank": 0, "should_check_consumption_status": True, **changes})


def indexes(batches):
    """Returns each micro-batch's rows; requires that its data belong to them."""
    rows = []
    for data, metadata in batches:
        check(data, metadata)
        rows.append(metadata.global_indexes)
    return rows


def waiting(count=1):
    """Returns once this many fetches are blocked in the server."""
    wait_until(functools.partial(_waits, count), f"{count} wait", seconds=20)


def _waits(count):
    info = bytes(call("INFO", "clients")).decode()
    return f"blocked_clients:{count}\r\n" in info


def numbers_of(blob):
    return unpacked(np.frombuffer(blob, np.uint8)).tolist()


def by_hand(tq_client, data_fields, batch_size, partition_id, task_name, sampling_config, batch_index):
    """A fetch function in the style of TransferQueue's users."""
    wanted = {**sampling_config, "batch_index": batch_index, "partition_id": partition_id}
    metadata = tq_client.get_meta(
        data_fields=data_fields,
        batch_size=batch_size,
        partition_id=partition_id,
        task_name=task_name,
        sampling_config=wanted,
    )
    return (tq_client.get_data(metadata) if metadata.size else None), metadata


class Last(BaseSampler):
    """Chooses the last rows, two at a time."""

    def sample(self, ready_indexes, batch_size, **_):
        rows = ready_indexes[-batch_size:] if len(ready_indexes) >= batch_size else []
        return rows, rows
