"""Four ranks read one stream of rollouts through StreamingDataLoaders. There are two replicas of two ranks each.

    python streaming_loader.py

Producers put groups of 4 samples while the ranks read. The ranks of a replica have the same dp_rank and get the same
rows. At the end the example checks that every sample came to one replica, in whole groups, and that the ranks of a
replica got the same samples.
"""

import multiprocessing
import os

import torch
from tensordict import TensorDict

import sluice as tq

GROUP = 4  # samples of a prompt
PROMPTS = 250  # of each producer
PRODUCERS = 2
RANKS = 4
BATCH, MICRO_BATCH = 64, 16


def produce(config, producer):
    """Puts the samples of its prompts, one group per call."""
    tq.init(config)
    client = tq.get_client()
    generator = torch.Generator().manual_seed(producer)
    for prompt in range(producer, PRODUCERS * PROMPTS, PRODUCERS):
        lengths = torch.randint(1, 9, (GROUP,), generator=generator).tolist()
        ids = torch.nested.nested_tensor([torch.full((n,), prompt) for n in lengths], layout=torch.jagged)
        rollouts = TensorDict({"input_ids": ids, "reward": torch.rand(GROUP, generator=generator)}, batch_size=[GROUP])
        client.put(rollouts, partition_id="rollouts")


def train(config, rank, results):
    """Reads the share of its replica to the end, and reports the rows."""
    dataset = tq.StreamingDataset(
        config,
        batch_size=BATCH,
        micro_batch_size=MICRO_BATCH,
        data_fields=["input_ids", "reward"],
        partition_id="rollouts",
        task_name="train",
        dp_rank=rank // 2,
        should_check_consumption_status=True,
    )
    rows, tokens = [], 0
    for data, metadata in tq.StreamingDataLoader(dataset, num_workers=2):
        rows += metadata.global_indexes
        tokens += data["input_ids"].values().numel()
    results.put((rank, rows, tokens))


if __name__ == "__main__":
    samples = PRODUCERS * PROMPTS * GROUP
    os.environ["TQ_PRE_ALLOC_SAMPLE_NUM"] = str(samples)  # tells the ranks where the stream ends
    config = tq.init({"sampler": tq.GRPOGroupNSampler(n_samples_per_prompt=GROUP)})
    processes = multiprocessing.get_context("fork")  # spawned processes would import torch, which takes seconds

    results = processes.Queue()
    workers = [processes.Process(target=produce, args=(config, producer)) for producer in range(PRODUCERS)]
    workers += [processes.Process(target=train, args=(config, rank, results)) for rank in range(RANKS)]
    for worker in workers:
        worker.start()
    rows_of = {}
    for _ in range(RANKS):
        rank, rows, tokens = results.get()
        rows_of[rank] = rows
        print(f"rank {rank} of replica {rank // 2}: {len(rows)} samples, {tokens} tokens")
    for worker in workers:
        worker.join()

    assert rows_of[0] == rows_of[1] and rows_of[2] == rows_of[3]
    assert sorted(rows_of[0] + rows_of[2]) == list(range(samples))
    for rows in rows_of.values():
        assert all(rows[i] // GROUP == rows[i - i % GROUP] // GROUP for i in range(len(rows)))
    print(f"{samples} samples, each once, in whole groups")
