"""A custom sampler that runs in the client. Two clients take the longest samples first, and never the same sample."""

import threading

import torch
from tensordict import TensorDict

import sluice as tq

ROWS, BATCH = 24, 3


class LongestFirst(tq.BaseSampler):
    """The rows with the largest `length` in their tag."""

    def sample(self, ready_indexes, batch_size, *, partition, **_):
        """Chooses from the ready rows. The sampled rows are consumed."""
        if len(ready_indexes) < batch_size:
            return [], []
        tags = partition.get_custom_meta(ready_indexes)
        longest = sorted(tags, key=lambda row: tags[row]["length"], reverse=True)[:batch_size]
        return longest, longest


def train(worker: int) -> None:
    """Takes batches until no rows are left."""
    client = tq.get_client()
    while batch := client.get_meta(["tokens"], BATCH, "longest", task_name="train"):
        lengths = [tag["length"] for tag in batch.custom_meta]
        print(f"worker {worker}: lengths {lengths}")
        taken.extend(batch.global_indexes)


tq.init({"sampler": LongestFirst(), "polling_mode": True})
lengths = torch.randperm(ROWS, generator=torch.Generator().manual_seed(0)) + 1
samples = torch.nested.nested_tensor([torch.zeros(n, dtype=torch.int64) for n in lengths], layout=torch.jagged)
tags = [{"length": n} for n in lengths.tolist()]
tq.kv_batch_put([f"sample-{i}" for i in range(ROWS)], "longest", TensorDict({"tokens": samples}, batch_size=ROWS), tags)

taken: list[int] = []
workers = [threading.Thread(target=train, args=[worker]) for worker in range(2)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
assert sorted(taken) == list(range(ROWS))
print(f"{ROWS} rows, each once")

tq.get_client().clear_partition("longest")
tq.close()
