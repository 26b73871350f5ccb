"""A worker process: one redis-py connection, one role (a function of rollout, scorer, trainer or large), reports."""

import contextlib
import dataclasses
import json
import signal
import time
import traceback

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import wire

STOPPERS = {signal.SIGINT, signal.SIGTERM}  # held while a worker is started


@dataclasses.dataclass
class Outcome:
    """The work done for a stage since the last report. Times are of perf_counter(), one clock for all processes."""

    stage: str
    ids: list  # or a range: of the rows
    bytes: int
    values_checked: int
    tags_checked: int
    seconds: list  # of each call, except TASK.FETCH, which waits for others
    start: float
    end: float


@dataclasses.dataclass
class Doomed:
    """A worker's request to be killed: it holds these rows leased, and does nothing more."""

    ids: list


class Batch:
    """A reply of TASK.FETCH. `rows`: packed, as in requests to the server."""

    def __init__(self, reply):
        reply = {name.decode(): value for name, value in wire.pairs(reply)}
        self.rows, self.lease, self.data, self.end = (reply.get(name) for name in ("rows", "lease", "data", "end"))
        self.keys = [key.decode() for key in reply["keys"]]
        self.tags = list(map(json.loads, reply["tags"]))
        self.ids = [tag["id"] for tag in self.tags]

    def name(self, at):
        return f"row {self.ids[at]} (key {self.keys[at]})"


class Worker:
    """State of a role's worker. `number` counts the workers of a role from 0."""

    def __init__(self, client, corpus, plan, number, patience_s, send):
        self.client, self.corpus, self.plan, self.number = client, corpus, plan, number
        self.at = "the start"  # for people, if an error occurs
        self.patience_ms = int(patience_s * 1000)
        self._send = send
        self._seconds, self._start = [], time.perf_counter()

    def call(self, *arguments):
        start = time.perf_counter()
        reply = self.client.execute_command(*arguments)
        self._seconds.append(time.perf_counter() - start)
        return reply

    def fetch(self, partition, task, fields, *more):
        """Returns the task's next Batch, as soon as there is one, or the batch that marks the end."""
        self.at = f"TASK.FETCH for {task}"
        arguments = [partition, task, "FIELDS", len(fields), *fields, "BLOCK", self.patience_ms, *more]
        reply = self.client.execute_command("TASK.FETCH", *arguments)
        if reply is None:
            reasons = self.client.execute_command("TASK.EXPLAIN", *arguments).decode()
            raise wire.Mismatch(f"no rows, now or within {self.patience_ms} ms:\n{reasons}")
        return Batch(reply)

    def be_killed(self, ids):
        self._send(Doomed(ids))
        signal.pause()

    def report(self, stage, ids, size, values_checked=0, tags_checked=0):
        end = time.perf_counter()
        self._send(Outcome(stage, ids, size, values_checked, tags_checked, self._seconds, self._start, end))
        self._seconds, self._start = [], end


def live(role, connection, worker_arguments, patience_s, pipe, not_ours):
    """The main function of a worker process. It sends Outcomes, perhaps Doomed, at the end None, or an error text."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPERS)
    for each in not_ours:  # the parent's ends: if the parent is killed, sending fails and this process ends
        each.close()
    client = redis.Redis(
        **connection, socket_timeout=patience_s + 30, socket_read_size=1 << 20, retry=Retry(NoBackoff(), 0)
    )
    worker = Worker(client, *worker_arguments, patience_s, pipe.send)
    with contextlib.suppress(BrokenPipeError):
        try:
            role(worker)
            pipe.send(None)
        except (wire.Mismatch, redis.RedisError) as error:
            pipe.send(f"at {worker.at}: {error}")
        except Exception:  # pylint: disable=broad-except  -- every error is reported to the parent
            pipe.send(f"at {worker.at}: {traceback.format_exc()}")
    client.close()
