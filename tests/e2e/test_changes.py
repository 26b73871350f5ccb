"""Which rows exist, asked while others write: KV.CHANGES, KV.SCAN and KV.LIST on a second connection."""

import contextlib
import json
import random
import threading

import pytest
import redis

KEYS = [b"key-%d" % i for i in range(3000)]
REMOVALS_KEPT = 100_000


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def clients(request, server):
    """A writer and a reader; the server is empty before and after."""
    with (
        redis.Redis(port=server.port, protocol=request.param) as writer,
        redis.Redis(port=server.port, protocol=request.param) as reader,
    ):
        writer.flushall()
        yield writer, reader
        writer.flushall()


def as_map(reply):
    if isinstance(reply, dict):
        return reply
    pairs = dict(zip(reply[::2], reply[1::2], strict=True))
    assert len(pairs) == len(reply) // 2, "duplicate key in the map"
    return pairs


class Writer:
    """Random changes, the same in each run; remembers the affected rows."""

    def __init__(self, client, seed):
        self.client = client
        self.random = random.Random(seed)
        self.touched = set()
        self.changes = 0
        self.ways = [self.put, self.mput, self.clear_rows, self.clear_fields, self.clear_partition]
        self.weights = [1200, 300, 400, 200, 1]

    def write(self, count):
        pipe = self.client.pipeline(transaction=False)
        for way in self.random.choices(self.ways, self.weights, k=count):
            pipe.execute_command(*way())
        pipe.execute()
        self.changes += count

    def some_keys(self, most):
        keys = self.random.sample(KEYS, self.random.randint(1, most))
        self.touched.update(keys)
        return len(keys), keys

    def tag(self):
        return b'{"n":%d}' % self.random.randrange(1 << 40)

    def put(self):
        _, (key,) = self.some_keys(1)
        tag = ["TAG", self.tag()] if self.random.random() < 0.8 else []
        return ["KV.PUT", "p", key, *tag, "FIELD", self.random.choice("xy"), "int8", "VALUES", 1]

    def mput(self):
        count, keys = self.some_keys(20)
        tags = [self.tag() for _ in keys]
        return ["KV.MPUT", "p", "KEYS", count, *keys, "TAGS", count, *tags, "COLUMN", "x", "int8", "BLOB", bytes(count)]

    def clear_rows(self):
        count, keys = self.some_keys(8)
        return ["KV.CLEAR", "p", "KEYS", count, *keys]

    def clear_fields(self):
        count, keys = self.some_keys(8)
        return ["KV.CLEAR", "p", "KEYS", count, *keys, "FIELDS", 1, self.random.choice("xy")]

    def clear_partition(self):
        return ["KV.CLEAR", "p"]

    def flood(self, at_once):
        """Makes more removals than are remembered, of rows that a poller cannot learn of otherwise."""
        count = REMOVALS_KEPT + 512
        for begin in range(0, count, at_once):
            keys = "\n".join(f"flood-{i}" for i in range(begin, min(begin + at_once, count)))
            self.client.execute_command("KV.MPUT", "p", "KEYS", "LINES", keys)
            self.client.execute_command("KV.CLEAR", "p", "KEYS", "LINES", keys)


class Poller:
    def __init__(self, client, leaves_out=None):
        self.client = client
        self.leaves_out = leaves_out  # skips one of these, once: "removal", "change"
        self.copy = {}
        self.revision = 0
        self.polls_of_all = 0

    def poll(self):
        """Returns changed and removed keys (removed is None if any may have been removed)."""
        self.revision, changed, removed = self.client.execute_command("KV.CHANGES", "p", self.revision)
        changed = as_map(changed)
        assert removed is None or len(set(removed)) == len(removed)
        spoilt, fewer = self.spoil(dict(changed), removed)
        if removed is None:
            self.copy = {}
            self.polls_of_all += 1
        for key in fewer or []:
            self.copy.pop(key, None)
        self.copy.update(spoilt)
        return changed, removed

    def spoil(self, changed, removed):
        gone = [key for key in removed or [] if key in self.copy]
        other = [key for key, tag in changed.items() if self.copy.get(key) != tag]
        if self.leaves_out == "removal" and gone:
            self.leaves_out = None
            return changed, [key for key in removed if key != gone[0]]
        if self.leaves_out == "change" and other and removed is not None:
            self.leaves_out = None
            del changed[other[0]]
        return changed, removed


def follow(writer, poller, changes, floods=()):
    """The poller's copy equals the partition, however many changes occur between two polls."""
    client = poller.client
    floods = dict(floods)
    while writer.changes < changes:
        writer.touched.clear()
        since = poller.revision
        writer.write(min(writer.random.choice([1, 10, 300, 600, 1500]), changes - writer.changes))
        after = min((at for at in floods if at <= writer.changes), default=None)
        if after is not None:
            writer.flood(floods.pop(after))
        changed, removed = poller.poll()
        assert poller.copy == as_map(client.execute_command("KV.LIST", "p")), f"after {writer.changes} changes"
        if after is not None:
            assert removed is None
        elif removed is not None:
            assert set(changed) | set(removed) <= writer.touched, "reported a change that did not happen"
            assert not set(changed) & set(removed)
        if writer.random.random() < 0.3:
            ready = as_map(client.execute_command("KV.LIST", "p", "FIELDS", 2, "x", "y"))
            of_fields = client.execute_command("KV.CHANGES", "p", since, "FIELDS", 2, "x", "y")
            assert as_map(of_fields[1]) == {key: tag for key, tag in changed.items() if key in ready}
            assert [of_fields[0], of_fields[2]] == [poller.revision, removed]
    assert not floods


