"""How long each command holds the engine lock on a large partition: every command of COMMAND LIST has a case here.

A hold is mostly reads from memory, whose time differs from machine to machine, and on a virtual machine from hour to hour.
So the bounds hold for a machine whose dependent read takes READ_NS, and grow with the time that it takes in this run.
"""

import json
import pathlib
import re
import statistics
import struct
import subprocess
import tempfile
import time

import redis
from bench_waits import connect, drain
from live_server import own_server, server_binary
from resp import pack

HOLD_MS = 5.0
MANY_ROWS = 20_000  # a request that names more has a bound per row
ROW_US = 0.25
READ_NS = 100.0
FIELDS = ("f0", "f1", "f2", "f3", "f4")
RANKS = 32
GROUPS = 1000


class Size:
    def __init__(self, rows, steps, leases):
        self.rows = rows
        self.steps = steps  # of each rank
        self.leases = leases


FULL = Size(1_000_000, 1024, 100_000)
QUICK = Size(100_000, 256, 10_000)


def indexes(rows):
    return struct.pack(f"<{len(rows)}q", *rows)


def tag_of(row):
    return json.dumps({"g": row % GROUPS, "s": "run" if row % 1000 else "few", "w": 1 + row % 7}, separators=(",", ":"))


def columns(count):
    return [word for name in FIELDS for word in ("COLUMN", name, "float32", "BLOB", bytes(4 * count))]


def fields(names=FIELDS):
    return ["FIELDS", len(names), *names]


def fill(client, partition, rows):
    for begin in range(0, rows, 1000):
        keys = range(begin, min(begin + 1000, rows))
        lines = "\n".join(f"row-{key}" for key in keys)
        tags = "\n".join(map(tag_of, keys))
        client.execute_command("KV.MPUT", partition, "KEYS", "LINES", lines, "TAGS", "LINES", tags, *columns(len(keys)))


def in_pipelines(port, requests):
    with connect(port) as connection:
        for begin in range(0, len(requests), 1000):
            drain(connection, b"".join(requests[begin : begin + 1000]))


def build(client, port, size):
    """Creates partition `p`, whose task `t` remembers steps of all ranks, has leases, and knows its groups."""
    fill(client, "p", size.rows)
    group = ["SAMPLER", "group", "SIZE", 4, "BY", "g"]
    client.execute_command("TASK.FETCH", "p", "t", *fields(), "COUNT", 4, *group)
    deal = ["SAMPLER", "balanced", "SIZE", 1, "RANKS", RANKS, "RANK", 0, "STEP"]
    steps = [pack("TASK.FETCH", "p", "t", *fields(), "COUNT", 4, *deal, step) for step in range(size.steps)]
    in_pipelines(port, steps)
    in_pipelines(port, [pack("TASK.FETCH", "p", "t", *fields(), "COUNT", 1, "LEASE", 3_600_000)] * size.leases)


def made(request, run=0):
    return request(run) if callable(request) else request


class Case:
    """Requests of one command. `rows`: number of rows that each names; `of`: the command whose hold counts, if another;
    `runs`: number of runs, each with other rows (a request is a function of the run then). The median counts, since the
    first run touches memory that the kernel has put aside."""

    def __init__(self, what, *requests, rows=0, before=(), of=None, runs=1):
        self.what = what
        self.requests = requests
        self.rows = rows
        self.before = before
        self.of = of
        self.runs = runs

    def command(self, commands):
        words = [str(word).lower() for word in made(self.requests[-1])[:2]]
        joined = "|".join(words)
        name = joined if joined in commands else words[0]
        assert name in commands, f"{name} of a case of bench_holds.py is not a command"
        return name

    def bound_ms(self):
        return max(HOLD_MS, self.rows * ROW_US / 1000) if self.rows > MANY_ROWS else HOLD_MS


def fetch(*words, task="t", command="TASK.FETCH", count=64, names=FIELDS):
    return [command, "p", task, *fields(names), "COUNT", count, *words]


