"""Rollout workers: they write prompts and responses, row by row or a batch at a time, some responses as a stream.

They wait while the partition is full, so that generation is never far ahead of training.
"""

import json

import wire
from plan import BATCH_ROWS, ROWS, name_rows

CHUNK_TOKENS = 128  # of a streamed response


def run(worker):
    for batch in worker.plan.batches[worker.number :: 2]:
        ids = worker.plan.ids(batch)
        worker.at = name_rows(ids)
        rows = list(map(worker.corpus.inputs, ids))
        if worker.plan.row_by_row(batch):
            for row_id, row in zip(ids, rows):
                put = stream if worker.plan.streamed(row_id) else put_whole
                put(worker, row_id, row)
        else:
            put_batch(worker, batch, rows)
        worker.report("put", ids, wire.payload_bytes(rows))


def tag(worker, row_id, status):
    return json.dumps(worker.corpus.tag(row_id, row_id // BATCH_ROWS) | {"status": status})


def put(worker, row_id, row, status):
    arguments = ["BLOCK", worker.patience_ms, "TAG", tag(worker, row_id, status), *wire.field_arguments(row)]
    wire.expect(worker.call("KV.PUT", ROWS, f"row-{row_id}", *arguments), 1, f"KV.PUT of row {row_id}")


def put_whole(worker, row_id, row):
    put(worker, row_id, row, "generated")


def stream(worker, row_id, row):
    """The prompt first, then the growing response; it is ready with its last chunk."""
    put(worker, row_id, {"prompt_ids": row["prompt_ids"]}, "streaming")
    response = row["response_ids"]
    for end in range(CHUNK_TOKENS, response.size + CHUNK_TOKENS, CHUNK_TOKENS):
        chunk = {"response_ids": response[end - CHUNK_TOKENS : end]}
        more = ["MORE"] if end < response.size else []
        size = worker.call("KV.APPEND", ROWS, f"row-{row_id}", *more, *wire.field_arguments(chunk))
        wire.expect(size, min(end, response.size), f"KV.APPEND to row {row_id}")


def put_batch(worker, batch, rows):
    ids = worker.plan.ids(batch)
    by_key = ["KEYS", *wire.lines([f"row-{row_id}" for row_id in ids])]
    which = ["NEW", len(ids)] if worker.plan.keys_by_server(batch) else by_key
    tags = wire.lines([tag(worker, row_id, "generated") for row_id in ids])
    arguments = ["BLOCK", worker.patience_ms, "TAGS", *tags, *wire.column_arguments(rows)]
    new, indexes = worker.call("KV.MPUT", ROWS, *which, *arguments)
    wire.expect(new, len(ids), f"new rows of KV.MPUT of {worker.at}")
    wire.expect(len(set(wire.unpacked(indexes).tolist())), len(ids), f"indexes of KV.MPUT of {worker.at}")
