"""Scorers: write reward and logprobs into the same rows, and a tag, as soon as the prompt and the response are ready.

Rows are leased: those of a scorer that dies go to another one.
"""

import json

import wire
from plan import BATCH_ROWS, INPUTS, KILLED, LEASE_MS, ROWS, SCORE, SCORED, name_rows


def run(worker):
    arguments = ["COUNT", BATCH_ROWS, "MIN", 1, "LEASE", LEASE_MS, "FORMAT", "columns"]
    while not (batch := worker.fetch(ROWS, SCORE, INPUTS, *arguments)).end:
        worker.at = name_rows(batch.ids)
        if worker.plan.fatal_row in batch.ids and worker.call("SET", KILLED, worker.number, "NX"):
            worker.be_killed(batch.ids)
        score(worker, batch)


def score(worker, batch):
    columns = {name.decode(): wire.cells(*rest) for name, *rest in batch.data}
    rows = [worker.corpus.scores(*each) for each in zip(*(columns[name] for name in INPUTS))]
    tags = wire.lines([json.dumps(SCORED)] * len(rows))
    which = ["ROWS", batch.rows]
    new, indexes = worker.call("KV.MPUT", ROWS, *which, "TAGS", *tags, *wire.column_arguments(rows))
    wire.expect((new, indexes), (0, batch.rows), f"KV.MPUT of the scores of {worker.at}")
    scored = worker.call("TASK.ACK", ROWS, SCORE, *which, "LEASE", batch.lease)
    if scored == 0:
        return  # too late: the lease expired, and another scorer gets these rows
    wire.expect(scored, len(rows), f"TASK.ACK of {worker.at}")
    worker.report("score", batch.ids, wire.payload_bytes(rows))
