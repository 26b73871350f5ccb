"""The metadata client: rollout, reward and trainer pass on rows by metadata. fetch() needs only one round trip."""

import torch
from tensordict import NonTensorStack, TensorDict

import sluice as tq

SAMPLES, PROMPTS = 4, 3

tq.init({"sampler": tq.GRPOGroupNSampler(n_samples_per_prompt=SAMPLES)})
client = tq.get_client()

# Rollout: the samples of a prompt are adjacent rows. Responses differ in length.
for prompt in range(PROMPTS):
    responses = [torch.arange(prompt + sample + 1) for sample in range(SAMPLES)]
    rollouts = TensorDict(
        {
            "prompt": NonTensorStack(*[f"prompt {prompt}"] * SAMPLES),
            "response": torch.nested.nested_tensor(responses, layout=torch.jagged),
        },
        batch_size=SAMPLES,
    )
    meta = client.put(rollouts, partition_id="train_0")
    print(f"rollout: rows {meta.global_indexes} have {meta.field_names}")

# Reward: takes whole groups and writes a new field into these rows.
for _ in range(PROMPTS):
    meta = client.get_meta(["response"], SAMPLES, "train_0", task_name="reward")
    lengths = torch.tensor([shape[0] for shape in meta.get_shapes("response")], dtype=torch.float32)
    meta.update_custom_meta([{"total_lengths": int(n)} for n in lengths])
    meta = client.put(TensorDict({"reward": lengths / lengths.sum()}, batch_size=SAMPLES), meta)
    print(f"reward:  rows {meta.global_indexes} have {meta.field_names}")
assert client.check_production_status(["response", "reward"], "train_0")

# Trainer: gets metadata and tensors in one call, leased until they are acknowledged.
for _ in range(PROMPTS):
    batch = client.fetch(["prompt", "response", "reward"], SAMPLES, "train_0", task_name="train", lease_s=60)
    advantages = batch.data["reward"] - batch.data["reward"].mean()
    print(f"trainer: {batch.data['prompt'][0]}: advantages {[round(a, 2) for a in advantages.tolist()]}")
    client.ack(batch)
assert client.check_consumption_status("train", "train_0")
print(f"all {SAMPLES * PROMPTS} rows were trained on")

client.clear_partition("train_0")
tq.close()
