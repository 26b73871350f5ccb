"""Scorers: reward and logprobs into the same rows, and a tag, as soon as the prompt and the response are there."""

import json

import wire
from plan import BATCH_ROWS, BATCHES, INPUTS, ROWS, SCORED, batch_row, by_key


def by_wait(worker):
    """This one knows its rows, and waits for them."""
    for batch in worker.plan.batches:
        if not worker.plan.scored_by_changes(batch):
            which = by_key(worker.plan.ids(batch))
            worker.at = f"rows {which.ids[0]} to {which.ids[-1]}"
            worker.wait(ROWS, which, INPUTS)
            score(worker, which)


def by_changes(worker):
    """This one learns of rows by looking at what changed, whenever the next batch of its own is there."""
    plan = worker.plan
    todo = {row_id for batch in plan.batches if plan.scored_by_changes(batch) for row_id in plan.ids(batch)}
    revision = 0
    while todo:
        due = wait_for_batch(worker, todo)
        revision, found = look(worker, revision, todo)
        if not due <= found.keys():
            lost = min(due - found.keys())
            raise wire.Mismatch(f"row {lost}: it was put, and KV.CHANGES {ROWS} does not show it")
        score_all(worker, found)
        todo.difference_update(found)


def wait_for_batch(worker, todo):
    """Returns the rows that are there now for sure: those of the first batch to do, as the last of it has come."""
    batch = min(todo) // BATCH_ROWS
    due = todo.intersection(worker.plan.ids(batch))
    if worker.plan.keys_by_server(batch):
        worker.wait(BATCHES, batch_row(batch), ["indexes"])
    else:
        worker.wait(ROWS, by_key([max(due)]), INPUTS)
    return due


def look(worker, revision, todo):
    """(revision now, {id: key} of rows to do that became ready since that revision)"""
    revision, changed, _ = worker.call("KV.CHANGES", ROWS, revision, "FIELDS", len(INPUTS), *INPUTS)
    keys = {json.loads(tag)["id"]: key.decode() for key, tag in wire.pairs(changed)}
    return revision, {row_id: key for row_id, key in keys.items() if row_id in todo}


def score_all(worker, keys):
    ids = list(keys)
    for at in range(0, len(ids), BATCH_ROWS):
        portion = ids[at : at + BATCH_ROWS]
        worker.at = f"rows {portion[0]} to {portion[-1]}"
        score(worker, by_key(portion, [keys[row_id] for row_id in portion]))


def score(worker, which):
    reply = worker.call("KV.MGET", ROWS, *which.arguments, "FIELDS", len(INPUTS), *INPUTS)
    columns = {name.decode(): wire.cells(*rest) for name, *rest in reply}
    rows = [worker.corpus.scores(*each) for each in zip(*(columns[name] for name in INPUTS))]
    tags = wire.lines([json.dumps(SCORED)] * len(rows))
    new, indexes = worker.call("KV.MPUT", ROWS, *which.arguments, "TAGS", *tags, *wire.column_arguments(rows))
    newest = int(wire.unpacked(indexes).argmax())
    wire.expect(new, 0, f"{which.name(newest)}: new rows where its scores were put")
    worker.report("score", len(rows), wire.payload_bytes(rows))
