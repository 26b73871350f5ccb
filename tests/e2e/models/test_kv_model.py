"""The one model of the KV commands: random commands go to the server and to a model of docs/protocol.md, and every reply
and every state is compared.

A seed is 2,000 commands of all kinds, a quarter of them wrong on purpose, over two connections chosen at random. After
each, its reply is compared with the model's (kv_model.py), and the partition it names is read back whole. Pollers
follow KV.CHANGES, a KV.SCAN runs between the writes, other connections close in the middle of a write or while they are
blocked. At the end nothing is left. SLUICE_SEED: first seed; SLUICE_SEEDS: number of seeds. A failure names the seed and
shows the last commands.

The streaming commands have a model of their own (tests/stream_model), and so have strings, names and expiry, and values
while compaction moves them (tests/store_model).

The tests below check that this detects faults: a reply changed on its way (REPLY_MUTATIONS: a row dropped, two tags
exchanged, DICT off by one, a bit flipped ...), and a changed rule of the model (MODEL_MUTATIONS). Each must fail, usually
within a hundred commands (pytest -rA shows how).
"""

import collections
import os
import random
import socket
import time

import kv_model
import kv_random
import pytest
import redis
from kv_model import Model
from kv_random import Chooser
from kv_replies import Error, ErrorReply, difference, matches, pairs
from kv_words import Unspecified, merge, same_json, strict_json
from resp import pack
from tensors import packed

FIRST = int(os.environ.get("SLUICE_SEED", "1"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("SLUICE_SEEDS", "25")))
COMMANDS = 2000