SAMPLERS = {
    "sequential": [],
    "lifo": ["SAMPLER", "lifo"],
    "random": ["SAMPLER", "random"],
    "group": ["SAMPLER", "group", "SIZE", 8],
    "group BY": ["SAMPLER", "group", "SIZE", 8, "BY", "g"],
    "balanced": ["SAMPLER", "balanced", "SIZE", 8, "RANKS", 4, "RANK", 0, "STEP", 1],
    "balanced BY": ["SAMPLER", "balanced", "SIZE", 8, "BY", "g", "RANKS", 4, "WEIGHT", "w", "RANK", 0, "STEP", 2],
    "priority": ["SAMPLER", "priority", "WEIGHT", "w"],
}  # fmt: skip


RUNS = 5


def spread(size, run):
    """A thousand rows, far apart."""
    return indexes(range(run, size.rows, size.rows // 1000)[:1000])


def task_cases(size):
    some = spread(size, 0)
    many = indexes(range(size.rows - size.rows // 10, size.rows))
    count = size.rows // 10
    fits = ["WHERE", 1, "s", "=", "run"]
    few = ["WHERE", 1, "s", "=", "few"]
    every = ["WHERE", 1, "w", ">", 0]
    for name, sampler in SAMPLERS.items():
        task = name.replace(" ", "-")
        yield Case(f"{name}, the first", fetch(*sampler, task=task))
        again = [word if word not in (1, 2) or sampler[i - 1] != "STEP" else word + 10 for i, word in enumerate(sampler)]
        yield Case(f"{name}, again", fetch(*again, task=task))
        yield Case(f"{name}: more than there are", fetch(*sampler, command="TASK.EXPLAIN", task=task, count=1_000_000))
    yield Case("WHERE, the first", fetch(*fits, task="where"))
    yield Case("WHERE, group BY, the first", fetch(*fits, *SAMPLERS["group BY"], task="where-group"))
    yield Case("WHERE", fetch(*fits, task="where", command="TASK.EXPLAIN", count=1_000_000))
    yield Case("a step again", fetch("SAMPLER", "balanced", "SIZE", 1, "RANKS", RANKS, "RANK", 3, "STEP", 5, count=4))
    yield Case("LEASE", fetch("LEASE", 100_000, task="lease"))
    yield Case(f"{count:,} rows", fetch(task="large", count=count), rows=count)
    yield Case("a task that no client asked for before", fetch(task="nobody", command="TASK.EXPLAIN"))
    yield Case("all", ["TASK.READY", "p", "t", *fields()])
    yield Case("WHERE", ["TASK.READY", "p", "ready", *fields(), *fits])
    yield Case("all", ["TASK.STATUS", "p", "t"])
    yield Case("fields, the first time", ["TASK.STATUS", "p", "t", *fields(FIELDS[:2])])
    yield Case("BITMAP", ["TASK.STATUS", "p", "t", "BITMAP"])
    yield Case("1,000 rows", lambda run: ["TASK.CLAIM", "p", "claim", "ROWS", spread(size, run), *fields()], runs=RUNS)
    yield Case(f"{count:,} rows", ["TASK.CLAIM", "p", "claim", "ROWS", many, *fields()], rows=count)
    yield Case("WHERE few", ["TASK.CLAIM", "p", "claim", *few, *fields()])
    yield Case("WHERE all", ["TASK.CLAIM", "p", "claim-all", *every, *fields()])
    yield Case("WHERE all, LEASE", ["TASK.CLAIM", "p", "claim-lease", *every, *fields(), "LEASE", 3_600_000])
    yield Case("1,000 rows", lambda run: ["TASK.ACK", "p", "t", "ROWS", spread(size, run)], runs=RUNS)
    yield Case("LEASE", ["TASK.ACK", "p", "t", "ROWS", some, "LEASE", 5])
    yield Case("one lease", ["TASK.RENEW", "p", "t", "LEASE", 7, 3_600_000])
    yield Case("one row of a step", ["TASK.RELEASE", "p", "t", "ROWS", indexes([4 + size.steps])])
    yield Case("1,000 rows", lambda run: ["TASK.RELEASE", "p", "t", "ROWS", spread(size, run)], runs=RUNS)
    yield Case("WHERE few", ["TASK.RELEASE", "p", "t", *few])
    yield Case("tasks", ["TASK.LIST", "p"])
    yield Case(f"{count:,} rows", ["TASK.ACK", "p", "ack", "ROWS", many], rows=count,
               before=[fetch(task="ack", count=1)])  # fmt: skip
    yield Case("WHERE all", ["TASK.ACK", "p", "ack", *every])
    yield Case(f"{count:,} rows", ["TASK.RELEASE", "p", "ack", "ROWS", many], rows=count)
    yield Case("WHERE all", ["TASK.RELEASE", "p", "ack", *every])
    yield Case("one task", ["TASK.RESET", "p", "group-BY"])
    yield Case("all tasks", ["TASK.RESET", "p"])
    yield Case("a task that has a line", fetch(task="group-BY", command="TASK.EXPLAIN"))


def kv_cases(size):
    some = spread(size, 0)
    count = size.rows // 10
    many = indexes(range(count))
    few = ["WHERE", 1, "s", "=", "few"]
    fits = ["WHERE", 1, "s", "=", "run"]
    tags = ["TAGS", "LINES", "\n".join(['{"s":"new","x":1}'] * count)]
    value = ["FIELD", "f0", "float32", "VALUES", 1]
    yield Case("a new row", ["KV.PUT", "p", "new", "TAG", '{"g":1}', *value])
    yield Case("a row that is there", ["KV.PUT", "p", "row-5", "TAG", '{"g":2}', *value])
    yield Case("a new field", ["KV.PUT", "p", "row-6", "FIELD", "new", "float32", "VALUES", 1])
    yield Case("to a row", ["KV.APPEND", "p", "grows", "FIELD", "tokens", "int64", 1, "BLOB", bytes(8)])
    few_tags = ["TAGS", "LINES", "\n".join(['{"x":1}'] * 1000)]
    yield Case("1,000 rows", lambda _run: ["KV.MPUT", "p", "NEW", 1000, *columns(1000)], runs=RUNS)
    yield Case("TAGS of 1,000 rows", lambda run: ["KV.MPUT", "p", "ROWS", spread(size, run), *few_tags], runs=RUNS)
    first = indexes(range(100))
    large = ["TAGS", "LINES", "\n".join(['{"large":"' + "x" * 60_000 + '"}'] * 100)]
    small = ["TAGS", "LINES", "\n".join(['{"x":2}'] * 100)]
    yield Case("TAGS of 100 rows, 60 KB each", ["KV.MPUT", "p", "ROWS", first, *small],
               before=[["KV.MPUT", "p", "ROWS", first, *large]])  # fmt: skip
    yield Case(f"{count:,} new rows", lambda _run: ["KV.MPUT", "p", "NEW", count, *columns(count)], rows=count, runs=RUNS)
    yield Case(f"TAGS of {count:,} rows", lambda _run: ["KV.MPUT", "p", "ROWS", many, *tags], rows=count, runs=RUNS)
    yield Case("1,000 rows", lambda run: ["KV.MGET", "p", "ROWS", spread(size, run), *fields()], runs=RUNS)
    yield Case("WHERE few", ["KV.MGET", "p", *few, *fields()])
    yield Case("WHERE all", ["KV.MGET", "p", "WHERE", 1, "w", ">", 0, "FIELDS", 1, "f1"])
    yield Case(f"{count:,} rows", ["KV.MGET", "p", "ROWS", many, *fields()], rows=count)
    yield Case("all", ["KV.FIELDS", "p"])
    yield Case("1,000 rows", lambda run: ["KV.FIELDS", "p", "ROWS", spread(size, run)], runs=RUNS)
    yield Case("WHERE all", ["KV.FIELDS", "p", *fits])
    yield Case("1,000 rows", ["KV.TAGS", "p", "ROWS", some])
    yield Case("WHERE all", ["KV.TAGS", "p", *fits])
    yield Case("all", ["KV.LIST", "p"])
    yield Case("WHERE, FIELDS", ["KV.LIST", "p", *fits, *fields()])
    yield Case("partitions", ["KV.LIST"])
    yield Case("1,000 rows", ["KV.SCAN", "p", 0, "COUNT", 1000])
    yield Case("one row", ["KV.SHOW", "p", "row-7"])
    yield Case("all", ["KV.CHANGES", "p", 0])
    yield Case("1,000 rows that are ready", ["KV.WAIT", "p", "ROWS", some, *fields(), "TIMEOUT", 1000])


def partition_cases(size):
    names = [f"task-{number}" for number in range(1000)]
    yield Case("all", ["PARTITION.INFO", "p"])
    yield Case("names", ["PARTITION.LIST"])
    yield Case("all", lambda _run: ["PARTITION.READY", "p", *fields()], runs=RUNS)
    yield Case("1,000 tasks", ["PARTITION.CREATE", "q", "TASKS", len(names), *names])
    yield Case("limits of p", ["PARTITION.CREATE", "p", "MAXROWS", 10 * size.rows])


def clearing_cases(size):
    """Requests on `p`; each removes a part of it, and the last the rest."""
    every = ["WHERE", 1, "w", ">", 0]
    yield Case("one row", ["KV.CLEAR", "p", "KEYS", 1, "row-9"])
    yield Case("1,000 rows", lambda run: ["KV.CLEAR", "p", "ROWS", spread(size, run)], runs=RUNS)
    yield Case("FIELDS of WHERE few", ["KV.CLEAR", "p", "WHERE", 1, "s", "=", "few", *fields()])
    yield Case("FIELDS of WHERE all", ["KV.CLEAR", "p", *every, "FIELDS", 1, "f4"])
    yield Case("rows that 10 % consumed", ["PARTITION.EVICT", "p", "evict"],
               before=[fetch(task="evict", count=size.rows // 10, names=FIELDS[:1])])  # fmt: skip
    yield Case("rows that all tasks consumed", ["PARTITION.EVICT", "p", "evict"],
               before=[["TASK.CLAIM", "p", "evict", *every, *fields(FIELDS[:1])]])  # fmt: skip


def whole_partition_cases(size):
    """Each on its own partition."""
    every = ["WHERE", 1, "w", ">", 0]
    yield Case("WHERE all", ["KV.CLEAR", "p", *every])
    yield Case("the partition", ["KV.CLEAR", "p"])
    yield Case("a partition", ["DEL", "p"])
    yield Case("a partition", ["UNLINK", "p"])
    yield Case("everything", ["FLUSHALL"])
    yield Case("everything", ["FLUSHDB"])
    yield Case("a partition, by the housekeeper", ["PEXPIRE", "p", 1], of="housekeeper")
    yield Case("AUTOEVICT of all rows", ["TASK.ACK", "p", "only", *every],
               before=[["PARTITION.CREATE", "p", "AUTOEVICT", "TASKS", 1, "only"]])  # fmt: skip
    yield Case("leases that expire together, by the housekeeper", *AllAtOnce(size.leases).requests(), of="housekeeper")
    yield Case("bound leases of a closed connection", *[fetch("LEASE", 3_600_000, "BOUND", count=1)] * size.leases,
               of="disconnect")  # fmt: skip


class AllAtOnce:
    """Leases that are granted one after another, and expire at the same moment."""

    def __init__(self, count):
        self.count = count
        self.end = None

    def requests(self):
        return [self._request] * self.count

    def _request(self, _run):
        self.end = self.end or time.monotonic() + self.count / 10_000
        return fetch("LEASE", max(1, int(1000 * (self.end - time.monotonic()))), count=1)


def other_cases(size):
    del size
    far = int(time.time()) + 1000
    for words in (
        "PING", "ECHO x", "SET s v", "GET s", "SETNX s v", "SETEX s2 100 v", "PSETEX s3 100000 v", "GETSET s v",
        "GETEX s", "GETRANGE s 0 1", "SETRANGE s 0 v", "APPEND s v", "STRLEN s", "INCR n", "INCRBY n 2", "DECR n",
        "DECRBY n 2", "MSET a 1 b 2", "MSETNX c 1 d 2", "MGET a b", "EXISTS p", "TYPE p", "TOUCH p", "KEYS *",
        "SCAN 0", "RANDOMKEY", "DBSIZE", "TTL p", "PTTL p", "EXPIRETIME p", "PEXPIRETIME p", "EXPIRE s 1000",
        "PEXPIRE s 1000000", f"EXPIREAT s {far}", f"PEXPIREAT s {far}000", "PERSIST s", "GETDEL s", "DEL a",
        "UNLINK b", "OBJECT ENCODING p", "OBJECT FREQ p", "OBJECT IDLETIME p", "OBJECT REFCOUNT p", "MEMORY USAGE p",
        "MEMORY STATS", "MEMORY DOCTOR", "MEMORY PURGE", "INFO everything", "CONFIG GET *",
        "CONFIG SET slowlog-max-len 128", "CONFIG RESETSTAT", "CONFIG REWRITE", "LATENCY DOCTOR", "LATENCY HISTOGRAM",
        "LATENCY HISTORY command", "LATENCY LATEST", "LATENCY RESET", "SLOWLOG GET", "SLOWLOG LEN", "SLOWLOG RESET",
        "COMMAND", "COMMAND COUNT", "COMMAND DOCS", "COMMAND GETKEYS GET x", "COMMAND HELP", "COMMAND INFO",
        "COMMAND GETKEYSANDFLAGS GET x", "ACL HELP", "CLIENT HELP", "CONFIG HELP", "FUNCTION HELP", "LATENCY HELP",
        "MEMORY HELP", "MODULE HELP", "OBJECT HELP", "PUBSUB HELP", "SLOWLOG HELP", "FUNCTION LIST", "FUNCTION FLUSH",
        "LATENCY GRAPH command",
        "COMMAND LIST", "ACL CAT", "ACL LIST", "ACL USERS", "ACL WHOAMI", "MODULE LIST", "TIME", "ROLE", "LASTSAVE",
        "WAIT 0 0", "HELLO 2", "SELECT 0", "AUTH x", "CLIENT GETNAME", "CLIENT GETREDIR", "CLIENT ID", "CLIENT INFO",
        "CLIENT KILL ID 999999", "CLIENT LIST", "CLIENT NO-EVICT on", "CLIENT NO-TOUCH on", "CLIENT PAUSE 1 write",
        "CLIENT UNPAUSE", "CLIENT REPLY on", "CLIENT SETINFO LIB-NAME x", "CLIENT SETNAME x", "CLIENT TRACKING off",
        "CLIENT TRACKINGINFO", "CLIENT UNBLOCK 999999", "PUBLISH c m", "SPUBLISH c m", "PUBSUB CHANNELS",
        "PUBSUB NUMPAT", "PUBSUB NUMSUB c", "PUBSUB SHARDCHANNELS", "PUBSUB SHARDNUMSUB c", "SUBSCRIBE c",
        "UNSUBSCRIBE c", "PSUBSCRIBE c", "PUNSUBSCRIBE c", "SSUBSCRIBE c", "SUNSUBSCRIBE c", "WATCH p", "UNWATCH",
        "CLUSTER", "ASKING", "READONLY", "READWRITE", "RESET", "MONITOR", "QUIT", "DISCARD",
        "AI.TENSORSET tensor FLOAT 1 VALUES 1", "AI.TENSORGET tensor META", "SHUTDOWN SAVE", "MULTI",
    ):  # fmt: skip
        yield Case("-", words.split())
    get = ["TASK.STATUS", "p", "t"]
    yield Case("two commands", ["MULTI"], get, get, ["EXEC"])


GROUPS_OF_CASES = (other_cases, partition_cases, kv_cases, task_cases, clearing_cases)


def all_cases(size):
    return [case for group in (*GROUPS_OF_CASES, whole_partition_cases) for case in group(size)]


def commands_of(client):
    """The commands of COMMAND LIST; a container is replaced by its subcommands."""

    def ask(*words):  # redis-py takes any COMMAND for COMMAND INFO
        connection.send_command("COMMAND", *words)
        return connection.read_response()

    connection = client.connection_pool.get_connection()
    try:
        described = ask("INFO", *ask("LIST"))
    finally:
        client.connection_pool.release(connection)
    names = set()
    for command in described:
        inner = {subcommand[0].decode() for subcommand in command[9]}
        names |= inner or {command[0].decode()}
    return names | ({"command"} if "command|list" in names else set())


def without_case(commands, size=QUICK):
    """Returns the commands without a case here."""
    run = {case.command(commands) for case in all_cases(size)}
    return sorted(commands - run)


def holds_of(client):
    lines = client.info("holds").items()
    return {name.removeprefix("hold_"): value["max_us"] for name, value in lines if name.startswith("hold_")}


def run_case(client, port, case, commands):
    """Returns the longest hold in ms; of several runs, their median."""
    return statistics.median(_run_once(client, port, case, commands, run) for run in range(case.runs))


def _run_once(client, port, case, commands, run):
    with connect(port) as connection:
        for request in case.before:
            drain(connection, pack(*request))
        client.config_resetstat()
        name = case.command(commands)
        for begin in range(0, len(case.requests), 1000):
            requests = [made(request, run) for request in case.requests[begin : begin + 1000]]
            connection.sendall(b"".join(pack(*request) for request in requests))
            mine = sum(Case("", request).command(commands) == name for request in requests)
            _read_some(client, connection, name, begin + mine)
    return _longest_hold(client, case.of or name, case)


def _read_some(client, connection, name, calls):
    """Returns once this many calls are counted, and no reply is left on the connection."""
    connection.settimeout(0.05)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            if not connection.recv(1 << 20):
                return
        except TimeoutError:
            counted = client.info("commandstats").get(f"cmdstat_{name}", {})
            if counted.get("calls", 0) + counted.get("rejected_calls", 0) >= calls:
                return
    raise TimeoutError(f"no reply to {name}")


def _longest_hold(client, name, case):
    """Returns the longest hold in ms, after later effects: leases expire, partitions expire, a disconnect is noticed."""
    if case.of is None:
        return holds_of(client).get(name, 0) / 1000
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        tasks = client.info("tasks")
        busy = client.exists("p") if name != "disconnect" and len(case.requests) == 1 else _leases(tasks) > 0
        if not busy:
            break
        time.sleep(0.02)
    return holds_of(client).get(name, 0) / 1000


def _leases(tasks):
    return sum(value["leases"] for name, value in tasks.items() if re.fullmatch(r"task\d+", name))


SERVERS = 3


def bench_holds(report, size):
    """The median of three servers counts: with two cores, a thread may lose its core while it has the lock."""
    held_ms, reads_ns = {}, []
    for _ in range(SERVERS):
        for name, case, milliseconds in _run_all(size, reads_ns):
            held_ms.setdefault((name, case.bound_ms()), []).append(milliseconds)
    read_ns = statistics.median(reads_ns)
    slower = max(1.0, read_ns / READ_NS)
    for (name, bound_ms), runs in held_ms.items():
        report.add_hold(name, statistics.median(runs), bound_ms, slower)
    report.remarks.append(f"A dependent read took {read_ns:.0f} ns ({min(reads_ns):.0f} to {max(reads_ns):.0f}); at most: 5 ms, "
                          f"or {ROW_US} us a row, where it takes {READ_NS:.0f} ns.")  # fmt: skip


def _read_latency_ns():
    program = pathlib.Path(server_binary()).parents[1] / "tests/bench/bench_read_latency"
    return float(subprocess.run([program], check=True, capture_output=True, text=True).stdout)


def _run_all(size, reads_ns):
    """Yields each case with its name and its longest hold in ms, all on one server. Adds to `reads_ns` what a dependent read
    takes meanwhile."""
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "sluice.conf")
        config.write_text("slowlog-max-len 127\n")
        with own_server(config) as port, redis.Redis(port=port, decode_responses=False) as client:
            commands = commands_of(client)
            missing = without_case(commands, size)
            assert not missing, f"no case of bench_holds.py runs {missing}"
            build(client, port, size)
            for group in GROUPS_OF_CASES:
                reads_ns.append(_read_latency_ns())
                for case in group(size):
                    yield _name(case, commands), case, run_case(client, port, case, commands)
            for case in whole_partition_cases(size):
                client.flushall()
                fill(client, "p", size.rows)
                client.execute_command(*fetch("KEEP", count=1))
                yield _name(case, commands), case, run_case(client, port, case, commands)


def _name(case, commands):
    return f"{case.command(commands).replace('|', ' ')}: {case.what}"
