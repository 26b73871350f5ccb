"""Trainers: one round trip from sampler to tensors returns the next batch of whole groups, padded. They compare it bit for
bit with the expected data, and acknowledge it: its rows are consumed and evicted.
"""

import json

import wire
from plan import BATCH_ROWS, GROUP_ROWS, INPUTS, ROWS, SCORED, SCORES, TRAIN, name_rows

FIELDS = INPUTS + SCORES
SAMPLER = ["COUNT", BATCH_ROWS, "MIN", GROUP_ROWS, "SAMPLER", "group", "SIZE", GROUP_ROWS, "BY", "uid"]


def run(worker):
    formats = "columns", "safetensors"
    step = 0
    while True:
        as_file = step % 3 == 2
        arguments = [*SAMPLER, "LEASE", worker.patience_ms, "FORMAT", formats[as_file], "PAD", "right", 0]
        batch = worker.fetch(ROWS, TRAIN, FIELDS, *arguments)
        if batch.end:
            return
        worker.at = name_rows(batch.ids)
        check_groups(worker, batch)
        size = check_values(worker, batch, as_file)
        check_tags(worker, batch)
        done = worker.call("TASK.ACK", ROWS, TRAIN, "ROWS", batch.rows, "LEASE", batch.lease)
        wire.expect(done, len(batch.ids), f"TASK.ACK of {worker.at}")
        worker.report("train", batch.ids, size, len(batch.ids) * len(FIELDS), len(batch.ids))
        step += 1


def check_groups(worker, batch):
    """All samples of each prompt, and each of their rows once."""
    wire.expect(len(batch.ids) % GROUP_ROWS, 0, f"{worker.at}: rows beyond whole groups")
    for at in range(0, len(batch.ids), GROUP_ROWS):
        first = batch.ids[at] // GROUP_ROWS * GROUP_ROWS
        group = sorted(batch.ids[at : at + GROUP_ROWS])
        wire.expect(group, list(range(first, first + GROUP_ROWS)), f"{batch.name(at)}: its group")


def check_values(worker, batch, as_file):
    if as_file:
        columns, about = wire.safetensors(batch.data)
        wire.expect(about["__partition__"], ROWS, f"{worker.at}: __partition__")
        wire.expect(json.loads(about["__keys__"]), batch.keys, f"{worker.at}: __keys__")
    else:
        columns = {name.decode(): (dtype.decode(), *rest) for name, dtype, *rest in batch.data}
    wire.check_padded(columns, list(map(worker.corpus.row, batch.ids)), batch.name)
    return sum(len(data) for *_, data in columns.values())


def check_tags(worker, batch):
    for at, (row_id, tag) in enumerate(zip(batch.ids, batch.tags)):
        wanted = worker.corpus.tag(row_id, row_id // BATCH_ROWS) | SCORED
        wire.expect(tag, wanted, f"{batch.name(at)}: tag")
