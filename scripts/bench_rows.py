#!/usr/bin/env python3
"""The cost of rows, and the delay of other clients: a million rows listed, appended to, streamed, searched, cleared."""

import argparse
import contextlib
import json
import os
import pathlib
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import bench_holds
import redis
from bench_waits import Waits, connect, drain, others
from live_server import free_port, own_server
from resp import pack

BATCH = 1000
LIVE = 10_000
TOKENS = 32_768
# Both cores are busy with server, reader and probes, so that a probe may wait for one or two time slices of the
# scheduler (some ms) before it runs; Redis takes 10 to 100 times as long for a reply of this size.
WAIT_MS_MAX = 20.0


class Report:
    def __init__(self):
        self.holds = True
        self.meanwhile = [
            "| work | median | rows/s | PUT of others, ms: p50 / p99 / max | PING of others, ms | p99 at most | ok |",
            "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
        ]
        self.longest = ["| command | longest hold, ms | at most | ok |", "| --- | ---: | ---: | --- |"]
        self.over = []  # commands whose hold is over the bound of a machine with fast memory
        self.costs = ["| work | ours | other | ratio | at most | ok |", "| --- | ---: | ---: | ---: | ---: | --- |"]
        self.remarks = []

    def _add(self, table, cells, needed, value):
        ok = "-" if needed is None else "yes" if value <= needed else "**no**"
        self.holds = self.holds and ok != "**no**"
        table.append("| " + " | ".join([*cells, "-" if needed is None else f"{needed:g}", ok]) + " |")
        print(table[-1], flush=True)

    def add_meanwhile(self, work, seconds, rows, waits, needed=WAIT_MS_MAX):
        middle = statistics.median(seconds) if seconds else None
        cells = [work, f"{middle * 1000:.1f} ms" if seconds else "-", f"{rows / middle:,.0f}" if seconds else "-"]
        self._add(self.meanwhile, [*cells, waits.text("PUT"), waits.text("PING")], needed, waits.p99())

    def add_cost(self, work, ours, other, ratio, needed=None):
        self._add(self.costs, [work, ours, other, f"{ratio:.2f}"], needed, ratio)

    def add_hold(self, command, held_ms, needed, slower):
        """`slower`: how many times longer reading from memory takes here than on the machine that `needed` is for."""
        self._add(self.longest, [command, f"{held_ms:.2f}"], needed * slower, held_ms)
        if held_ms > needed:
            self.over.append(f"{command} ({held_ms:.1f})")

    def markdown(self):
        remarks = [*self.remarks, *([f"Over the bound of {bench_holds.READ_NS:.0f} ns: {', '.join(self.over)}."] if self.over else [])]
        lines = [machine(), "", *self.meanwhile, "", *self.costs, "", *self.longest, "", *(f"- {remark}" for remark in remarks)]
        return "\n".join(lines) + "\n"


def machine():
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    name = cpu.group(1) if cpu else "unknown CPU"
    return f"{name}, {os.cpu_count()} cores, {gib:.0f} GiB, {platform.platform()}"


def mib(count):
    return f"{count / 2**20:.1f} MiB"


def memory(client):
    return {name: value for name, value in client.info("memory").items() if isinstance(value, int)}


def repeated(turns, function, *args):
    """Returns the seconds of each call: this many calls, and at least two seconds, so that the probes ask often enough."""
    seconds = []
    while len(seconds) < turns or sum(seconds) < 2:
        seconds.append(timed(function, *args))
    return seconds


def timed(function, *args):
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


# --- the works


def tag_of(row):
    return json.dumps({"status": "running", "step": row % 1000}, separators=(",", ":"))


def fill(client, partition, rows, tag=tag_of):
    for begin in range(0, rows, BATCH):
        keys = range(begin, min(begin + BATCH, rows))
        client.execute_command(
            "KV.MPUT", partition, "KEYS", "LINES", "\n".join(f"row-{key}" for key in keys),
            "TAGS", "LINES", "\n".join(map(tag, keys)), "COLUMN", "x", "float32", "BLOB", bytes(4 * len(keys)),
        )  # fmt: skip


def small_puts(partition, rows):
    words = ["TAG", '{"seen":1}', "FIELD", "x", "float32", "VALUES", 1]
    return [pack("KV.PUT", partition, f"row-{row}", *words) for row in random.sample(range(rows), min(rows, 5000))]


def scan_all(connection, rows):
    cursor, seen = b"0", 0
    while True:
        head = drain(connection, pack("KV.SCAN", "p", cursor, "COUNT", BATCH))
        cursor, words = re.match(rb"\*2\r\n\$\d+\r\n(\d+)\r\n\*(\d+)\r\n", head).groups()
        seen += int(words) // 2
        if cursor == b"0":
            break
    assert seen == rows, f"KV.SCAN gave {seen} of {rows} rows"


