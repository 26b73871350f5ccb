"""The calls that verl's trainer, agent loop, replay buffer and workers make of TransferQueue, in their order.

Written from what verl's public source does (verl/trainer/ppo/v1, verl/utils/transferqueue_utils.py). The model is a sum:
the calls and the values that they read and write are the point. `sys.modules` is as in a program that was written for
TransferQueue.
"""

import asyncio
import copy
import os
import sys

import numpy as np
import torch
from tensordict import NonTensorStack, TensorDict

import sluice.compat

sys.modules["transfer_queue"] = sluice.compat
import transfer_queue as tq  # noqa: E402

SESSIONS = 2
SECTION = {
    "enable": True,
    "allow_pickle": True,
    "controller": {"sampler": "SequentialSampler", "polling_mode": False},
    "backend": {"storage_backend": "SimpleStorage", "SimpleStorage": {"total_storage_size": None, "num_data_storage_units": 2}},
    "metrics": {"enabled": False, "port": 0},
}


class RewardInfo:
    """An object of verl that is not JSON."""

    def __init__(self, accuracy):
        self.accuracy = accuracy


def columns_of(rows):
    """Makes a TensorDict of dicts, one per row: tensors are nested, other values objects."""
    columns = {}
    for name in rows[0]:
        values = [row[name] for row in rows]
        nested = isinstance(values[0], torch.Tensor) and values[0].dim()
        columns[name] = torch.nested.as_nested_tensor(values, layout=torch.jagged) if nested else NonTensorStack(*values)
    return TensorDict(columns, batch_size=[len(rows)])


def in_environment(environment, role, arguments):
    """Runs a role in its own process, with the environment of the test."""
    os.environ.clear()
    os.environ.update(environment)
    role(*arguments)


# --- agent loop


def agent_loop(prompts, global_steps, lengths):
    """A worker process: runs the sessions of its prompts, as background tasks do."""
    tq.init()
    asyncio.run(_run_prompts(prompts, global_steps, lengths))
    tq.close()


async def _run_prompts(prompts, global_steps, lengths):
    await asyncio.gather(*(_run_prompt(uid, global_steps, lengths) for uid in prompts))


async def _run_prompt(uid, global_steps, lengths):
    await tq.async_kv_put(key=uid, partition_id="train", tag={"status": "running"})
    await asyncio.gather(*(_run_session(uid, session, global_steps, lengths[session]) for session in range(SESSIONS)))
    await tq.async_kv_put(key=uid, partition_id="train", tag={"status": "finished"})


async def _run_session(uid, session, global_steps, length):
    rows, tags = [], []
    for index in range(1 + session):  # the second session has two outputs
        prompt, response = torch.arange(3), torch.arange(length) + index
        ids = torch.cat([prompt, response])
        extra_fields = {"reward_extra_info": {"acc": float(session)}, "info": RewardInfo(session), "min_global_steps": None}
        rows.append(
            {
                "prompts": prompt,
                "responses": response,
                "response_mask": torch.ones_like(response),
                "input_ids": ids,
                "position_ids": torch.arange(len(ids)).expand(4, -1),  # of a vision model: [4, n]
                "multi_modal_inputs": {"pixel_values": torch.zeros(2, 2)} if session else {},
                "num_turns": 1 + index,
                "uid": uid,
                "reward_model": {"ground_truth": "42", "style": "rule"},
                "extra_fields": extra_fields,
            }
        )
        tags.append(
            {
                "status": "success",
                "prompt_len": prompt.size(0),
                "seq_len": np.int64(len(ids)),
                "global_steps": global_steps,
                "min_global_steps": extra_fields["min_global_steps"],
            }
        )
    keys = [f"{uid}_{session}_{index}" for index in range(len(rows))]
    await tq.async_kv_batch_put(keys=keys, fields=columns_of(rows), tags=tags, partition_id="train")


# --- replay buffer


def sample(uids):
    """Returns the batch of all trajectories of the prompts, or None while one of them is running."""
    tags = tq.kv_list()["train"]
    if any(tags[uid]["status"] != "finished" for uid in uids):
        return None
    keys = [key for key, tag in tags.items() if not tag.get("is_prompt", False) and key.split("_")[0] in uids]
    extra = tq.kv_batch_get(keys=keys, partition_id="train", select_fields=["extra_fields"])
    metrics = [fields["reward_extra_info"]["acc"] for fields in list(extra["extra_fields"])]
    assert len(metrics) == len(keys) and all(tags[key]["min_global_steps"] is None for key in keys)
    return tq.KVBatchMeta(partition_id="train", keys=keys, tags=[tags[key] for key in keys])


