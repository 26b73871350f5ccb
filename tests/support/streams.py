"""Workers of the streaming tests: processes of their own, and TASK.FETCH in Python's words."""

import contextlib
import multiprocessing
import types

import numpy as np
import redis
from live_server import wait_until

FORK = multiprocessing.get_context("fork")
PATIENCE_S = 60


def connect(port, protocol=2):
    return redis.Redis(port=port, protocol=protocol, socket_timeout=PATIENCE_S)


def pairs(reply):
    """Of a map: a dict in RESP3, a flat list in RESP2."""
    found = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {name.decode(): value for name, value in found}


def numbers(blob):
    return np.frombuffer(blob, "<i8").tolist()


def fetch(client, partition, task, *arguments):
    """FIELDS 1 x, and `arguments`. None where there is not enough; else .rows (a list), .keys, .tags, .lease, .end, .data"""
    reply = client.execute_command("TASK.FETCH", partition, task, "FIELDS", 1, "x", *arguments)
    if reply is None:
        return None
    got = {"lease": None, "end": None, "data": None} | pairs(reply)
    return types.SimpleNamespace(**got | {"blob": got["rows"], "rows": numbers(got["rows"])})


def fetch_all(client, partition, task, *arguments):
    """Each batch until the end of the stream, or until too little can come; with LEASE each is acknowledged."""
    while (got := fetch(client, partition, task, *arguments)) and not got.end:
        if got.lease is not None:
            assert client.execute_command("TASK.ACK", partition, task, "ROWS", got.blob, "LEASE", got.lease) > 0
        yield got


def put_rows(client, partition, values, *tags):
    """New rows, x of each a value."""
    more = ["TAGS", len(tags), *tags] if tags else []
    blob = np.array(values, "<i8").tobytes()
    return numbers(
        client.execute_command("KV.MPUT", partition, "NEW", len(values), *more, "COLUMN", "x", "int64", "BLOB", blob)[1]
    )


def status(client, partition, task):
    return pairs(client.execute_command("TASK.STATUS", partition, task, "FIELDS", 1, "x"))


def wait_for_blocked(client, count):
    wait_until(lambda: client.info("clients")["blocked_clients"] == count, f"blocked_clients is not {count}", 20)


class Workers:
    """Processes, killed when the `with` is left. A function gets a client of its own, and a pipe's end, which it
    tells things; what it returns is told last."""

    def __init__(self, port):
        self._port, self._started = port, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process, _ in self._started:
            process.kill()
            process.join()

    def start(self, function, *arguments):
        ours, theirs = FORK.Pipe(duplex=False)
        process = FORK.Process(target=self._run, args=(theirs, function, arguments), daemon=True)
        process.start()
        theirs.close()
        self._started.append((process, ours))
        return process, lambda: self._told(ours)

    def results(self):
        """What those that were started return, in that order."""
        return [self._told(pipe) for _, pipe in self._started]

    @staticmethod
    def _told(pipe):
        assert pipe.poll(PATIENCE_S), "the worker says nothing"
        message = pipe.recv()
        assert not isinstance(message, Exception), message
        return message

    def _run(self, pipe, function, arguments):
        with contextlib.suppress(BrokenPipeError):
            try:
                pipe.send(function(connect(self._port), pipe.send, *arguments))
            except Exception as error:  # pylint: disable=broad-except  -- the test has to know
                pipe.send(RuntimeError(f"{function.__name__}: {error!r}"))
