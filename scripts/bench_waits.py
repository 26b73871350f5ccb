"""The delay that a long command causes: connections send small commands at fixed times while it runs.

Two connections send small PUTs and two PINGs, one of each kind on each I/O thread. A latency counts from the time at which
its request was due, so that a server which stalls for a second is asked two hundred times meanwhile, not once.
"""

import contextlib
import itertools
import multiprocessing
import random
import socket
import sys
import time

from resp import pack

END = b"the-end-of-this-reply-7f3a"
TICK_S = 0.005


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), 60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def drain(connection, requests):
    """Sends the requests, reads their replies and drops them: Python would parse them more slowly than any server sends
    them. Returns the first bytes."""
    mark = b"$%d\r\n%b\r\n" % (len(END), END)
    connection.sendall(requests + pack("ECHO", END))
    buffer, head, tail = bytearray(1 << 20), b"", b""
    while tail != mark:
        count = connection.recv_into(buffer)
        if count == 0:
            sys.exit(f"the server closed the connection at {requests[:100]}")
        if len(head) < 64:
            head += buffer[: min(count, 64)]
        tail = (tail + buffer[max(0, count - len(mark)) : count])[-len(mark) :]
    if head.startswith(b"-"):
        sys.exit(f"{requests[:100]}: {head.decode()}")
    return head


def percentile(numbers, share):
    return sorted(numbers)[min(len(numbers) - 1, int(len(numbers) * share))]


class Waits:
    """Latencies in ms, by kind, of requests that were due during the work, or immediately after it."""

    def __init__(self):
        self.ms = {"PUT": [], "PING": []}

    def add(self, kind, asked, begin, end):
        self.ms[kind] += [ms for due, ms in asked if begin <= due <= end]

    def text(self, kind):
        ms = self.ms[kind]
        return f"{percentile(ms, 0.5):.2f} / {percentile(ms, 0.99):.2f} / {max(ms):.1f}"

    def p99(self):
        return max(percentile(ms, 0.99) for ms in self.ms.values())


def probe(connection, commands, phase, stop, result):
    asked = []  # the due time, and the latency
    due = time.perf_counter() + phase
    for command in itertools.cycle(commands):
        left = due - time.perf_counter()
        if left > 0:
            time.sleep(left)
            due = time.perf_counter()  # the server is not charged for a late wake-up of Python
        if stop.is_set():
            break
        connection.sendall(command)
        reply = connection.recv(4096)
        asked.append((due, (time.perf_counter() - due) * 1000))
        if not reply.startswith((b":", b"+")):
            sys.exit(f"a probe got {reply!r}")
        due += TICK_S
    result.send(asked)


@contextlib.contextmanager
def others(port, puts, waits):
    """Two connections send `puts`, and two PING, while the body runs; adds the latencies to `waits`."""
    stop = multiprocessing.Event()
    # The server assigns connections to its I/O threads in turn.
    work = [(kind, connect(port)) for kind in ("PUT", "PUT", "PING", "PING")]
    running = []
    for i, (kind, connection) in enumerate(work):
        ours, theirs = multiprocessing.Pipe()
        commands = random.sample(puts, len(puts)) if kind == "PUT" else [pack("PING")]
        args = (connection, commands, i * TICK_S / len(work), stop, theirs)
        process = multiprocessing.Process(target=probe, args=args, daemon=True)
        process.start()
        running.append((kind, connection, process, ours))
    time.sleep(0.2)
    begin = time.perf_counter()
    yield
    end = time.perf_counter() + 0.05
    time.sleep(0.1)
    stop.set()
    for kind, connection, process, ours in running:
        if not ours.poll(60):
            sys.exit(f"a {kind} got no reply")
        waits.add(kind, ours.recv(), begin, end)
        process.join(10)
        connection.close()
