"""The parts of waiting_model.py that do not wait: commands, partitions, tasks, and a random choice of steps."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of a connection, with the options that it has."""

    number: int
    name: str
    partition: str = ""
    task: str = ""
    keys: tuple = ()
    fields: tuple = ()
    count: int = 0
    least: int = 0  # MIN
    lifo: bool = False
    lease: bool = False
    bound: bool = False
    of_lease: int = 0  # the number of the fetch that was granted it
    block: bool = False
    rows_max: int = 0
    expect: int = 0
    tasks: tuple = ()
    parts: tuple = ()  # of MULTI: commands that do not block

    @property
    def is_write_of_rows(self):
        return self.name in ("put", "put new", "put keys")

    @property
    def is_held_by_pause(self):
        return self.name != "wait"


@dataclasses.dataclass
class Row:
    index: int
    fields: set


@dataclasses.dataclass(frozen=True)
class Lease:
    number: int  # of the fetch that was granted it
    connection: str
    bound: bool


@dataclasses.dataclass
class Task:
    consumed: set = dataclasses.field(default_factory=set)
    leased: dict = dataclasses.field(default_factory=dict)  # index -> Lease

    def copied(self):
        return Task(set(self.consumed), dict(self.leased))


@dataclasses.dataclass
class Partition:
    incarnation: int
    rows: dict = dataclasses.field(default_factory=dict)  # key -> Row, by index
    made: int = 0
    rows_max: int = 0  # 0: no limit
    expect: int = 0  # 0: unknown
    tasks: dict = dataclasses.field(default_factory=dict)
    evicts_after: tuple = ()  # TASKS, if AUTOEVICT is set

    def copied(self):
        rows = {key: Row(row.index, set(row.fields)) for key, row in self.rows.items()}
        tasks = {name: task.copied() for name, task in self.tasks.items()}
        return dataclasses.replace(self, rows=rows, tasks=tasks)

    def free_rows(self):
        return self.rows_max - len(self.rows) if self.rows_max else 1_000_000

    def ready(self, task, fields, lifo=False):
        """Returns keys that a fetch could take, in the sampler's order."""
        found = [
            key
            for key, row in self.rows.items()
            if row.fields >= set(fields) and row.index not in task.consumed and row.index not in task.leased
        ]
        return found[::-1] if lifo else found

    def batch_of(self, command, time_is_up=False):
        """Returns the fetch's answer now: a number of rows (0: the end of the stream), "nil", or None if it waits."""
        task = self.tasks.setdefault(command.task, Task())
        available = len(self.ready(task, command.fields))
        if available >= command.count:
            return command.count
        if self.expect:
            possible = sum(row.index not in task.consumed for row in self.rows.values()) + max(0, self.expect - self.made)
            if possible == 0:
                return 0
            if possible < command.least:
                return "nil"
            time_is_up = time_is_up or available == possible
        if not time_is_up:
            return None
        return available if available >= command.least else "nil"

    def add(self, key):
        self.rows[key] = Row(self.made, set())
        self.made += 1
        return self.rows[key]

    def remove(self, key):
        index = self.rows.pop(key).index
        for task in self.tasks.values():
            task.consumed.discard(index)
            task.leased.pop(index, None)

    def evict(self, tasks):
        """Removes the rows that these tasks have consumed; without tasks removes none."""
        done = [key for key, row in self.rows.items() if tasks and all(row.index in self.tasks[t].consumed for t in tasks)]
        for key in done:
            self.remove(key)
        return len(done)


CONNECTIONS = [f"c{i}" for i in range(11)]
PARTITIONS = ["p", "q"]
KEYS = ["a", "b", "c", "d", "e"]
FIELDS = ["x", "y"]
TASKS = ["t", "u"]
LONG = 10**9  # milliseconds, so that no result depends on the speed of the machine

COMMANDS = {
    "put": 20, "put new": 12, "put keys": 10, "fetch": 30, "wait": 8, "ack": 8, "release": 8, "clear": 14,
    "create": 5, "clear_all": 1, "delete": 1, "flush": 0.5, "reset": 1, "evict": 2,
}  # fmt: skip
"""The weight of each choice; likewise below."""

EVENTS = {"send": 80, "unblock": 5, "close": 5, "pause": 2, "memory": 1.5}


def weighted(random, weights):
    return random.choices(list(weights), weights.values())[0]