def list_all(connection, words, *command):
    head = drain(connection, pack(*command))
    assert b"*%d\r\n" % words in head, f"{command}: {head}"


def bench_listings(report, rows, turns):
    with own_server() as port, redis.Redis(port=port) as client, connect(port) as connection:
        waits = Waits()
        with others(port, small_puts("other", 5000), waits):
            seconds = [timed(fill, client, "p", rows)]
        report.add_meanwhile(f"KV.MPUT of {rows:,} rows, {BATCH} at a time", seconds, rows, waits)
        puts = small_puts("p", rows)
        waits = Waits()
        with others(port, puts, waits):
            time.sleep(2)
        report.add_meanwhile("nothing", [], 0, waits)
        works = {
            "KV.LIST": lambda: list_all(connection, 2 * rows, "KV.LIST", "p"),
            "KV.SCAN, COUNT 1000": lambda: scan_all(connection, rows),
            "KV.CHANGES 0": lambda: list_all(connection, 2 * rows, "KV.CHANGES", "p", 0),
        }
        for name, work in works.items():
            waits = Waits()
            with others(port, puts, waits):
                seconds = repeated(turns, work)
            report.add_meanwhile(f"{name} of {rows:,} rows", seconds, rows, waits)


@contextlib.contextmanager
def redis_server():
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no", "--loglevel", "warning"]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), 200)
            with redis.Redis(port=port, retry=retry, retry_on_error=[redis.ConnectionError]) as client:
                client.ping()
            yield port
        finally:
            process.terminate()
            process.wait(20)


def bench_redis(report, rows, turns):
    if not shutil.which("redis-server"):
        report.remarks.append("redis-server is not installed, so there is nothing to compare with.")
        return
    with redis_server() as port, redis.Redis(port=port) as client, connect(port) as connection:
        for begin in range(0, rows, BATCH):
            client.hset("p", mapping={f"row-{row}": tag_of(row) for row in range(begin, min(begin + BATCH, rows))})
        puts = [pack("HSET", "p", f"row-{key}", '{"seen":1}') for key in random.sample(range(rows), min(rows, 5000))]
        waits = Waits()
        with others(port, puts, waits):
            seconds = repeated(turns, list_all, connection, 2 * rows, "HGETALL", "p")
        report.add_meanwhile(f"redis-server: HGETALL of {rows:,} fields", seconds, rows, waits, needed=None)


def send_all(client, connection, requests):
    """Returns the seconds, and the most bytes copied from one blob to the next: the growth of the payload shows when."""
    seconds, copied, payload = 0.0, 0, memory(client)["used_memory_payload"]
    for begin in range(0, len(requests), 64):
        seconds += timed(drain, connection, b"".join(requests[begin : begin + 64]))
        now = memory(client)["used_memory_payload"]
        copied += 8 * begin if now > payload else 0
        payload = max(payload, now)
    return seconds, copied


def bench_appends(report, turns):
    few = 1024
    words = ["FIELD", "x", "int64", 1, "BLOB", bytes(8)]
    with own_server() as port, redis.Redis(port=port) as client, connect(port) as connection:
        rounds = []
        for turn in range(turns):
            many, copied = send_all(client, connection, [pack("KV.APPEND", "a", f"many-{turn}", *words)] * TOKENS)
            short = [[pack("KV.APPEND", "a", f"few-{turn}-{i}", *words)] * few for i in range(8)]
            short = sum(send_all(client, connection, requests)[0] for requests in short) / len(short)
            scalars = [pack("KV.PUT", "s", row, "FIELD", "x", "int64", "BLOB", bytes(8)) for row in range(TOKENS)]
            puts, _ = send_all(client, connection, scalars)
            rounds.append((many / TOKENS, short / few, puts / TOKENS, copied))
        assert len(client.execute_command("KV.MGET", "a", "KEYS", 1, "many-0")[0][4]) == 8 * TOKENS
    many, short, put, copied = (statistics.median(column) for column in zip(*rounds, strict=True))
    micro = "{:.2f} µs".format
    name = f"one of {TOKENS:,} KV.APPENDs of a token"
    report.add_cost(f"{name} / one of {few:,}", micro(many * 1e6), micro(short * 1e6), many / short, 2)
    report.add_cost(f"{name} / a KV.PUT of one", micro(many * 1e6), micro(put * 1e6), many / put)
    report.add_cost(f"bytes that {TOKENS:,} KV.APPENDs copied / appended", mib(copied), mib(8 * TOKENS),
                    copied / (8 * TOKENS), 2)  # fmt: skip
    report.remarks.append(f"{TOKENS:,} KV.APPENDs, 64 in a pipeline: {many * TOKENS:.3f} s; as many KV.PUTs: "
                          f"{put * TOKENS:.3f} s.")  # fmt: skip


