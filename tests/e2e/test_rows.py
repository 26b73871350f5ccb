"""Rows over redis-py: tags, lists of names, clearing, and freed memory."""

import json

import pytest
import redis
from live_server import wait_until
from tensors import columns, packed

# RFC 7396, appendix A, where both sides are objects: tag, patch, result.
MERGES = [
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]


def used(client):
    """Returns bytes of data, and of payload among them, without the client's own buffers, which vary."""
    info = client.info("memory")
    return int(info["used_memory"]) - int(info["used_memory_clients"]), int(info["used_memory_payload"])


@pytest.mark.parametrize("how", ["KV.PUT", "KV.MPUT"])
def test_a_tag_is_merged_on_the_server(r, how):
    keys = [f"k{i}" for i in range(len(MERGES))]
    for part in (0, 1):
        patches = [case[part] for case in MERGES]
        if how == "KV.PUT":
            for key, patch in zip(keys, patches, strict=True):
                r.execute_command("KV.PUT", "p", key, "TAG", patch)
        else:
            r.execute_command("KV.MPUT", "p", "KEYS", len(keys), *keys, "TAGS", len(keys), *patches)
    tags = r.execute_command("KV.TAGS", "p", "KEYS", len(keys), *keys)
    assert [json.loads(tag) for tag in tags] == [json.loads(case[2]) for case in MERGES]


def test_names_may_be_given_as_lines(r):
    keys, tags = "\n".join(f"k{i}" for i in range(1000)), "\n".join(f'{{"i":{i}}}' for i in range(1000))
    new, indexes = r.execute_command(
        "KV.MPUT", "p", "KEYS", "LINES", keys, "TAGS", "LINES", tags + "\n",
        "COLUMN", "x", "int64", "BLOB", packed(range(1000)), "COLUMN", "y", "int8", "BLOB", bytes(1000),
    )  # fmt: skip
    assert (new, indexes) == (1000, packed(range(1000)))
    got = columns(r.execute_command("KV.MGET", "p", "KEYS", "LINES", keys, "FIELDS", "LINES", "y\nx"))
    assert list(got) == ["y", "x"]
    assert got["x"][3] == packed(range(1000))
    assert r.execute_command("KV.TAGS", "p", "KEYS", "LINES", keys) == [b'{"i":%d}' % i for i in range(1000)]
    assert r.execute_command("KV.CLEAR", "p", "KEYS", "LINES", keys, "FIELDS", "LINES", "x") == 1000
    assert list(columns(r.execute_command("KV.MGET", "p", "KEYS", "LINES", keys))) == ["y"]


@pytest.mark.parametrize(
    ("how", "removed"),
    [
        (lambda indexes: ["KEYS", 3, "0", "1", "2"], 3),
        (lambda indexes: ["ROWS", packed(indexes)], 3),
        (lambda indexes: ["KEYS", 3, "0", "1", "2", "FIELDS", 2, "small", "large"], 6),
        (lambda indexes: [], 3),
    ],
    ids=["keys", "rows", "fields", "partition"],
)
def test_cleared_rows_free_their_memory(r, how, removed):
    assert r.dbsize() == 0
    r.execute_command("KV.MPUT", "p", "NEW", 3)
    kept = used(r)
    for indexes in ([0, 1, 2], [3, 4, 5]):  # the second round uses the state left by the first
        for row in range(3):
            r.execute_command(
                "KV.PUT", "p", row, "FIELD", "small", "int8", 3, "BLOB", b"abc",
                "FIELD", "large", "uint8", 1 << 20, "BLOB", bytes(1 << 20),
            )  # fmt: skip
        assert r.dbsize() == 1
        assert used(r)[1] >= 3 << 20
        assert r.execute_command("KV.CLEAR", "p", *how(indexes)) == removed
        wait_until(lambda: used(r)[1] == 0, "payload is left")
    if not how(indexes):
        assert r.dbsize() == 0
        assert used(r)[0] < kept[0]


def fill_and_empty(r):
    for i in range(50):
        r.execute_command("KV.MPUT", f"p{i}", "NEW", 20, "TAGS", 20, *['{"a":"some text"}'] * 20,
                          "COLUMN", "x", "float32", 100, "BLOB", bytes(8000))  # fmt: skip
        r.set(f"s{i}", b"x" * 100000)
    assert r.dbsize() == 100
    assert used(r)[1] > 50 * 100000
    for i in range(50):
        assert r.execute_command("KV.CLEAR", f"p{i}") == 20
    assert r.dbsize() == 50
    r.flushall()
    assert r.dbsize() == 0


def test_used_memory_returns_to_its_start_value(r):
    fill_and_empty(r)  # the connection's own buffers have their full size from now on
    start = used(r)
    fill_and_empty(r)
    wait_until(lambda: used(r) == start, f"{used(r)} at the end, {start} at the start")


def test_errors_are_redis_errors_and_change_nothing(r):
    r.execute_command("KV.PUT", "p", "a", "FIELD", "x", "int64", "VALUES", 1)
    pipe = r.pipeline(transaction=False)
    pipe.execute_command("KV.PUT", "p", "a", "FIELD", "x", "int32", "VALUES", 2)
    pipe.execute_command("KV.MPUT", "p", "NEW", 2, "TAGS", 2, "{}", "no")
    pipe.execute_command("KV.MGET", "p", "KEYS", 2, "a", "b")
    pipe.execute_command("KV.MGET", "p", "KEYS", 1, "a", "FORMAT", "values")
    dtype, badtag, nokey, values = pipe.execute(raise_on_error=False)
    assert [type(reply) for reply in (dtype, badtag, nokey)] == [redis.ResponseError] * 3
    assert [str(reply).split()[0] for reply in (dtype, badtag, nokey)] == ["DTYPE", "BADTAG", "NOKEY"]
    assert values == [[[b"x", b"int64", [], [b"1"]]]]
    assert r.execute_command("KV.MPUT", "p", "NEW", 1) == [1, packed([1])]
