"""verl's trainer, agent loop, replay buffer and workers, as processes of one job: three steps, and a restart."""

import os

import pytest
import verl_roles as verl
from init_process import context, started, wait_gone

UNEQUAL, EQUAL = (2, 4), (3, 3)


@pytest.fixture
def tq(job):
    verl.tq.init(verl.SECTION)
    yield verl.tq
    verl.tq.close()


@pytest.fixture(autouse=True)
def pickles(monkeypatch):
    monkeypatch.setenv("SLUICE_ALLOW_PICKLE", "1")


def processes(target, arguments):
    """Runs a function in processes that share nothing with this one."""
    running = [context().Process(target=verl.in_environment, args=(dict(os.environ), target, each)) for each in arguments]
    for process in running:
        process.start()
    return running


def joined(running):
    for process in running:
        process.join()
        assert process.exitcode == 0


def workers(tq, role, batch, fields):
    """Sends the parts of the batch to two ranks, and joins what they return."""
    replies = context().Queue()
    batch.fields = fields
    parts = batch.chunk(2)
    running = processes(verl.worker, [(role, part, replies) for part in parts])
    metas = {tuple(meta.keys): meta for meta in (replies.get(timeout=60) for _ in parts)}
    joined(running)
    return tq.KVBatchMeta.concat([metas[tuple(part.keys)] for part in parts])


def step(tq, number, lengths):
    uids = [f"prompt{number}a", f"prompt{number}b"]
    verl.register(uids, number)
    assert verl.sample(uids) is None
    joined(processes(verl.agent_loop, [([uid], number, lengths) for uid in uids]))
    batch = verl.sample(uids)
    assert len(batch) == 6  # two prompts with one output of a session, and two of the other
    batch.extra_info["temperature"] = 1.0
    verl.reward(batch)
    batch.reorder(list(reversed(range(len(batch)))))
    extra_info = dict(batch.extra_info)
    output = workers(tq, "log_probs", batch, ["response_mask", "input_ids", "ref_log_prob"])
    assert output.keys == batch.keys and output.extra_info == {"entropy": 0.5}
    assert "advantages" in verl.advantage(batch).fields
    batch.extra_info = extra_info
    output = workers(tq, "actor", batch, ["advantages", "old_log_probs", "position_ids", "multi_modal_inputs"])
    assert output.extra_info == {"loss": 1.0}
    assert verl.metrics(batch) == {"turns": 8, "acc": 4}
    tq.kv_clear(keys=batch.keys + uids, partition_id=batch.partition_id)
    assert tq.kv_list("train") == {"train": {}}


@pytest.mark.timeout(300)
def test_all_steps_of_verl_pass(tq, job):
    step(tq, 0, UNEQUAL)
    step(tq, 1, EQUAL)
    tq.close()  # the last process of the job: the server stops
    wait_gone(*(pid for log in job.glob("*.log") for pid in started(log)))
    tq.init(verl.SECTION)
    assert tq.kv_list() == {}
    step(tq, 2, UNEQUAL)
