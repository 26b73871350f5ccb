"""Trainers: they wait for a batch, read it padded, compare it bit for bit with what must be there, and clear it."""

import json

import wire
from plan import BATCHES, INPUTS, ROWS, SCORED, SCORES, batch_row, by_index, by_key

FIELDS = INPUTS + SCORES


def run(worker):
    for batch in worker.plan.batches[worker.number :: 2]:
        ids = worker.plan.ids(batch)
        worker.at = f"rows {ids[0]} to {ids[-1]}"
        which = by_index(ids, handed_over(worker, batch)) if worker.plan.keys_by_server(batch) else by_key(ids)
        worker.wait(ROWS, which, SCORES)
        size = check_values(worker, batch, which)
        check_tags(worker, batch, which)
        wire.expect(worker.call("KV.CLEAR", ROWS, *which.arguments), len(ids), f"KV.CLEAR of {worker.at}")
        worker.call("KV.PUT", BATCHES, f"batch-{batch}", "FIELD", "trained", "bool", "VALUES", 1)
        worker.report("train", len(ids), size, values_checked=len(ids) * len(FIELDS), tags_checked=len(ids))


def handed_over(worker, batch):
    """The indexes of rows for which the server made the keys."""
    worker.wait(BATCHES, batch_row(batch), ["indexes"])
    reply = worker.call("KV.MGET", BATCHES, "KEYS", 1, f"batch-{batch}", "FIELDS", 1, "indexes")
    return wire.unpacked(reply[0][4]).tolist()


def check_values(worker, batch, which):
    arguments = ["KV.MGET", ROWS, *which.arguments, "FIELDS", len(FIELDS), *FIELDS, "PAD", "right", 0]
    if worker.plan.as_safetensors(batch):
        columns, about = wire.safetensors(worker.call(*arguments, "FORMAT", "safetensors"))
        wire.expect(about["__partition__"], ROWS, f"{worker.at}: __partition__")
        wire.expect(json.loads(about["__keys__"]), which.keys, f"{worker.at}: __keys__")
    else:
        columns = {name.decode(): (dtype.decode(), *rest) for name, dtype, *rest in worker.call(*arguments)}
    rows = list(map(worker.corpus.row, which.ids))
    wire.check_padded(columns, rows, which.name)
    return sum(len(data) for *_, data in columns.values())


def check_tags(worker, batch, which):
    if worker.plan.tags_by_list(batch):
        where = ["WHERE", 2, "global_steps", "=", batch, "status", "=", SCORED["status"]]
        reply = worker.call("KV.LIST", ROWS, *where, "FIELDS", len(FIELDS), *FIELDS)
        listed = {key.decode(): tag for key, tag in wire.pairs(reply)}
        wire.expect(sorted(listed), sorted(which.keys), f"{worker.at}: KV.LIST WHERE")
        tags = [listed[key] for key in which.keys]
    else:
        tags = worker.call("KV.TAGS", ROWS, *which.arguments)
        wire.expect(len(tags), len(which.ids), f"{worker.at}: tags")
    for at, (row_id, tag) in enumerate(zip(which.ids, tags)):
        wire.expect(tag and json.loads(tag), worker.corpus.tag(row_id, batch) | SCORED, f"{which.name(at)}: tag")
