#!/usr/bin/env python3
"""Measures the streaming commands: the cost of a fetch and of the write that wakes it in a small and in a large partition,
and the cost of 1,000 waiters. `scripts/bench tasks` runs it.

A fetch is measured on two partitions in turn, of 1,000 and of --rows rows with 20 fields, the lower half consumed and half
of the rest at random (in fours, so that groups are left); its rows are released before the next fetch. Round trips are
compared; the server's own time (INFO commandstats) stands beside them.
"""

import argparse
import array
import pathlib
import random
import re
import select
import statistics
import sys
import time

from bench_waits import connect, drain
from live_server import own_server
from resp import pack

FIELDS = [f"f{i:02}" for i in range(20)]
SMALL = 1000
COUNT = 64
AT_LEAST = 0.8
SAMPLERS = {
    "sequential": [],
    "ranked": ["SAMPLER", "ranked"],
    "group": ["SAMPLER", "group", "SIZE", 4],
    "group BY": ["SAMPLER", "group", "SIZE", 4, "BY", "uid"],
    "random": ["SAMPLER", "random"],
    "priority": ["SAMPLER", "priority", "WEIGHT", "w"],
    "lifo": ["SAMPLER", "lifo"],
}


def packed(rows):
    return array.array("q", rows).tobytes()


def ask(connection, *words):
    """Receives a short reply, whole."""
    connection.sendall(pack(*words))
    return read_reply(connection)


def read_reply(connection):
    """Receives a reply of any kind; its first bytes determine the kind."""
    reply = b""
    while True:
        reply += connection.recv(1 << 20)
        if complete(reply, 0) == len(reply):
            return reply


def complete(reply, at):
    """Returns the end of the value that begins at `at`; None if it is incomplete."""
    line_end = reply.find(b"\r\n", at)
    if line_end < 0:
        return None
    kind, number, at = reply[at : at + 1], reply[at + 1 : line_end], line_end + 2
    if kind in b"+-:":
        return at
    if kind == b"$":
        at += max(0, int(number) + 2) if int(number) >= 0 else 0
        return at if at <= len(reply) else None
    for _ in range(int(number)):
        at = complete(reply, at)
        if at is None:
            return None
    return at


def rows_of(reply):
    if not reply.startswith(b"*") or reply.startswith(b"*-1"):
        sys.exit(f"TASK.FETCH: {reply[:100]}")
    head = re.match(rb"\*\d+\r\n\$4\r\nrows\r\n\$(\d+)\r\n", reply)
    return reply[head.end() : head.end() + int(head[1])]


def fill(connection, partition, rows):
    print(f"filling {partition} with {rows} rows", file=sys.stderr)
    at_once = 10_000
    for first in range(0, rows, at_once):
        count = min(at_once, rows - first)
        tags = "\n".join(f'{{"uid":"{(first + i) // 4}","w":{1 + (first + i) % 7}}}' for i in range(count))
        columns = []
        for field in FIELDS:
            columns += ["COLUMN", field, "float32", "BLOB", bytes(4 * count)]
        drain(connection, pack("KV.MPUT", partition, "NEW", count, "TAGS", "LINES", tags, *columns))


