"""Public calls of TransferQueue, with plain arguments and results, so that two implementations can be compared.

Runs in two environments: with TransferQueue on Ray (peer.py), and with sluice.compat.
"""

import torch
from tensordict import NonTensorStack, TensorDict

PARTITIONS = ("p", "q")


def column(field, numbers):
    """Returns the values of a field: one row per number, whose shape depends on it where rows of the field differ."""
    if field == "score":
        return torch.tensor(numbers, dtype=torch.float32)
    if field == "text":
        return NonTensorStack(*(f"text {n}" for n in numbers))
    if field == "info":
        return NonTensorStack(*({"n": n, "none": None, "list": [n]} for n in numbers))
    if field == "ids":
        return torch.tensor([[n, n + 1, n + 2] for n in numbers])
    rows = [torch.full((4, n % 3 + 1) if field == "wide" else (n % 4 + 1,), n) for n in numbers]
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)


FIELDS = ("score", "text", "info", "ids", "tokens", "wide")


def plain(value):
    """Returns a result without tensors and classes."""
    if isinstance(value, TensorDict):
        return value.batch_size[0], {str(name): plain(value.get(name)) for name in sorted(value.keys())}
    if isinstance(value, torch.Tensor):
        rows = [(str(row.dtype), tuple(row.shape), row.tolist()) for row in value.unbind()]
        return str(value.layout) if value.is_nested else "dense", rows
    if isinstance(value, NonTensorStack):
        return "objects", value.tolist()
    if type(value).__name__ == "KVBatchMeta":
        partition = value.partition_id and value.partition_id.split("-")[0]
        return list(value.keys), value.tags, partition, None if value.fields is None else sorted(value.fields)
    if type(value).__name__ == "BatchMeta":
        # TransferQueue's batches without rows have the fields of some of the rows.
        return value.size, sorted(value.field_names) if value.size else [], value.is_ready, value.get_all_custom_meta()
    return value


class Calls:
    """The calls. Each returns a plain result."""

    def __init__(self, tq):
        self.tq = tq
        self.client = tq.get_client()
        self.metas = []  # of the puts of this run
        self.run = 0

    def do(self, name, arguments):
        """Returns the result of a call, or "error". Partitions have names of their own in each run."""
        arguments = [f"{each}-{self.run}" if each in PARTITIONS else each for each in arguments]
        try:
            return plain(getattr(self, name)(*arguments))
        except Exception as error:
            self.last_error = error
            return "error"

    def next_run(self):
        """TransferQueue may make a partition again just after it was cleared. So no run uses the names of another."""
        for name in self.client.get_partition_list():
            self.client.clear_partition(name)
        self.metas = []
        self.run += 1

    def put(self, keys, partition, fields, numbers, tags):
        data = TensorDict({name: column(name, numbers) for name in fields}, batch_size=[len(keys)]) if fields else None
        self.metas.append(self.tq.kv_batch_put(keys=keys, partition_id=partition, fields=data, tags=tags))
        return self.metas[-1]

    def put_one(self, key, partition, fields, number, tag):
        values = {}
        for name in fields:
            value = column(name, [number])
            values[name] = value.unbind()[0] if isinstance(value, torch.Tensor) else value.tolist()[0]
        return self.tq.kv_put(key=key, partition_id=partition, fields=values or None, tag=tag)

    def get(self, keys, partition, fields):
        return self.tq.kv_batch_get(keys=keys, partition_id=partition, select_fields=fields)

    def get_by_meta(self, which, fields):
        return self.tq.kv_batch_get_by_meta(self.metas[which % len(self.metas)], fields) if self.metas else None

    def list(self, partition):
        listed = self.tq.kv_list(partition)
        return {name.split("-")[0]: rows for name, rows in listed.items() if name.endswith(f"-{self.run}")}

    def clear(self, keys, partition):
        return self.tq.kv_clear(keys=keys, partition_id=partition)

    def retrieve_meta(self, keys, partition, create):
        return self.client.kv_retrieve_meta(keys=keys, partition_id=partition, create=create)

    def data_of_meta(self, keys, partition, fields):
        batch = self.client.kv_retrieve_meta(keys=keys, partition_id=partition)
        return self.client.get_data(batch.select_fields(fields)) if batch.size else None

    def keys_of_rows(self, keys, partition):
        batch = self.client.kv_retrieve_meta(keys=keys, partition_id=partition)
        return self.client.kv_retrieve_keys(batch.global_indexes, partition) if batch.size else None

    def put_into(self, keys, partition, field, numbers):
        batch = self.client.kv_retrieve_meta(keys=keys, partition_id=partition)
        if batch.size != len(keys):
            return None
        return self.client.put(TensorDict({field: column(field, numbers)}, batch_size=[len(keys)]), batch)

    def fetch(self, partition, fields, task):
        """Takes all rows, one by one: TransferQueue uses indexes again, so its order differs."""
        keys = []
        while (batch := self.client.get_meta(list(fields), 1, partition, task_name=task)).size:
            keys += self.client.kv_retrieve_keys(batch.global_indexes, partition)
        return sorted(keys)

    def reset(self, partition, task):
        return self.client.reset_consumption(partition, task)

    def ready(self, partition, field):
        """TransferQueue also returns None for a field that no row ever had."""
        rows, ready = self.client.get_production_status([field], partition)
        return None if rows is None or not ready.any() else sorted(ready.tolist())

    def reordered(self, which, order, from_the_end):
        if not self.metas:
            return None
        meta = self.tq.KVBatchMeta.concat([self.metas[which % len(self.metas)]])
        positions = [i for i in order if i < len(meta)]
        meta.reorder([i - len(meta) for i in positions] if from_the_end else positions)
        return meta

    def consumed(self, partition, task):
        _, ones = self.client.get_consumption_status(task, partition)
        return None if ones is None else sorted(ones.tolist())

    def all_consumed(self, partition, task):
        return self.client.check_consumption_status(task_name=task, partition_id=partition)

    def chunks(self, which, number):
        return [plain(part) for part in self.metas[which % len(self.metas)].chunk(number)] if self.metas else None

    def joined(self, one, other):
        metas = [self.metas[which % len(self.metas)] for which in (one, other)] if self.metas else []
        return self.tq.KVBatchMeta.concat(metas)

    def selected(self, which, keys):
        return self.metas[which % len(self.metas)].select_keys(keys) if self.metas else None