class Chooser:
    def __init__(self, random):
        self.random = random
        self.number = 0

    def step(self, model):
        """Returns a name and arguments for `Model.outcomes`. Few connections are left free for long."""
        free = [who for who in CONNECTIONS if who not in model.waiting and who not in model.held]
        weights = EVENTS | {"unpause": 12 if model.paused else 0, "pause": 0 if model.paused else EVENTS["pause"]}
        weights |= {"memory": 8 if model.memory_is_short else EVENTS["memory"]}
        weights |= {"send": EVENTS["send"] if len(free) > 2 else 10 * len(free)}
        event = weighted(self.random, weights)
        if event == "send":
            whole = not model.paused and not model.memory_is_short and self.chance(0.05)  # else it is refused when it is queued
            return event, self.random.choice(free), self.transaction(model) if whole else self.command(model)
        if event in ("unblock", "close"):
            busy = [who for who in CONNECTIONS if who not in free]
            who = self.random.choice(busy if busy and self.random.random() < 0.9 else CONNECTIONS)
            return (event, who, self.random.choice(["TIMEOUT", "ERROR"])) if event == "unblock" else (event, who)
        return (event, not model.memory_is_short) if event == "memory" else (event,)

    def some(self, items, most):
        return tuple(self.random.sample(items, self.random.randint(1, most)))

    def chance(self, probability):
        return self.random.random() < probability

    def transaction(self, model):
        parts = tuple(dataclasses.replace(self.command(model), block=False) for _ in range(self.random.randint(2, 3)))
        self.number += 1
        return Command(self.number, "multi", parts=parts)

    def command(self, model):
        self.number += 1
        name = weighted(self.random, COMMANDS)
        partition = "p" if self.chance(0.7) else "q"
        task = "t" if self.chance(0.7) else "u"
        options = {}
        if name == "put":
            fields = () if self.chance(0.1) else self.some(FIELDS, 2)
            options = {"keys": self.some(KEYS, 1), "fields": fields, "block": self.chance(0.9)}
        elif name == "put new":
            options = {"count": self.random.randint(1, 4), "fields": self.some(FIELDS, 2), "block": self.chance(0.9)}
        elif name == "put keys":
            options = {"keys": self.some(KEYS, 3), "fields": self.some(FIELDS, 2), "block": self.chance(0.9)}
        elif name == "wait":
            fields = self.some(FIELDS, 2) if self.chance(0.3) else ("x",)
            options = {"keys": self.some(KEYS, 2), "fields": fields, "block": True}
        elif name == "fetch":
            options = self.of_fetch()
        elif name in ("ack", "release"):
            keys = list(model.partitions[partition].rows) if partition in model.partitions else []
            options = {"keys": self.some(keys or KEYS, min(3, len(keys or KEYS))), "of_lease": self.some_lease(model, partition)}
        elif name == "clear":
            keys = list(model.partitions[partition].rows) if partition in model.partitions else []
            fields = self.some(FIELDS, 2) if self.chance(0.2) else ()
            options = {"keys": self.some(keys or KEYS, min(2, len(keys or KEYS))), "fields": fields}
        elif name == "create":
            options = self.of_create(model, partition)
        return Command(self.number, name, partition=partition, task=task, **options)

    def of_fetch(self):
        count = self.random.choice([1, 1, 1, 2, 2, 3])
        lease = self.chance(0.4)
        return {
            "fields": self.some(FIELDS, 2) if self.chance(0.5) else ("x",),
            "count": count,
            "least": self.random.randint(1, count) if self.chance(0.3) else count,
            "lifo": self.chance(0.2),
            "block": self.chance(0.9),
            "lease": lease,
            "bound": lease and self.chance(0.5),
        }

    def of_create(self, model, name):
        """Raises or removes the limit of an existing partition."""
        before = model.partitions[name].rows_max if name in model.partitions else 0
        limit = before + self.random.randint(1, 2) if before else self.random.randint(2, 4)
        tasks = tuple(TASKS[: self.random.randint(1, 2)]) if self.chance(0.4) else ()
        made = model.partitions[name].made if name in model.partitions else 0
        expect = made + self.random.randint(0, 6) if self.chance(0.3) else 0
        return {"rows_max": 0 if self.chance(0.05) else min(limit, 6), "tasks": tasks, "expect": expect}

    def some_lease(self, model, name):
        """Returns one that holds rows of the partition, or 0: no lease is named."""
        tasks = model.partitions[name].tasks.values() if name in model.partitions else []
        found = sorted({lease.number for task in tasks for lease in task.leased.values()})
        return self.random.choice(found) if found and self.chance(0.5) else 0


def words(command, lease_ids):
    """Returns the command as sent. `lease_ids`: the server's ids, by the number of the fetch that was granted the lease."""
    name, partition, task = command.name, command.partition, command.task
    keys = ["KEYS", len(command.keys), *command.keys]
    fields = ["FIELDS", len(command.fields), *command.fields]
    block = ["BLOCK", 0 if command.number % 2 else LONG] if command.block else []
    rows = len(command.keys) or command.count
    columns = [word for f in command.fields for word in ("COLUMN", f, "int64", "BLOB", "12345678" * rows)]
    if name == "put":
        values = [word for field in command.fields for word in ("FIELD", field, "int64", "VALUES", 7)]
        return ["KV.PUT", partition, *command.keys, *block, *(values or ["TAG", "{}"])]
    if name == "fetch":
        options = ["COUNT", command.count, "MIN", command.least, *(["SAMPLER", "lifo"] if command.lifo else [])]
        lease = ["LEASE", LONG, *(["BOUND"] if command.bound else [])] if command.lease else []
        return ["TASK.FETCH", partition, task, *fields, *options, *block, *lease]
    if name == "create":
        tasks = ["TASKS", len(command.tasks), *command.tasks, "AUTOEVICT"] if command.tasks else []
        expect = ["EXPECT", command.expect] if command.expect else []
        return ["PARTITION.CREATE", partition, "MAXROWS", command.rows_max, *expect, *tasks]
    if name in ("ack", "release"):
        of_lease = ["LEASE", lease_ids[command.of_lease]] if command.of_lease else []
        return [f"TASK.{name.upper()}", partition, task, *keys, *of_lease]
    return {
        "put new": ["KV.MPUT", partition, "NEW", command.count, *block, *columns],
        "put keys": ["KV.MPUT", partition, *keys, *block, *columns],
        "wait": ["KV.WAIT", partition, *keys, *fields, "TIMEOUT", 0 if command.number % 2 else LONG],
        "clear": ["KV.CLEAR", partition, *keys, *(fields if command.fields else [])],
        "clear_all": ["KV.CLEAR", partition],
        "delete": ["DEL", partition],
        "flush": ["FLUSHALL"],
        "reset": ["TASK.RESET", partition, task],
        "evict": ["PARTITION.EVICT", partition, task],
    }[name]
