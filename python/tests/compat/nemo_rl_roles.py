"""The calls that NeMo-RL's data plane makes of TransferQueue, in their order.

Written from what NeMo-RL's public source does (nemo_rl/data_plane: its adapter, codec and token sink). The model is a
sum: the calls and the values that they read and write are the point. `sys.modules` is as in a program that was written
for TransferQueue.
"""

import os
import sys
import time

import numpy as np
import torch
from tensordict import NonTensorStack, TensorDict

import sluice.compat

sys.modules["transfer_queue"] = sluice.compat
import transfer_queue as tq  # noqa: E402

PER_TOKEN = ["input_ids", "generation_logprobs", "token_mask"]
PER_SAMPLE = ["input_lengths", "sample_mask", "total_reward"]
FIELDS = [*PER_TOKEN, *PER_SAMPLE, "pixel_values", "message_log", "prev_logprobs", "advantages"]


class Section:
    """Like OmegaConf's DictConfig, which NeMo-RL passes: it has items(), and is not a Mapping."""

    def __init__(self, settings):
        self._settings = settings

    def items(self):
        return [(name, Section(value) if isinstance(value, dict) else value) for name, value in self._settings.items()]


SECTION = Section(
    {
        "controller": {"sampler": "SequentialSampler", "polling_mode": True},
        "metrics": {"enabled": False, "port": 0},
        "backend": {
            "storage_backend": "SimpleStorage",
            "SimpleStorage": {"total_storage_size": 1000, "num_data_storage_units": 2},
        },
    }
)


def register(partition, fields):
    """Makes the fields known by a row of float placeholders, which is cleared at once."""
    key = f"__schema__:{partition}:{os.getpid()}:{time.time_ns()}"
    placeholders = TensorDict({name: torch.zeros(1) for name in fields}, batch_size=[1])
    tq.kv_batch_put(keys=[key], partition_id=partition, fields=placeholders, tags=[{}])
    tq.kv_clear(keys=[key], partition_id=partition)


def put(keys, partition, fields=None, tags=None):
    fields = None if fields is None else fields.detach()
    tq.kv_batch_put(keys=list(keys), partition_id=partition, fields=fields, tags=[dict(tag) for tag in tags or [{}] * len(keys)])


def get(keys, partition, fields):
    """Reads rows, dense where all have one shape."""
    data = tq.kv_batch_get(keys=list(keys), partition_id=partition, select_fields=list(fields))
    columns = {}
    for name in data.keys():  # noqa: SIM118  -- a TensorDict
        column = data.get(name)
        rows = column.unbind() if isinstance(column, torch.Tensor) and column.is_nested else []
        equal = rows and all(row.shape == rows[0].shape for row in rows)
        columns[name] = torch.stack(list(rows)) if equal else column
    return TensorDict(columns, batch_size=data.batch_size)


def padded(column):
    return torch.nested.to_padded_tensor(column, padding=0) if column.is_nested else column


def objects(column):
    """Returns the objects of a column, which must be a NonTensorStack."""
    assert isinstance(column, NonTensorStack)
    return column.tolist()


def jagged(rows):
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)


def claim(partition, task, fields, count, rank=None):
    """Returns keys and tags of the next rows of a task; two empty lists if there are too few."""
    client = tq.get_client()
    config = {} if rank is None else {"dp_rank": rank}
    meta = client.get_meta(
        data_fields=list(fields),
        batch_size=count,
        partition_id=partition,
        task_name=task,
        mode="fetch",
        sampling_config=config,
    )
    if not meta.size:
        return [], []
    return client.kv_retrieve_keys(global_indexes=list(meta.global_indexes), partition_id=partition), list(meta.custom_meta)


def consumed(partition, task):
    return tq.get_client().check_consumption_status(task_name=task, partition_id=partition)


def clear(partition, keys=None):
    """Clears these rows, or all that are listed; returns how many."""
    keys = list(tq.kv_list(partition_id=partition).get(partition, {})) if keys is None else keys
    if keys:
        tq.kv_clear(keys=list(keys), partition_id=partition)
    return len(keys)


# --- worker processes


def in_environment(environment, role, arguments):
    """Runs a role in its own process, with the environment of the test and the settings of the job."""
    os.environ.clear()
    os.environ.update(environment)
    tq.init()
    role(*arguments)
    tq.close()


def rollout(partition, keys, lengths):
    """Writes the samples of a step, with tags."""
    log = np.empty(len(keys), dtype=object)
    for i, key in enumerate(keys):
        log[i] = [{"role": "user", "content": key, "token_ids": torch.arange(lengths[i])}]
    columns = {
        "input_ids": jagged([torch.arange(length) for length in lengths]),
        "generation_logprobs": jagged([torch.full((length,), -0.5) for length in lengths]),
        "token_mask": jagged([torch.ones(length) for length in lengths]),
        "input_lengths": torch.tensor(lengths),
        "sample_mask": torch.ones(len(keys)),
        "total_reward": torch.arange(len(keys), dtype=torch.float32),
        "pixel_values": torch.ones(len(keys), 2, 3, dtype=torch.bfloat16),
        "message_log": log,
    }
    tags = [{"input_lengths": length, "weight_version": 3} for length in lengths]
    put(keys, partition, TensorDict(columns, batch_size=[len(keys)]), tags)


def log_probs(partition, keys):
    """Reads the part of a rank, padded, and writes a column per token, without tags."""
    data = get(keys, partition, [*PER_TOKEN, *PER_SAMPLE])
    ids = padded(data["input_ids"])
    assert ids.dtype == torch.int64 and padded(data["token_mask"]).shape == ids.shape
    rows = [row[:length].float() / 10 for row, length in zip(ids, data["input_lengths"].tolist(), strict=True)]
    put(keys, partition, TensorDict({"prev_logprobs": jagged(rows)}, batch_size=[len(keys)]))


def stage(partition, call, tokens):
    """Writes one model call of a rollout, a row of several dtypes."""
    columns = {
        "token_ids_delta": torch.arange(tokens)[None],
        "generation_logprobs_delta": torch.zeros(1, tokens),
        "rollout_id_utf8": torch.tensor([list(call.encode())], dtype=torch.uint8),
        "delta_len": torch.tensor([tokens]),
        "parent_call_id_present": torch.tensor([tokens > 1]),
    }
    put([call], partition, TensorDict(columns, batch_size=[1]))
