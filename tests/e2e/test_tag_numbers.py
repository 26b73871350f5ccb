"""Numbers in tags over redis-py: integers keep their digits, floats keep their value, both are compared by value."""

import json
import math

import pytest
from streams import fetch
from tensors import packed

UID = 0x9F3C_51D2_8A77_40E6_B1C4_0D5E_F298_6A31  # 128 bits, as a UUID
NUMBERS = [
    "0", "-7", "9223372036854775808", "-9223372036854775809", "18446744073709551616", "18446744073709551617", str(UID), str(-UID),
    "9" * 400, "1.0", "-0.0", "0.1", "1.8446744073709552e+19", "5e-324",
]  # fmt: skip


def put(r, tags, partition="p"):
    """Puts one row per tag, with the keys "0", "1", ..."""
    texts = [tag if isinstance(tag, str) else json.dumps(tag) for tag in tags]
    r.execute_command(
        "KV.MPUT", partition, "KEYS", len(texts), *range(len(texts)), "TAGS", len(texts), *texts,
        "COLUMN", "x", "uint8", "BLOB", bytes(len(texts)),
    )  # fmt: skip


def matching(r, *condition):
    """Returns the rows whose tags match, read from every command that selects rows by WHERE."""
    listed = r.execute_command("KV.LIST", "p", "WHERE", 1, *condition, "FORMAT", "lines").splitlines()
    rows = [json.loads(line)["index"] for line in listed]
    assert len(r.execute_command("KV.TAGS", "p", "WHERE", 1, *condition)) == len(rows)
    ready = r.execute_command("TASK.READY", "p", "t", "FIELDS", 1, "x", "WHERE", 1, *condition)
    assert ready == packed(rows)
    return rows


def test_every_reply_has_the_number_that_was_written(r):
    tags = [f'{{"n":{number},"deep":{{"list":[{number},"{number}"]}}}}' for number in NUMBERS]
    put(r, tags)
    expected = [tag.encode() for tag in tags]
    keys = ["KEYS", len(tags), *range(len(tags))]
    assert r.execute_command("KV.TAGS", "p", *keys) == expected
    for key, tag in enumerate(tags):
        assert f"tag {tag}\n".encode() in r.execute_command("KV.SHOW", "p", key)
    lines = r.execute_command("KV.LIST", "p", "FORMAT", "lines").splitlines()
    assert [line.partition(b'"tag":')[2][:-1] for line in lines] == expected
    assert fetch(r, "p", "t", "COUNT", len(tags)).tags == expected
    merged = [tag.replace("}}", '},"more":1}').encode() for tag in tags]
    reply = r.execute_command("KV.MPUT", "p", *keys, "RETURN", "TAGS", "TAGS", len(tags), *['{"more":1}'] * len(tags))
    assert reply[-1] == merged
    assert r.execute_command("KV.TAGS", "p", *keys) == merged


@pytest.mark.parametrize(("sent", "value"), [("1e400", math.inf), ("-1e400", -math.inf), ("1e-400", 0.0), ("1E2", 100.0)])
def test_a_float_keeps_its_value(r, sent, value):
    put(r, [f'{{"n":{sent}}}'])
    [tag] = r.execute_command("KV.TAGS", "p", "KEYS", 1, 0)
    read = json.loads(tag)["n"]
    assert (read, type(read)) == (value, float)


def test_prompts_whose_ids_differ_by_one_are_two_groups(r):
    put(r, [{"uid": UID}, {"uid": UID + 1}, {"uid": UID + 1}, {"uid": UID}, {"uid": UID - 1}])
    group = ["COUNT", 2, "SAMPLER", "group", "SIZE", 2, "BY", "uid"]
    assert fetch(r, "p", "t", *group).rows == [0, 3]
    assert fetch(r, "p", "t", *group).rows == [1, 2]
    text = r.execute_command("TASK.EXPLAIN", "p", "t", "FIELDS", 1, "x", *group).decode()
    assert f"{UID - 1} (from row 4)" in text


def test_where_compares_large_integers_exactly(r):
    put(r, [{"uid": UID + i} for i in range(3)])
    assert matching(r, "uid", "=", UID + 1) == [1]
    assert matching(r, "uid", "!=", UID + 1) == [0, 2]
    assert matching(r, "uid", "<", UID + 1) == [0]
    assert matching(r, "uid", ">=", UID + 1) == [1, 2]
    assert matching(r, "uid", "IN", f"[{UID}, {UID + 2}, {UID + 3}]") == [0, 2]
    assert matching(r, "uid", "=", float(UID)) == []  # the nearest double is another number
    assert matching(r, "uid", ">", "1e30") == [0, 1, 2]
    assert r.execute_command("KV.CLEAR", "p", "WHERE", 1, "uid", "=", UID + 2) == 1
    assert r.execute_command("KV.LIST", "p", "FORMAT", "lines").count(b"\n") == 1


def test_integers_and_floats_are_compared_without_rounding(r):
    put(r, [{"n": 2**53}, {"n": 2.0**53}, {"n": 2**53 + 1}, {"n": 2**64}, {"n": 2.0**64}, {"n": 2**64 + 1}])
    assert matching(r, "n", "=", 2**53) == matching(r, "n", "=", "9007199254740992.0") == [0, 1]
    assert matching(r, "n", "=", 2**53 + 1) == [2]
    assert matching(r, "n", "=", 2**64) == matching(r, "n", "=", "1.8446744073709552e19") == [3, 4]
    assert matching(r, "n", ">", "18446744073709551616.0") == [5]


def test_by_separates_an_integer_from_a_float(r):
    put(r, ['{"n":1}', '{"n":1.0}', '{"n":10e-1}', '{"n":1}'])
    assert matching(r, "n", "=", 1) == [0, 1, 2, 3]
    group = ["COUNT", 2, "SAMPLER", "group", "SIZE", 2, "BY", "n"]
    assert fetch(r, "p", "t", *group).rows == [0, 3]
    assert fetch(r, "p", "t", *group).rows == [1, 2]


def test_a_large_integer_is_a_weight(r):
    put(r, [{"w": 2**100}, {"w": -(2**100)}, {"w": 3 * 2**100}, {"w": 0}])
    got = fetch(r, "p", "t", "COUNT", 4, "MIN", 1, "SAMPLER", "priority", "WEIGHT", "w")
    assert sorted(zip(got.rows, map(float, got.weights), strict=True)) == [(0, 0.25), (2, 0.75)]