class Wire:
    """A connection without a client library: several commands in one send; replies as redis-py returns them over RESP2."""

    def __init__(self, server):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(server.path)
        self.socket.settimeout(60)
        self.reader = self.socket.makefile("rb", 1 << 18)

    def run(self, commands):
        self.socket.sendall(b"".join(pack(*command) for command in commands))
        return [self.read() for _ in commands]

    def read(self):
        line = self.reader.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self.reader.read(size + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        if kind == b":":
            return int(rest)
        if kind == b"-":
            return ErrorReply(rest.decode())
        assert kind == b"+", line
        return rest

    def close(self):
        self.reader.close()
        self.socket.close()


def shown(args):
    return " ".join(repr(arg)[1:] if len(arg) < 100 else f"<{len(arg)} bytes: {arg[:40]!r}...>" for arg in args)


class Session:
    """One seed: the server's clients, the model, and the activity between the commands."""

    def __init__(self, server, seed, spoil):
        self.server, self.seed, self.spoil = server, seed, spoil
        self.random = random.Random(seed)
        self.model = Model()
        self.chooser = Chooser(self.random, self.model)
        self.last = collections.deque(maxlen=10)
        self.count = self.revision = 0
        self.copies = {}  # partition -> (revision, {key: tag}): the state of a poller of KV.CHANGES
        self.scan = None  # (partition, its object, cursor, rows at the start, keys seen)
        self.tcp = seed % 5 == 1
        where = {"port": server.port} if self.tcp else {"unix_socket_path": server.path}
        protocol = 3 if seed % 5 in (1, 2) else 2
        self.clients = [redis.Redis(**where, protocol=protocol, single_connection_client=True) for _ in range(2)]
        self.wire = Wire(server)
        self.wire.run([[b"FLUSHALL"]])

    def close(self):
        self.wire.close()
        for client in self.clients:
            client.close()

    def play(self, commands):
        try:
            for _ in range(commands):
                self.count += 1
                self.step()
            self.end()
        except Exception as error:
            commands = "\n".join(map(shown, self.last))
            where = f"seed {self.seed}, command {self.count}"
            raise AssertionError(f"{where}: {error}\nlast commands:\n{commands}") from error

    def send(self, args):
        self.last.append(args)
        try:
            got = self.random.choice(self.clients).execute_command(*args)
        except redis.ResponseError as error:
            got = ErrorReply(str(error))
        return self.spoil(args, got) if self.spoil else got

    def step(self):
        damaged = self.random.random() < 0.04
        while True:
            args = self.chooser.command()
            args = self.chooser.damaged(args) if damaged else args
            try:
                expected = self.model.execute(args)
                break
            except Unspecified:
                continue
        got = self.send(args)
        if damaged and isinstance(expected, Error):
            expected = Error(None)  # depends on the order of the checks
        self.check(expected, got)
        name = args[1] if len(args) > 1 else b"p"
        if args[0] == b"KV.CHANGES" and isinstance(got, list):
            self.note(got[0])
        self.compare(name)
        event = self.random.random()
        if event < 0.05:
            self.poll(self.some_partition())
        elif event < 0.10:
            self.scan_on()
        elif event < 0.11:
            self.scan_whole()
        elif event < 0.13:
            self.break_off(args)
            self.compare(name)

    def some_partition(self):
        return self.random.choice([name for name in kv_random.PARTITIONS if name not in self.model.strings])

    def check(self, expected, got):
        if not matches(expected, got):
            raise AssertionError(f"reply{difference(expected, got)}")

    def compare(self, name):
        """Reads the partition whole over another connection."""
        partition = self.model.partitions.get(name)
        commands = [[b"KV.LIST"], [b"KV.LIST", name, b"FORMAT", b"lines"], [b"KV.FIELDS", name]]
        if partition and partition.rows:
            keys = b"\n".join(partition.rows)
            commands.append([b"KV.MGET", name, b"KEYS", b"LINES", keys, b"FORMAT", b"rows"])
        for command, got in zip(commands, self.wire.run(commands), strict=True):
            expected = self.model.execute(command)
            if not matches(expected, got):
                raise AssertionError(f"afterwards, of {shown(command)}: {difference(expected, got)}")

    def note(self, revision):
        assert revision >= self.revision, "the revision went back"
        self.revision = revision
        self.model.revisions.setdefault(revision, self.model.revision)

    def poll(self, name):
        """A poller's copy, updated by KV.CHANGES, equals the partition."""
        since, copy = self.copies.get(name, (0, {}))
        args = [b"KV.CHANGES", name, str(since).encode()]
        expected, got = self.model.execute(args), self.send(args)
        self.check(expected, got)
        revision, changed, removed = got
        copy = {} if removed is None else {key: tag for key, tag in copy.items() if key not in removed}
        copy |= {key: strict_json(tag) for key, tag in pairs(changed)}
        self.note(revision)
        self.copies[name] = revision, copy
        partition = self.model.partitions.get(name)
        tags = {row.key: row.tag for row in partition.rows.values()} if partition else {}
        assert same_json(copy, tags), f"a poller's copy is\n{copy}, expected\n{tags}"

    def scan_on(self):
        """Scans one more page while rows come and go: rows that stay are returned exactly once."""
        if self.scan is None or self.model.partitions.get(self.scan[0]) is not self.scan[1]:
            name = self.some_partition()
            partition = self.model.partitions.get(name)
            rows = {key: row.index for key, row in partition.rows.items()} if partition else {}
            self.scan = name, partition, 0, rows, []
        name, partition, cursor, start, seen = self.scan
        got = self.send([b"KV.SCAN", name, str(int(cursor)).encode(), b"COUNT", b"3"])
        self.check(self.model.execute([b"KV.SCAN", name, b"0", b"COUNT", b"3"]), got)
        cursor, page = got
        seen += [key for key, _ in pairs(page)]
        self.scan = name, partition, cursor, start, seen
        if int(cursor) == 0:
            self.scan = None
            now = partition.rows if partition else {}
            for key, index in start.items():
                if key in now and now[key].index == index:
                    assert seen.count(key) == 1, f"SCAN gave {key!r} {seen.count(key)} times"

    def scan_whole(self):
        name, options = self.some_partition(), self.words(self.chooser.scan_options)
        cursor, found = b"0", []
        expected = self.model.execute([b"KV.SCAN", name, b"0", *options])
        while True:
            got = self.send([b"KV.SCAN", name, str(int(cursor)).encode(), *options])
            self.check(expected, got)
            cursor, page = got
            found += [key for key, _ in pairs(page)]
            if int(cursor) == 0:
                break
        rows = expected.args[0] if isinstance(expected, kv_model.Page) else {}
        assert sorted(found) == sorted(rows), f"SCAN gave {found}, expected {list(rows)}"

    def words(self, make):
        self.chooser.wrong = False
        return [word if isinstance(word, bytes) else str(word).encode() for word in make()]

    def break_off(self, args):
        """Closes another connection in the middle of a write, or while it waits for rows that never come."""
        if self.random.random() < 0.7:
            while args[0] not in (b"KV.PUT", b"KV.MPUT", b"KV.APPEND", b"KV.CLEAR"):
                args = self.chooser.command()
            whole = pack(*args)
            data = whole[: self.random.randrange(1, len(whole))]
            self.last.append([b"(broken off)", *args, b"(after %d bytes)" % len(data)])
        else:
            name = self.some_partition()
            args = [b"KV.WAIT", name, b"KEYS", b"1", b"never", b"FIELDS", b"1", b"never", b"TIMEOUT", b"0"]
            data = pack(*args)
            self.last.append([b"(closed)", *args])
        other = socket.socket() if self.tcp else socket.socket(socket.AF_UNIX)
        other.connect(("127.0.0.1", self.server.port) if self.tcp else self.server.path)
        other.sendall(data)
        if self.random.random() < 0.5:
            other.shutdown(socket.SHUT_WR)
        other.close()

    def end(self):
        """After FLUSHALL nothing is left, and no client is blocked."""
        self.last.append([b"FLUSHALL"])
        self.wire.run([[b"FLUSHALL"]])
        deadline = time.monotonic() + 10
        while True:
            info = self.clients[0].info()
            left = int(info["used_memory_payload"]), int(info["blocked_clients"])
            if left == (0, 0):
                return
            assert time.monotonic() < deadline, f"used_memory_payload, blocked_clients: {left}"
            time.sleep(0.01)


def play(server, seed, commands=COMMANDS, spoil=None):
    session = Session(server, seed, spoil)
    try:
        session.play(commands)
    finally:
        session.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_random_commands_agree_with_the_model(server, seed):
    play(server, seed)


# ----------------------------------------------------------------------------------------------- what has to be noticed


def drop_a_row(args, got):
    if args[0] == b"KV.MGET" and b"rows" in args and len(got) > 1:
        return got[:-1]


def swap_two_tags(args, got):
    if args[0] == b"KV.TAGS" and len({tag for tag in got if tag}) > 1:
        i = next(i for i in range(len(got) - 1) if got[i] != got[i + 1])
        return [*got[:i], got[i + 1], got[i], *got[i + 2 :]]


def turn_a_dict(args, got):
    """Shifts every position of DICT by one."""
    for at, entry in enumerate(got if args[0] == b"KV.MGET" and b"DICT" in args else []):
        if len(entry) == 6 and entry[2][0] > 1 and entry[3] is None and entry[4]:
            count, size = entry[2][0], len(entry[4]) // entry[2][0]
            if len({entry[4][i : i + size] for i in range(0, len(entry[4]), size)}) < count:
                continue  # equal bytes at two positions
            turned = [(int.from_bytes(entry[5][i : i + 8], "little") + 1) % count for i in range(0, len(entry[5]), 8)]
            return [*got[:at], [*entry[:5], packed(turned)], *got[at + 1 :]]


def flip_a_bit(args, got):
    first = got[0] if args[0] == b"KV.MGET" and isinstance(got, list) and got else None
    if first and isinstance(first[0], bytes) and first[4]:
        return [[*first[:4], bytes([first[4][0] ^ 1]) + first[4][1:], *first[5:]], *got[1:]]


def count_one_more(args, got):
    if args[0] == b"KV.CLEAR" and isinstance(got, int):
        return got + 1


def other_code(args, got):
    if isinstance(got, ErrorReply) and got.code == "NOKEY":
        return ErrorReply("WRONGTYPE of something else")


def forget_a_removal(args, got):
    if args[0] == b"KV.CHANGES" and isinstance(got, list) and got[2]:
        return [got[0], got[1], []]


def forget_a_change(args, got):
    if args[0] == b"KV.CHANGES" and isinstance(got, list) and got[1]:
        return [got[0], [], got[2]]


def scan_twice(args, got):
    if args[0] == b"KV.SCAN" and isinstance(got, list) and len(pairs(got[1])) == 1:
        return [got[0], [*got[1], *got[1]] if isinstance(got[1], list) else [*sum(got[1].items(), ()) * 2]]


def success_for_failure(args, got):
    if args[0] == b"KV.WAIT" and got == 0:
        return 1


REPLY_MUTATIONS = [drop_a_row, swap_two_tags, turn_a_dict, flip_a_bit, count_one_more, other_code, forget_a_removal,
                   forget_a_change, scan_twice, success_for_failure]  # fmt: skip


@pytest.mark.parametrize("mutation", REPLY_MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_changed_reply_is_detected(server, mutation):
    spoilt = []

    def spoil(args, got):
        # A removal may be missing if the key was made since, and some requests may get any code: so all are spoilt,
        # until it shows.
        once = spoilt and mutation not in (forget_a_removal, other_code)
        other = None if once or isinstance(got, ErrorReply) and mutation is not other_code else mutation(args, got)
        if other is None:
            return got
        spoilt.append(args)
        return other

    with pytest.raises(AssertionError, match="seed 3, command") as failure:
        play(server, 3, 5 * COMMANDS, spoil)
    print(failure.value)
    assert spoilt


def merge_top(tag, patch):
    return {name: value for name, value in (tag | merge({}, patch)).items() if patch.get(name, "") is not None}


class Forgetful(list):
    def append(self, item):
        pass


def copy_of_same(model, partition, key, field):
    cell = same_cell(model, partition, key, field)
    return kv_model.Cell(cell.dtype, cell.shape, kv_model.Blob(cell.blob.data))


def next_of_dict(model, dtype, dims, rank, shapes, where, data, count):
    cells = column_cells(model, dtype, dims, rank, shapes, where, data, count)
    return cells if where is None else [*cells[1:], cells[0]]


def fields_ever(partition):
    partition.ever = getattr(partition, "ever", {}) | partition_fields(partition)
    return partition.ever


def forget_removals(partition, made):
    partition_init(partition, made)
    partition.removed = Forgetful()


same_cell, column_cells = Model.same_cell, Model.column_cells
partition_fields, partition_init = kv_model.Partition.fields, kv_model.Partition.__init__
grown, padded, fits, glob = Model.grown, kv_model.padded, kv_model.fits, kv_model.glob
MODEL_MUTATIONS = {
    "a null in a tag is kept": (kv_model, "merge", lambda tag, patch: tag | patch),
    "tags are merged at the top only": (kv_model, "merge", merge_top),
    "NEW does not skip keys": (kv_model.Partition, "new_key", lambda partition: b"%d" % partition.next_index),
    "SAME copies": (Model, "same_cell", copy_of_same),
    "DICT is off by one": (Model, "column_cells", next_of_dict),
    "a freed field keeps its dtype": (kv_model.Partition, "fields", fields_ever),
    "a cell begun with MORE is ready": (kv_model.Row, "ready", lambda row, fields: all(f in row.cells for f in fields)),
    "APPEND puts in front": (
        Model, "grown", lambda model, old, dtype, shape, data: prepended(grown(model, old, dtype, shape, data), data),
    ),
    "PAD on the other side": (
        kv_model, "padded",
        lambda dtype, cells, side, value: padded(dtype, cells, "LEFT" if side == "RIGHT" else "RIGHT", value),
    ),
    "removals are forgotten": (kv_model.Partition, "__init__", forget_removals),
    "writes are forgotten": (kv_model.Row, "touched", property(lambda row: 0, lambda row, value: None)),
    "a missing name is not !=": (
        kv_model, "fits", lambda where, tag: fits(where, tag) and all(name.decode() in tag for name, _, _ in where),
    ),
    "[^] does not negate": (kv_model, "glob", lambda pattern, text: glob(pattern.replace(b"^", b""), text)),
}  # fmt: skip


def prepended(cell, data):
    before = cell.blob.data[: len(cell.blob.data) - len(data)]
    return kv_model.Cell(cell.dtype, cell.shape, kv_model.Blob(data + before))


@pytest.mark.parametrize("mutation", MODEL_MUTATIONS)
def test_a_wrong_rule_is_detected(server, monkeypatch, mutation):
    owner, name, value = MODEL_MUTATIONS[mutation]
    monkeypatch.setattr(owner, name, value, raising=name != "touched")
    with pytest.raises(AssertionError, match="seed 4, command") as failure:
        play(server, 4, 5 * COMMANDS)
    print(failure.value)
