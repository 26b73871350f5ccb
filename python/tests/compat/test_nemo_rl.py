"""NeMo-RL's driver, rollout and policy workers, as processes of one job: two steps in one partition."""

import importlib
import importlib.resources
import os
import threading

import nemo_rl_roles as nemo
import pytest
import torch
from init_process import context
from tensordict import TensorDict

LENGTHS = {"unequal": [2, 5, 3, 4], "equal": [3, 3, 3, 3]}


@pytest.fixture
def tq(job, monkeypatch):
    monkeypatch.setenv("SLUICE_ALLOW_PICKLE", "1")
    with pytest.warns(UserWarning, match="total_storage_size"):
        nemo.tq.init(conf=nemo.SECTION)
    yield nemo.tq
    nemo.tq.close()


def run(role, *each):
    """Runs a role in one process per tuple of arguments."""
    arguments = [(dict(os.environ), role, one) for one in each]
    running = [context().Process(target=nemo.in_environment, args=one) for one in arguments]
    for process in running:
        process.start()
    for process in running:
        process.join()
        assert process.exitcode == 0


def step(partition, number, lengths):
    keys = [f"step{number}_g{i // 2}_s{i % 2}" for i in range(len(lengths))]
    nemo.register(partition, nemo.FIELDS)
    assert nemo.claim(partition, "train", nemo.PER_TOKEN, len(keys), rank=0) == ([], [])
    assert not nemo.consumed(partition, "train")  # of no rows
    run(nemo.rollout, (partition, keys, lengths))

    claimed, tags = nemo.claim(partition, "train", nemo.PER_TOKEN, len(keys), rank=0)
    assert {key: tag["input_lengths"] for key, tag in zip(claimed, tags, strict=True)} == dict(zip(keys, lengths, strict=True))
    assert nemo.consumed(partition, "train") and not nemo.consumed(partition, "score")
    run(nemo.log_probs, (partition, keys[:2]), (partition, keys[2:]))

    data = nemo.get(keys, partition, ["prev_logprobs", "total_reward", "message_log", "pixel_values"])
    assert nemo.padded(data["prev_logprobs"]).shape == (4, max(lengths))
    assert data["pixel_values"].shape == (4, 2, 3) and data["pixel_values"].dtype == torch.bfloat16
    assert [log[0]["content"] for log in nemo.objects(data.get("message_log"))] == keys
    advantages = data["total_reward"] - data["total_reward"].mean()
    nemo.put(keys, partition, TensorDict({"advantages": advantages[:, None].expand(-1, 5)}, batch_size=[4]))
    nemo.put(keys, partition, tags=[{"trained": True}] * 4)
    assert nemo.get(keys, partition, ["advantages"])["advantages"][:, 0].tolist() == [-1.5, -0.5, 0.5, 1.5]
    tag = {"input_lengths": lengths[0], "weight_version": 3, "trained": True}
    assert nemo.tq.kv_list(partition_id=partition)[partition][keys[0]] == tag

    nemo.clear(partition, keys[:1])
    assert nemo.clear(partition) == 3 and nemo.clear(partition) == 0


def test_what_nemo_rl_imports_is_there_or_missing_as_it_expects(tq):
    assert (importlib.resources.files("transfer_queue") / "config.yaml").is_file()
    for module in ("transfer_queue.controller", "transfer_queue.storage.simple_storage"):
        with pytest.raises(ImportError):
            importlib.import_module(module)


@pytest.mark.timeout(300)
def test_all_steps_of_nemo_rl_pass(tq):
    step("train", 0, LENGTHS["unequal"])
    tq.init()  # NeMo-RL connects again before a checkpoint
    step("train", 1, LENGTHS["equal"])


def test_calls_that_are_staged_one_by_one_are_read_together(tq):
    calls = {f"call{i}": i + 1 for i in range(4)}
    threads = [threading.Thread(target=nemo.stage, args=("staging", call, tokens)) for call, tokens in calls.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    data = nemo.get(calls, "staging", ["token_ids_delta", "delta_len", "rollout_id_utf8", "parent_call_id_present"])
    assert [row.tolist() for row in data["token_ids_delta"].unbind()] == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3]]
    assert data["delta_len"].tolist() == [1, 2, 3, 4] and data["parent_call_id_present"].tolist() == [False, True, True, True]
    assert bytes(data["rollout_id_utf8"][2].tolist()) == b"call2" and data["rollout_id_utf8"].dtype == torch.uint8
