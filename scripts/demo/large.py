"""Values of 1 MiB, put, got, compared and cleared: throughput."""

import wire
from plan import LARGE, name_rows

AT_A_TIME = 4


def run(worker):
    ids = range(worker.number, worker.plan.large_rows, 2)
    for act in (put, get, clear):
        for at in range(0, len(ids), AT_A_TIME):
            act(worker, ids[at : at + AT_A_TIME])


def put(worker, ids):
    size = 0
    for row_id in ids:
        worker.at = f"1 MiB row {row_id}"
        row = {"hidden": worker.corpus.large(row_id)}
        wire.expect(worker.call("KV.PUT", LARGE, f"row-{row_id}", *wire.field_arguments(row)), 1, worker.at)
        size += wire.payload_bytes([row])
    worker.report("put 1 MiB", ids, size)


def get(worker, ids):
    size = 0
    for row_id in ids:
        worker.at = f"1 MiB row {row_id}"
        reply = worker.call("KV.MGET", LARGE, "KEYS", 1, f"row-{row_id}")
        columns = {name.decode(): (dtype.decode(), *rest) for name, dtype, *rest in reply}
        row = {"hidden": worker.corpus.large(row_id)}
        wire.check_padded(columns, [row], lambda _: worker.at)
        size += wire.payload_bytes([row])
    worker.report("get 1 MiB", ids, size, values_checked=len(ids))


def clear(worker, ids):
    keys = [f"row-{row_id}" for row_id in ids]
    worker.at = f"1 MiB {name_rows(ids)}"
    wire.expect(worker.call("KV.CLEAR", LARGE, "KEYS", *wire.lines(keys)), len(ids), worker.at)
    worker.report("clear 1 MiB", ids, 0)
