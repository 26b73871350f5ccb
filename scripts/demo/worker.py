"""A worker process: one redis-py connection, one role (a function of rollout, scorer, trainer or large), reports."""

import contextlib
import dataclasses
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
    """What was done for a stage since the last report. Times are of perf_counter(), one clock for all processes."""

    stage: str
    rows: int
    bytes: int
    values_checked: int
    tags_checked: int
    seconds: list  # of each call; those that wait for others are not in it
    start: float
    end: float


class Worker:
    """What a role works with. `number` counts the workers of a role from 0."""

    def __init__(self, client, corpus, plan, number, patience_s, send):
        self.client, self.corpus, self.plan, self.number = client, corpus, plan, number
        self.at = "the start"  # for people, should an error come
        self._patience_s, self._send = patience_s, send
        self._seconds, self._start = [], time.perf_counter()

    def call(self, *arguments):
        start = time.perf_counter()
        reply = self.client.execute_command(*arguments)
        self._seconds.append(time.perf_counter() - start)
        return reply

    def wait(self, partition, which, fields):
        """Until these fields of these rows are there."""

        def ready(arguments, timeout_ms):
            names = ["FIELDS", len(fields), *fields, "TIMEOUT", timeout_ms]
            return self.client.execute_command("KV.WAIT", partition, *arguments, *names) == 1

        if not ready(which.arguments, int(self._patience_s * 1000)):
            late = (at for at, key in enumerate(which.keys) if not ready(["KEYS", 1, key], 1))
            name = which.name(next(late, 0))
            raise wire.Mismatch(f"{partition}, {name}: no {', '.join(fields)} after {self._patience_s:g} s")

    def report(self, stage, rows, size, values_checked=0, tags_checked=0):
        end = time.perf_counter()
        self._send(Outcome(stage, rows, size, values_checked, tags_checked, self._seconds, self._start, end))
        self._seconds, self._start = [], end


def live(role, connection, worker_arguments, patience_s, pipe, not_ours):
    """The life of a worker process. It sends Outcomes, at the end None, or a text: what went wrong."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPERS)
    for each in not_ours:  # the parent's ends: should it be killed, sending fails, and this ends
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
        except Exception:  # pylint: disable=broad-except  -- whatever it is, the parent has to know
            pipe.send(f"at {worker.at}: {traceback.format_exc()}")
    client.close()
