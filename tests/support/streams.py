"""Worker processes of the streaming tests, and TASK.FETCH as a Python function."""

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
    """Returns a map's contents: a dict in RESP3, a flat list in RESP2."""
    found = reply.items() if isinstance(reply, dict) else zip(reply[::2], reply[1::2], strict=True)
    return {name.decode(): value for name, value in found}


def numbers(blob):
    return np.frombuffer(blob, "<i8").tolist()


def fetch(client, partition, task, *arguments):
    """FIELDS 1 x and `arguments`. Returns None if too few rows; else .rows (a list), .keys, .tags, .lease, .end, .data."""
    reply = client.execute_command("TASK.FETCH", partition, task, "FIELDS", 1, "x", *arguments)
    if reply is None:
        return None
    got = {"lease": None, "end": None, "data": None} | pairs(reply)
    return types.SimpleNamespace(**got | {"blob": got["rows"], "rows": numbers(got["rows"])})


def fetch_all(client, partition, task, *arguments):
    """Yields batches until the end of the stream, or until too few rows can come; with LEASE acknowledges each."""
    while (got := fetch(client, partition, task, *arguments)) and not got.end:
        if got.lease is not None:
            assert client.execute_command("TASK.ACK", partition, task, "ROWS", got.blob, "LEASE", got.lease) > 0
        yield got


def put_rows(client, partition, values, *tags):
    """Puts new rows whose x are these values."""
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
    """Processes, killed at the end of the `with`. A function gets its own client and a pipe end for messages; its return
    value is the last message."""

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
        """Returns the results of the started processes, in order."""
        return [self._told(pipe) for _, pipe in self._started]

    @staticmethod
    def _told(pipe):
        assert pipe.poll(PATIENCE_S), "no message from the worker"
        message = pipe.recv()
        assert not isinstance(message, Exception), message
        return message

    def _run(self, pipe, function, arguments):
        with contextlib.suppress(BrokenPipeError):
            try:
                pipe.send(function(connect(self._port), pipe.send, *arguments))
            except Exception as error:  # pylint: disable=broad-except  -- reported to the test
                pipe.send(RuntimeError(f"{function.__name__}: {error!r}"))
