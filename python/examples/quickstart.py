import torch
from tensordict import TensorDict
import sluice as tq
tq.init()
batch_input_ids = torch.tensor([[4, 5, 6], [7, 8, 9], [10, 11, 12], [13, 14, 15]])
batch_attention_mask = torch.ones_like(batch_input_ids)
data_batch = TensorDict({"input_ids": batch_input_ids, "attention_mask": batch_attention_mask}, batch_size=batch_input_ids.size(0))
keys = ["1_0", "1_1", "1_2", "2_0"]
tags = [{"global_steps": 1, "status": "running", "model_version": 1} for _ in range(len(keys))]
tq.kv_batch_put(keys=keys, partition_id="test", fields=data_batch, tags=tags)
for k, t in tq.kv_list(partition_id="test")["test"].items():
    print(f" - key='{k}' | tag={t}")
retrieved_all = tq.kv_batch_get(keys=keys, partition_id="test")
print(f" Fields: {list(retrieved_all.keys())}")