# --- workers


def worker(role, meta, replies):
    """A process of a data-parallel rank: reads its part of the batch, and writes what its role computes."""
    tq.init()
    replies.put(asyncio.run(_bridge(role, meta)))
    tq.close()


async def _bridge(role, meta):
    client = tq.get_client()
    batch = await client.async_kv_retrieve_meta(keys=meta.keys, partition_id=meta.partition_id, create=False)
    if meta.fields is not None:
        batch = batch.select_fields(meta.fields)
    batch.extra_info = meta.extra_info
    data = await client.async_get_data(batch)
    output, info = ROLES[role](data, copy.deepcopy(batch.extra_info))
    batch = await client.async_put(data=output, metadata=batch)
    batch.extra_info = info
    keys = await client.async_kv_retrieve_keys(global_indexes=batch.global_indexes, partition_id=batch.partition_ids[0])
    return tq.KVBatchMeta(keys, [{}] * batch.size, batch.partition_ids[0], batch.field_names, batch.extra_info)


def _log_probs(data, info):
    mask = data["response_mask"]
    assert info["temperature"] == 1.0 and mask.layout == torch.jagged
    values = torch.nested.nested_tensor_from_jagged(-mask.values().float(), mask.offsets())
    return TensorDict({"old_log_probs": values}, batch_size=data.batch_size), {"entropy": 0.5}


def _actor(data, info):
    advantages = data["advantages"]
    assert torch.equal(advantages.offsets(), data["old_log_probs"].offsets())
    assert all(ids.shape[0] == 4 for ids in data["position_ids"].unbind()) and len(data["multi_modal_inputs"].tolist()) == 3
    return TensorDict({"seen": torch.ones(*data.batch_size)}, batch_size=data.batch_size), {"loss": info["temperature"]}


ROLES = {"log_probs": _log_probs, "actor": _actor}


# --- trainer


def register(uids, global_steps):
    """Registers the prompts of a step: rows that have only a tag."""
    tags = [{"is_prompt": True, "status": "pending", "global_steps": global_steps}] * len(uids)
    tq.kv_batch_put(keys=list(np.array(uids, dtype=object)), partition_id="train", tags=tags)


def reward(batch):
    """Scores the padded responses, and writes the last token's score."""
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=["prompts", "responses"])
    responses = data["responses"].to_padded_tensor(padding=-1)
    assert data["prompts"].to_padded_tensor(padding=0).shape == (len(batch), 3)
    scores = [torch.zeros(len(row)).index_fill(0, torch.tensor([len(row) - 1]), float(row.max())) for row in data["responses"]]
    assert responses.shape[1] == max(map(len, scores))
    fields = TensorDict({"rm_scores": torch.nested.as_nested_tensor(scores, layout=torch.jagged)}, batch_size=len(batch))
    meta = tq.kv_batch_put(keys=batch.keys, partition_id=batch.partition_id, fields=fields)
    assert "rm_scores" in meta.fields and meta.tags[0]["min_global_steps"] is None


def advantage(batch):
    """Reads what the algorithm may use, of which GRPO has only a part, and writes advantages."""
    fields = ["response_mask", "rm_scores", "old_log_probs", "ref_log_prob", "values", "uid"]
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
    assert "ref_log_prob" not in data and "values" not in data
    totals = data["rm_scores"].sum(dim=1)
    mask = data["response_mask"]
    rows = [total.expand(int(n)) for total, n in zip(totals, mask.offsets().diff(), strict=True)]
    nested = torch.nested.as_nested_tensor(rows, layout=torch.jagged)
    assert data["old_log_probs"].values().shape == mask.values().shape
    output = TensorDict({"advantages": nested, "returns": nested}, batch_size=len(batch))
    return tq.kv_batch_put(keys=batch.keys, partition_id=batch.partition_id, fields=output)


def metrics(batch):
    """Reads the fields of the metrics, and of the dump of generations."""
    fields = ["uid", "num_turns", "reward_model", "extra_fields", "data_source"]
    data = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=fields)
    assert data.pop("data_source", None) is None
    turns, infos = data.pop("num_turns").tolist(), data.pop("extra_fields").tolist()
    assert {item.get("ground_truth") for item in data["reward_model"].tolist()} == {"42"}
    return {"turns": sum(turns), "acc": sum(info["info"].accuracy for info in infos)}