def bench_stream(report, rows):
    """A queue of LIVE rows: new ones are added, the oldest read and cleared."""
    with own_server() as port, redis.Redis(port=port) as client:
        live, seconds, first = [], 0.0, None
        for begin in range(0, rows, BATCH):
            start = time.perf_counter()
            numbers = range(begin, begin + BATCH)
            blob = b"".join(number.to_bytes(8, "little") for number in numbers)
            keys = "\n".join(f"row-{number}" for number in numbers)
            client.execute_command("KV.MPUT", "q", "KEYS", "LINES", keys, "TAGS", "LINES",
                                   "\n".join(map(tag_of, numbers)), "COLUMN", "x", "int64", "BLOB", blob)  # fmt: skip
            live.append((keys, blob))
            if len(live) > LIVE // BATCH:
                keys, blob = live.pop(0)
                assert client.execute_command("KV.MGET", "q", "KEYS", "LINES", keys)[0][4] == blob
                assert client.execute_command("KV.CLEAR", "q", "KEYS", "LINES", keys) == BATCH
            seconds += time.perf_counter() - start
            if begin + BATCH == 100_000 + LIVE:  # 100,000 were removed: the number of removals remembered
                first = memory(client)
        last = memory(client)
    report.remarks.append(f"A queue of {LIVE:,} rows that {rows:,} went through: {rows / seconds:,.0f} rows/s.")
    names = {"used_memory": 1.1, "used_memory_rss": 1.1, "used_memory_bookkeeping": None, "used_memory_payload": None}
    for name, needed in names.items():
        work = f"{name} when {rows:,} rows have gone through a queue of {LIVE:,} / when 100,000 have"
        report.add_cost(work, mib(last[name]), mib(first[name]), last[name] / first[name], needed)


def bench_where(report, rows, fit, turns):
    every = rows // fit
    with own_server() as port, redis.Redis(port=port) as client:
        fill(client, "p", rows, lambda row: '{"status":"%s"}' % ("done" if row % every == 0 else "running"))

        def search():
            (column,) = client.execute_command("KV.MGET", "p", "WHERE", 1, "status", "=", "done", "FIELDS", 1, "x")
            assert column[2] == [fit], column[2]

        waits = Waits()
        with others(port, small_puts("p", rows), waits):
            seconds = repeated(turns, search)
    report.add_meanwhile(f"KV.MGET WHERE: {fit} of {rows:,} rows", seconds, rows, waits)


def bench_clearing(report, rows, turns):
    for command in (["KV.CLEAR", "p"], ["FLUSHALL"]):
        seconds, waits = [], Waits()
        with own_server() as port, redis.Redis(port=port) as client:
            empty = memory(client)
            for _ in range(turns):
                fill(client, "p", rows)
                before = memory(client)
                with others(port, small_puts("other", 5000), waits):
                    seconds.append(timed(client.execute_command, *command))
                    after = memory(client)
        report.add_meanwhile(f"{' '.join(command)} of {rows:,} rows", seconds, rows, waits)
        for name in ("used_memory", "used_memory_rss"):
            report.remarks.append(f"{name} before {' '.join(command)}, right after its reply, and of a new server: "
                                  f"{mib(before[name])}, {mib(after[name])}, {mib(empty[name])}.")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench rows", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1,000,000 instead of 10,000,000 rows stream, fewer turns")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows that are listed and cleared")
    parser.add_argument("--only", default="", metavar="REGEX", help="the works of these names")
    parser.add_argument("--markdown", type=pathlib.Path, metavar="FILE", help="the tables, also there")
    args = parser.parse_args()
    turns = 3 if args.quick else 7
    report = Report()
    size = bench_holds.QUICK if args.quick else bench_holds.FULL
    works = {
        "holds": lambda: bench_holds.bench_holds(report, size),
        "listings": lambda: bench_listings(report, args.rows, turns),
        "redis": lambda: bench_redis(report, args.rows, turns),
        "where": lambda: bench_where(report, 100_000, 100, turns),
        "clearing": lambda: bench_clearing(report, args.rows, turns),
        "appends": lambda: bench_appends(report, turns),
        "stream": lambda: bench_stream(report, 1_000_000 if args.quick else 10_000_000),
    }
    for name, work in works.items():
        if re.search(args.only, name):
            work()
    print("\n" + report.markdown(), end="")
    if args.markdown:
        args.markdown.write_text(report.markdown())
    sys.exit(not report.holds)


if __name__ == "__main__":
    main()