class Work:
    """Fetches of one sampler from one partition."""

    def __init__(self, connection, partition, sampler):
        self.connection, self.partition, self.step = connection, partition, 0
        self.task = sampler.replace(" ", "_")
        self.options = SAMPLERS[sampler]
        self.server_us, self.trip_us = [], []

    def words(self):
        step = ["RANK", 0, "STEP", self.step] if "ranked" in self.options else []
        return ["TASK.FETCH", self.partition, self.task, "FIELDS", len(FIELDS), *FIELDS, "COUNT", COUNT, *self.options, *step]

    def consume(self, rows):
        rng = random.Random(rows)
        gone = list(range(rows // 2))
        for first in range(rows // 2, rows, 4):
            if rng.random() < 0.5:
                gone += range(first, min(first + 4, rows))
        rows_of(ask(self.connection, *self.words()))  # creates the task and its view
        ask(self.connection, "TASK.RESET", self.partition, self.task)
        for at in range(0, len(gone), 100_000):
            ask(self.connection, "TASK.ACK", self.partition, self.task, "ROWS", packed(gone[at : at + 100_000]))

    def run(self, fetches):
        before = usec(self.connection, "task.fetch")
        for _ in range(fetches):
            request = pack(*self.words())
            begin = time.perf_counter()
            self.connection.sendall(request)
            reply = read_reply(self.connection)
            self.trip_us.append((time.perf_counter() - begin) * 1e6)
            ask(self.connection, "TASK.RELEASE", self.partition, self.task, "ROWS", rows_of(reply))
            self.step += 1
        self.server_us.append((usec(self.connection, "task.fetch") - before) / fetches)


def usec(connection, command):
    found = re.search(rf"cmdstat_{re.escape(command)}:calls=\d+,usec=(\d+)".encode(), ask(connection, "INFO", "commandstats"))
    return int(found[1]) if found else 0


class Wakes:
    """Puts of the last field of an awaited row, one row at a time."""

    def __init__(self, connection, port, partition):
        self.connection, self.partition = connection, partition
        self.waiting = connect(port)
        self.server_us, self.trip_us = [], []

    def run(self, puts):
        before = usec(self.connection, "kv.put")
        for i in range(puts):
            self.waiting.sendall(pack("TASK.FETCH", self.partition, "wake", "FIELDS", 2, FIELDS[0], "last", "COUNT", 1, "BLOCK", 0))
            while b"blocked_clients:1\r" not in ask(self.connection, "INFO", "clients"):
                pass
            request = pack("KV.PUT", self.partition, f"wake-{i}", "FIELD", FIELDS[0], "float32", "VALUES", 1,
                           "FIELD", "last", "int8", "VALUES", 1)
            begin = time.perf_counter()
            self.connection.sendall(request)
            rows_of(read_reply(self.waiting))
            self.trip_us.append((time.perf_counter() - begin) * 1e6)
            read_reply(self.connection)
        ask(self.connection, "KV.CLEAR", self.partition, "KEYS", puts, *[f"wake-{i}" for i in range(puts)])
        self.server_us.append((usec(self.connection, "kv.put") - before) / puts)


def compare(name, small, large, rounds, each):
    for _ in range(rounds):
        small.run(each)
        large.run(each)
    few, many = statistics.median(small.trip_us), statistics.median(large.trip_us)
    ratio = few / many
    inside = [f"{statistics.median(work.server_us):.1f}" for work in (small, large)]
    return [name, f"{few:.0f} us", f"{many:.0f} us", f"{ratio:.2f}", f"{AT_LEAST}", "yes" if ratio >= AT_LEAST else "NO",
            " / ".join(inside) + " us"]


def crowd(port, connection, waiters, rounds):
    """The cost that `waiters` blocked fetches add to a write that wakes none and to one that wakes one, and its wake-up time."""
    clients = [connect(port) for _ in range(waiters)]
    want = ["TASK.FETCH", "crowd", "t", "FIELDS", 1, "x", "COUNT", 2, "BLOCK", 0]
    alone, idle, waking, awake = [], [], [], []
    numbers = iter(range(1 << 40))

    def cost():
        before = usec(connection, "kv.put")
        begin = time.perf_counter()
        number = next(numbers)
        connection.sendall(pack("KV.PUT", "crowd", number, "FIELD", "x", "int64", "VALUES", number))
        return before, begin

    def spent(before):
        read_reply(connection)
        return usec(connection, "kv.put") - before

    for _ in range(rounds):  # no client is blocked
        alone.append(spent(cost()[0]))
    ask(connection, "KV.CLEAR", "crowd")
    for client in clients:
        client.sendall(pack(*want))
    while f"blocked_clients:{waiters}\r".encode() not in ask(connection, "INFO", "clients"):
        pass
    for _ in range(rounds):
        idle.append(spent(cost()[0]))
        before, begin = cost()
        readable = select.select(clients, [], [], 10)[0]
        awake.append((time.perf_counter() - begin) * 1e6)
        waking.append(spent(before))
        time_out = select.select(clients, [], [], 0.01)[0]
        if len(time_out) != 1:
            sys.exit(f"{len(time_out)} woke up, though only one could be served")
        rows_of(read_reply(readable[0]))
        readable[0].sendall(pack(*want))
        while f"blocked_clients:{waiters}\r".encode() not in ask(connection, "INFO", "clients"):
            pass
    for client in clients:
        client.close()
    middle = statistics.median
    return [["KV.PUT, no waiter", f"{statistics.mean(alone):.1f} us", ""],
            [f"KV.PUT that wakes none of {waiters}", f"{statistics.mean(idle):.1f} us", ""],
            [f"KV.PUT that wakes one of {waiters}", f"{statistics.mean(waking):.1f} us", f"{middle(awake):.0f} us"]]


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the large partition")
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--only", default="", help="only the samplers whose names match this regular expression")
    parser.add_argument("--markdown", type=pathlib.Path, help="where to write the tables, too")
    options = parser.parse_args()
    rounds, each = (5, 50) if options.quick else (15, 100)
    with own_server() as port, connect(port) as connection:
        text, holds = measure(port, connection, options, rounds, each)
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")
    sys.exit(0 if holds else 1)


def measure(port, connection, options, rounds, each):
    fill(connection, "small", SMALL)
    fill(connection, "large", options.rows)
    lines = []
    for sampler in SAMPLERS:
        if not re.search(options.only, sampler):
            continue
        works = [Work(connection, "small", sampler), Work(connection, "large", sampler)]
        for work, rows in zip(works, (SMALL, options.rows)):
            work.consume(rows)
        lines.append(compare(f"TASK.FETCH of {COUNT}, {sampler}", *works, rounds, each))
    wakes = [Wakes(connection, port, "small"), Wakes(connection, port, "large")]
    lines.append(compare("KV.PUT that wakes a fetch", *wakes, rounds, each))
    head = ["work", f"{SMALL:,} rows", f"{options.rows:,} rows", "ratio", "at least", "ok", "in the server"]
    waiting = crowd(port, connection, 1000, 20 if options.quick else 100)
    text = table(head, lines) + "\n\n" + table(["work", "server", "until it is awake"], waiting)
    return text, all(line[5] == "yes" for line in lines)


if __name__ == "__main__":
    main()
