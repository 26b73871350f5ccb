"""The worker processes of the demo. Each has one redis-py connection, takes jobs from its queue, and reports.

A job is (act, arguments...): the name of a method of Worker, which returns an Outcome. Rollout workers write, readers
read, check and clear. In `stream_put` a rollout worker itself hands what it wrote to the readers' queue: nobody asks
the server again and again whether something is there.
"""

import dataclasses
import json
import multiprocessing
import os
import queue
import signal
import time
import traceback

import numpy
import redis

import wire
from source import SCORED

TEXT, BATCH, LARGE, STREAM = "demo.text", "demo.batch", "demo.large", "demo.stream"


@dataclasses.dataclass
class Outcome:
    """What one job did. `rows` counts towards the stage's progress; `handed` goes back to who gave the job."""

    rows: int = 0
    bytes: int = 0
    values_checked: int = 0
    tags_checked: int = 0
    seconds: list = dataclasses.field(default_factory=list)  # of each call
    handed: object = None


def keys(ids):
    return [f"row-{row_id}" for row_id in ids]


def json_lines(tags):
    return wire.lines([json.dumps(tag) for tag in tags])


class Worker:
    def __init__(self, client, corpus, readers):
        self.client, self.corpus, self.readers = client, corpus, readers
        self.outcome = Outcome()

    def call(self, *arguments):
        start = time.perf_counter()
        reply = self.client.execute_command(*arguments)
        self.outcome.seconds.append(time.perf_counter() - start)
        return reply

    # --- rollout workers and the reward model

    def put_rows(self, ids):
        for row_id in ids:
            fields = self.corpus.fields(row_id)
            tag = json.dumps(self.corpus.tag(row_id))
            new = self.call("KV.PUT", TEXT, f"row-{row_id}", "TAG", tag, *wire.field_arguments(fields))
            wire.expect(new, 1, f"KV.PUT of row-{row_id}")
            self._wrote([fields])

    def score_rows(self, ids):
        rows = [{"reward": self.corpus.reward(row_id)} for row_id in ids]
        tags = json_lines([SCORED] * len(ids))
        self._mput(TEXT, ["KEYS", *wire.lines(keys(ids))], rows, tags, new=0)

    def put_batch(self, ids):
        rows = self._finished(ids)
        tags = json_lines(map(self.corpus.tag, ids))
        indexes = self._mput(BATCH, ["NEW", len(ids)], rows, tags, new=len(ids))
        self.outcome.handed = (ids, indexes)

    def put_large(self, ids):
        for row_id in ids:
            fields = {"hidden": self.corpus.large(row_id)}
            new = self.call("KV.PUT", LARGE, f"row-{row_id}", *wire.field_arguments(fields))
            wire.expect(new, 1, f"KV.PUT of row-{row_id}")
            self._wrote([fields])

    def stream_put(self, ids):
        rows = self._finished(ids)
        tags = json_lines(map(self.corpus.tag, ids))
        self._mput(STREAM, ["KEYS", *wire.lines(keys(ids))], rows, tags, new=len(ids))
        self.outcome.rows = 0  # they count once they are read, checked and cleared
        self.readers.put(("stream_take", ids))

    # --- readers

    def get_rows(self, ids):
        rows = [row | {"reward": self.corpus.reward(row_id)} for row_id, row in zip(ids, self._rows(ids))]
        which = ["KEYS", *wire.lines(keys(ids))]
        reply = self.call("KV.MGET", TEXT, *which, "FORMAT", "rows")
        self._read(rows, wire.check_rows(reply, rows, f"{TEXT} {ids}"))
        self._check_tags(TEXT, which, [self.corpus.tag(row_id) | SCORED for row_id in ids])

    def get_batch(self, ids, indexes):
        rows = self._finished(ids)
        reply = self.call("KV.MGET", BATCH, "ROWS", indexes, "FORMAT", "columns")
        self._read(rows, wire.check_columns(reply, rows, f"{BATCH} {ids}"))
        self._check_tags(BATCH, ["ROWS", indexes], list(map(self.corpus.tag, ids)))

    def get_large(self, ids):
        for row_id in ids:
            rows = [{"hidden": self.corpus.large(row_id)}]
            reply = self.call("KV.MGET", LARGE, "KEYS", 1, f"row-{row_id}", "FIELDS", 1, "hidden")
            self._read(rows, wire.check_columns(reply, rows, f"{LARGE} row-{row_id}"))

    def clear_keys(self, partition, ids):
        self._clear(partition, ["KEYS", *wire.lines(keys(ids))], len(ids))

    def clear_indexes(self, ids, indexes):
        self._clear(BATCH, ["ROWS", indexes], len(ids))

    def stream_take(self, ids):
        rows = self._finished(ids)
        which = ["KEYS", *wire.lines(keys(ids))]
        names = wire.lines(rows[0])
        reply = self.call("KV.MGET", STREAM, *which, "FIELDS", *names)
        self._read(rows, wire.check_columns(reply, rows, f"{STREAM} {ids}"))
        self._check_tags(STREAM, which, list(map(self.corpus.tag, ids)))
        self.outcome.rows = 0
        self._clear(STREAM, which, len(ids))

    # --- parts of the above

    def _rows(self, ids):
        return list(map(self.corpus.fields, ids))

    def _finished(self, ids):
        return [self.corpus.fields(row_id) | {"reward": self.corpus.reward(row_id)} for row_id in ids]

    def _mput(self, partition, which, rows, tags, new):
        arguments = wire.column_arguments(rows)
        count, indexes = self.call("KV.MPUT", partition, *which, "TAGS", *tags, *arguments)
        wire.expect(count, new, f"new rows of KV.MPUT {partition}")
        wire.expect(len(set(numpy.frombuffer(indexes, numpy.int64))), len(rows), f"indexes of KV.MPUT {partition}")
        self._wrote(rows)
        return indexes

    def _wrote(self, rows):
        self.outcome.rows += len(rows)
        self.outcome.bytes += wire.payload_bytes(rows)

    def _read(self, rows, values_checked):
        self._wrote(rows)
        self.outcome.values_checked += values_checked

    def _check_tags(self, partition, which, tags):
        reply = self.client.execute_command("KV.TAGS", partition, *which)  # not a call of the stage's latency
        self.outcome.tags_checked += wire.check_tags(reply, tags, partition)

    def _clear(self, partition, which, count):
        cleared = self.call("KV.CLEAR", partition, *which)
        wire.expect(cleared, count, f"rows cleared from {partition}")
        self.outcome.rows += count


def run_worker(connection, corpus, jobs, readers, results):
    """The life of a worker process: jobs until None, or until its parent is gone. A result is an Outcome or a text."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    client = redis.Redis(**connection, decode_responses=False, socket_read_size=1 << 20)
    worker = Worker(client, corpus, readers)
    while parent.is_alive():
        try:
            job = jobs.get(timeout=1)
        except queue.Empty:
            continue
        if job is None:
            break
        act, *arguments = job
        worker.outcome = Outcome()
        try:
            getattr(worker, act)(*arguments)
            results.put(worker.outcome)
        except (wire.Mismatch, redis.RedisError) as error:
            results.put(f"{act}: {type(error).__name__}: {error}")
        except Exception:  # pylint: disable=broad-except  -- whatever it is, the parent has to know
            results.put(f"{act}: {traceback.format_exc()}")
    client.close()
    if not parent.is_alive():
        os._exit(1)
