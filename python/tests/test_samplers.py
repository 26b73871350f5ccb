"""Samplers without a server choose the same rows as the server, for every request."""

import copy
import json
import pickle
import random

import numpy as np
import pytest

from sluice.samplers import (
    BaseSampler,
    GRPOGroupNSampler,
    PerPartition,
    RankAwareSampler,
    SeqlenBalancedSampler,
    SequentialSampler,
    TokenBudgetSampler,
    deal_equally,
    make_sampler,
    server_arguments,
)


def test_the_sequential_sampler_takes_rows_in_order():
    assert SequentialSampler().sample([5, 1, 9], 2) == ([1, 5], [1, 5])
    assert SequentialSampler()([1, 5], 3) == ([], [])


def test_groups_are_whole_and_aligned():
    sampler = GRPOGroupNSampler(3)
    assert sampler.sample([0, 1, 3, 4, 5, 6, 7, 9, 10, 11], 6)[0] == [3, 4, 5, 9, 10, 11]
    assert sampler.sample([1, 2, 3, 4], 3) == ([], [])
    with pytest.raises(ValueError, match="batch_size must be a multiple of n_samples_per_prompt 3, got 4"):
        sampler.sample([0, 1, 2, 3], 4)
    with pytest.raises(ValueError, match="n_samples_per_prompt must be at least 1, got 0"):
        GRPOGroupNSampler(0)


def test_a_step_of_a_rank_is_remembered():
    sampler = RankAwareSampler()
    first = sampler.sample([0, 1, 2, 3], 2, 0, 0, "t", "p")
    assert first == ([0, 1], [0, 1]) and sampler.sample([2, 3], 2, 0, 0, "t", "p") == first
    assert sampler.sample([2, 3], 2, dp_rank=1, batch_index=0, task_name="t", partition_id="p")[0] == [2, 3]
    assert sampler.has_cached_result("p", "t", {"dp_rank": 1, "batch_index": 0})
    assert not sampler.has_cached_result("p", "t", {"dp_rank": 1, "batch_index": 1})
    assert not sampler.has_cached_result("p", "t")
    with pytest.raises(ValueError, match="step 0 of rank 0 had batch_size 2, got 1"):
        sampler.sample([5], 1, 0, 0, "t", "p")
    sampler.clear_cache("p")
    assert sampler.sample([5], 1, 0, 0, "t", "p")[0] == [5]


def test_steps_are_checked():
    for batch_size, step, why in [
        (0, {}, "batch_size must be at least 1, got 0"),
        (1, {"dp_rank": 0}, "dp_rank and batch_index must be given together, got 0 and None"),
        (1, {"batch_index": 0}, "dp_rank and batch_index must be given together, got None and 0"),
        (1, {"dp_rank": -1, "batch_index": 0}, "dp_rank must be at least 0, got -1"),
    ]:
        with pytest.raises(ValueError, match=why):
            SequentialSampler().sample([1, 2], batch_size, **step)
    with pytest.raises(ValueError, match="dp_rank must be 0 to 1, got 2"):
        SeqlenBalancedSampler(1, 2).sample([1, 2], 1, dp_rank=2, batch_index=0)
    with pytest.raises(ValueError, match="dp_rank must be 0 to 1, got None"):
        SeqlenBalancedSampler(1, 2).sample([1, 2], 1)
    with pytest.raises(ValueError, match="dp_size must be at least 1, got 0"):
        SeqlenBalancedSampler(1, 0)


def test_the_first_rank_that_asks_determines_the_balanced_shares():
    class Partition:
        def get_custom_meta(self, rows):
            return {row: {"total_lengths": [900, 100, 500, 480][row]} for row in rows}

    sampler = SeqlenBalancedSampler(1, 2)
    assert sampler.sample([0, 1, 2], 2, dp_rank=0, batch_index=0, partition=Partition()) == ([], [])
    first = sampler.sample([0, 1, 2, 3], 2, dp_rank=1, batch_index=0, partition=Partition())
    assert first == ([2, 3], [0, 1, 2, 3])
    assert sampler.sample([], 2, dp_rank=0, batch_index=0) == ([0, 1], [0, 1, 2, 3])


def test_unchanged_samplers_run_on_the_server():
    class Mine(GRPOGroupNSampler):
        def sample(self, ready_indexes, batch_size, **_):
            return ready_indexes[:1], ready_indexes

    assert server_arguments(GRPOGroupNSampler(4)) == ["group", "SIZE", 4]
    assert server_arguments(RankAwareSampler()) == ["ranked"]
    assert server_arguments(Mine(4)) is None
    assert type(make_sampler("SequentialSampler")) is type(make_sampler(SequentialSampler)) is SequentialSampler
    mine = Mine(4)
    assert make_sampler(mine) is mine
    with pytest.raises(ValueError, match="got 'NoSampler'"):
        make_sampler("NoSampler")
    with pytest.raises(ValueError, match="got 5"):
        make_sampler(5)