def test_changes_keeps_a_pollers_copy_equal_to_the_partition_through_100000_random_changes(clients):
    writer, poller = Writer(clients[0], 7), Poller(clients[1])
    follow(writer, poller, 100_000, floods={30_000: 1000, 70_000: 200_000})
    assert poller.polls_of_all >= 3  # at first, and after each flood; also after the partition was recreated


@pytest.mark.parametrize("what", ["removal", "change"])
def test_a_poller_that_skips_one_change_is_detected(clients, what):
    poller = Poller(clients[1], leaves_out=what)
    with pytest.raises(AssertionError, match=r"after \d+ changes"):
        follow(Writer(clients[0], 8), poller, 20_000)
    assert poller.leaves_out is None


def test_changes_polled_while_they_happen_are_not_lost(clients):
    writer, poller = Writer(clients[0], 9), Poller(clients[1])
    with meanwhile(lambda: writer.write(200)) as rounds:
        while len(rounds) < 100:
            poller.poll()
    poller.poll()
    assert poller.copy == as_map(clients[0].execute_command("KV.LIST", "p"))


def test_the_last_100000_removals_are_reported_and_no_more(clients):
    writer, reader = clients
    keys = [f"k{i}" for i in range(REMOVALS_KEPT)]
    writer.execute_command("KV.MPUT", "p", "KEYS", "LINES", "stays\n" + "\n".join(keys))
    revision = reader.execute_command("KV.CHANGES", "p", 0)[0]
    for begin in range(0, len(keys), 10_000):
        writer.execute_command("KV.CLEAR", "p", "KEYS", "LINES", "\n".join(keys[begin : begin + 10_000]))
    now, changed, removed = reader.execute_command("KV.CHANGES", "p", revision)
    assert (now, as_map(changed)) == (revision + 10, {})
    assert removed == [key.encode() for key in keys]
    Writer(writer, 0).flood(1000)
    _, changed, removed = reader.execute_command("KV.CHANGES", "p", revision)
    assert (as_map(changed), removed) == ({b"stays": b"{}"}, None)


@contextlib.contextmanager
def meanwhile(write):
    """Calls write() repeatedly on another thread while the body runs; yields a list that grows with each call."""
    rounds, stop, failures = [], threading.Event(), []

    def run():
        try:
            while not stop.is_set():
                write()
                rounds.append(len(rounds))
        except Exception as failure:  # raised below, on the thread of the test
            failures.append(failure)
            rounds.extend(range(1 << 20))  # so that a wait for rounds ends

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield rounds
    finally:
        stop.set()
        thread.join(60)
    assert not failures, failures


def test_scan_sees_each_row_that_stays_exactly_once_while_others_come_and_go(clients):
    writer, reader = clients
    numbers = iter(range(10**9))
    kept = 2500  # of the rows that come and go; at first they lie between those that stay

    def write(rows=50):
        pipe = writer.pipeline(transaction=False)
        for number in (next(numbers) for _ in range(rows)):
            pipe.execute_command("KV.PUT", "p", f"goes-{number}", "TAG", "{}")
            pipe.execute_command("KV.CLEAR", "p", "KEYS", 1, f"goes-{number - kept}")
        pipe.execute()

    for begin in range(0, 3000, 50):
        writer.execute_command("KV.MPUT", "p", "KEYS", 50, *(f"stays-{i}" for i in range(begin, begin + 50)))
        write()
    stays = {b"stays-%d" % i for i in range(3000)}
    # Few per round: if rows were added faster than they are scanned, the scan would never end.
    with meanwhile(lambda: write(3)) as rounds:
        for count in (20, 50, 333, 4096, 100_000):
            seen, cursor, before = [], b"0", len(rounds)
            while True:
                cursor, page = reader.execute_command("KV.SCAN", "p", cursor, "COUNT", count)
                page = as_map(page)
                assert len(page) <= count
                seen += page
                if cursor == b"0":
                    break
            assert len(set(seen)) == len(seen)  # rows that came and went appear at most once, too
            assert stays <= set(seen)
            if count == 20:
                assert len(rounds) > before + 10, "no writes during the scan"


@pytest.mark.parametrize("command", [["KV.LIST", "p"], ["KV.CHANGES", "p", 0]], ids=["list", "changes"])
def test_a_listing_is_the_state_of_one_moment(clients, command):
    writer, reader = clients
    groups, size = 60, 500
    keys = [[f"{row}-{group}" for row in range(size)] for group in range(groups)]
    order = []  # the group that round r wrote
    generator = random.Random(3)

    def write(group=None):
        group = generator.randrange(groups) if group is None else group
        order.append(group)
        tags = ['{"round":%d,"text":"%s"}' % (len(order) - 1, "t" * 100)] * size
        writer.execute_command("KV.MPUT", "p", "KEYS", size, *keys[group], "TAGS", size, *tags)

    # Rows of all groups are interleaved, so that each write affects all parts of the partition.
    for row in range(size):
        writer.execute_command("KV.MPUT", "p", "KEYS", groups, *(keys[group][row] for group in range(groups)))
    for group in range(groups):
        write(group)

    moments = set()
    with meanwhile(write):
        for _ in range(12):
            reply = reader.execute_command(*command)
            listed = as_map(reply if command[0] == "KV.LIST" else reply[1])
            assert len(listed) == groups * size
            seen = [{listed[key.encode()] for key in keys[group]} for group in range(groups)]
            assert [len(tags) for tags in seen] == [1] * groups, "part of an MPUT"
            rounds = [json.loads(tag)["round"] for (tag,) in seen]
            moment = max(rounds)
            expected = {group: number for number, group in enumerate(order[: moment + 1])}
            assert rounds == [expected[group] for group in range(groups)], "a later MPUT, but not an earlier one"
            moments.add(moment)
    assert len(moments) > 6, "too few writes during the listings"