def test_a_sampler_may_differ_by_partition():
    groups, every = GRPOGroupNSampler(2), PerPartition({"train_*": GRPOGroupNSampler(2), "eval": "SequentialSampler"})
    assert server_arguments(every.of_partition("train_7")) == server_arguments(groups)
    assert every.sample([1, 2, 3], 2, partition_id="train_7") == ([2, 3], [2, 3])
    step = {"dp_rank": 0, "batch_index": 0}
    assert every.sample([1, 2, 3], 2, partition_id="eval", **step) == ([1, 2], [1, 2])
    assert every.sample([5, 6], 2, partition_id="eval", **step) == ([1, 2], [1, 2])
    every.clear_cache("eval")
    assert every.sample([5, 6], 2, partition_id="eval", **step) == ([5, 6], [5, 6])
    with pytest.raises(ValueError, match=r"no sampler for partition 'x': it matches none of \['train_\*', 'eval'\]"):
        every.of_partition("x")
    with pytest.raises(ValueError, match="PerPartition'> cannot be made without arguments"):
        make_sampler(PerPartition)


def test_a_subclass_need_not_call_init():
    class Mine(BaseSampler):
        def __init__(self, n):
            self.n = n

        def sample(self, ready_indexes, batch_size, **_):
            return ready_indexes[-self.n :], ready_indexes[-self.n :]

    assert not Mine(2).has_cached_result("p", "t", {"dp_rank": 0, "batch_index": 0})
    assert copy.deepcopy(Mine(2)).n == 2 and pickle.loads(pickle.dumps(SeqlenBalancedSampler(2, 3))).dp_size == 3
    with pytest.raises(TypeError, match="abstract"):
        BaseSampler()


def test_equal_weights_are_dealt_in_equal_numbers():
    assert sorted(map(len, deal_equally([0.0] * 12, 4))) == [3, 3, 3, 3]


@pytest.mark.parametrize("seed", range(24))
def test_the_server_chooses_the_same_rows(sluice_url, server, seed):
    print("seed", seed)
    rng = random.Random(seed)
    size, ranks, share = rng.randint(1, 4), rng.randint(1, 4), rng.randint(1, 12)
    kinds = [None, True, -1, 2.5, 1e3] if seed % 2 else [0, 1, 2, 3]  # the latter gives ties
    samplers = [SequentialSampler(), RankAwareSampler(), GRPOGroupNSampler(size), SeqlenBalancedSampler(size, ranks)]
    with server.client() as client:
        for number, sampler in enumerate(samplers):
            rows = rng.randint(1, 400)
            weights = [rng.choice([*kinds, rng.randint(0, 9)]) for _ in range(rows)]
            tags = [{"total_lengths": weight} if weight is not None else {} for weight in weights]
            name = f"p{number}"
            client.execute_command("KV.MPUT", name, "NEW", rows, "TAGS", rows, *map(json.dumps, tags))
            have = set(rng.sample(range(rows), rng.randint(rows // 2, rows)))
            blob = np.array(sorted(have), np.int64).tobytes()
            client.execute_command("KV.MPUT", name, "ROWS", blob, "COLUMN", "x", "uint8", "BLOB", bytes(len(have)))
            for step in range(8):
                for rank in range(ranks):
                    fetch = ["TASK.FETCH", name, "t", "FIELDS", 1, "x", "COUNT", share * size]
                    fetch += ["SAMPLER", *server_arguments(sampler), "RANK", rank, "STEP", step]
                    reply = client.execute_command(*fetch)
                    context = {"dp_rank": rank, "batch_index": step, "custom_meta": dict(enumerate(tags))}
                    sampled, consumed = sampler.sample(sorted(have), share * size, task_name="t", **context)
                    have -= set(consumed)
                    assert sampled == (np.frombuffer(reply[b"rows"], np.int64).tolist() if reply else [])


def test_a_token_budget_names_the_server_sampler():
    words = ["budget", "TOKENS", 4096, "WEIGHT", "total_lengths"]
    assert server_arguments(TokenBudgetSampler(4096)) == words
    sampler = TokenBudgetSampler(10, "n", dp_size=2, n_samples_per_prompt=4, by="uid", underfill=True)
    words = ["budget", "TOKENS", 10, "WEIGHT", "n", "RANKS", 2, "SIZE", 4, "BY", "uid", "UNDERFILL"]
    assert server_arguments(pickle.loads(pickle.dumps(sampler))) == words
    with pytest.raises(ValueError, match="only the server can sample by a budget"):
        sampler.sample([1, 2], 2)
    with pytest.raises(ValueError, match="tokens must be at least 1, got 0"):
        TokenBudgetSampler(0)
