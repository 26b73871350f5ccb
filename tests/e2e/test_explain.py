"""TASK.EXPLAIN names the true reason: each one, compared with the reply of the same TASK.FETCH."""

import re

import pytest
from streams import connect, fetch, put_rows

TAGS = ['{"v":1,"g":"a"}', '{"v":2,"g":"a"}', '{"v":3,"g":"b"}', '{"v":4,"g":"b"}']


@pytest.fixture
def r(server):
    """Four rows with x, in task t's partition p."""
    with connect(server.port) as client:
        client.flushall()
        put_rows(client, "p", range(4), *TAGS)
        yield client
        client.flushall()


def explain(r, *arguments, fields=("x",)):
    return r.execute_command("TASK.EXPLAIN", "p", "t", "FIELDS", len(fields), *fields, *arguments).decode().splitlines()


def rows(*indexes):
    return ["ROWS", b"".join(index.to_bytes(8, "little") for index in indexes)]


def check(lines, *patterns):
    """Requires exactly these lines, in this order."""
    assert len(lines) == len(patterns), lines
    for line, pattern in zip(lines, patterns, strict=True):
        assert re.fullmatch(pattern, line), (line, pattern)


EXPECT = "expect: 4 rows were created, and the partition has no EXPECT; .*"


def test_enough_rows_is_ok(r):
    check(explain(r, "COUNT", 4), "ok: 4 rows available, 4 requested")
    check(explain(r, "COUNT", 9, "MIN", 2), "ok: 4 rows available, 9 requested")
    assert len(fetch(r, "p", "t", "COUNT", 4).rows) == 4


def test_a_repeated_step_is_ok(r):
    step = ["COUNT", 3, "RANK", 0, "STEP", 7]
    fetch(r, "p", "t", *step)
    check(explain(r, *step), "ok: step 7 of rank 0 is known and is repeated")
    assert fetch(r, "p", "t", *step).rows == [0, 1, 2]


def test_missing_fields_are_named(r):
    r.execute_command("KV.PUT", "p", "0", "FIELD", "y", "int8", "VALUES", 1)
    lines = explain(r, "COUNT", 2, fields=("x", "y", "z"))
    check(lines, "missing y: 3 rows lack the field, first row 1; .*", "missing z: 4 rows lack the field, first row 0; .*", EXPECT)
    check(explain(r, "COUNT", 1, fields=("x", "y")), "ok: .*")


def test_consumed_rows_are_counted(r):
    fetch(r, "p", "t", "COUNT", 3)
    check(explain(r, "COUNT", 2), "consumed: task 't' has consumed 3 rows; .*", EXPECT)
    assert fetch(r, "p", "t", "COUNT", 2) is None
    assert fetch(r, "p", "another", "COUNT", 2).rows == [0, 1]


def test_leased_rows_are_counted(r):
    for count in (2, 1):
        fetch(r, "p", "t", "COUNT", count, "LEASE", 60_000)
    check(explain(r, "COUNT", 2), r"leased: 3 rows in 2 leases; the first lease expires in (59\d\d\d|60000) ms unless .*", EXPECT)
    assert fetch(r, "p", "t", "COUNT", 2) is None


def test_rows_that_do_not_match_where_are_counted(r):
    where = ["COUNT", 3, "WHERE", 1, "v", ">=", 3]
    check(explain(r, *where), "where: 2 complete rows do not match WHERE; change their tags", EXPECT)
    assert fetch(r, "p", "t", *where) is None


@pytest.mark.parametrize("by", [[], ["BY", "g"]])
@pytest.mark.parametrize("gone", ["consumed", "leased"])
def test_a_torn_group_is_named(r, by, gone):
    lease = ["LEASE", 60_000] if gone == "leased" else []
    r.execute_command("TASK.CLAIM", "p", "t", *rows(1), "FIELDS", 1, "x", *lease)
    groups = ["COUNT", 4, "SAMPLER", "group", "SIZE", 2, *by]
    name = r'"a" \(from row 0\)' if by else r"0 \(rows 0 to 1\)"
    state = "is torn" if gone == "consumed" else "is not whole yet"  # a lease may expire
    check(
        explain(r, *groups),
        f"{gone}: .*",
        "sampler group can take 2 of the 3 ready rows",
        f"sampler group {name} {state}.*: 1 of its 2 rows are ready",
        EXPECT,
    )
    assert fetch(r, "p", "t", *groups) is None


@pytest.mark.parametrize("gone", [2, 3])
def test_a_group_with_a_removed_row_is_named(r, gone):
    r.execute_command("KV.CLEAR", "p", *rows(gone))
    groups = ["COUNT", 4, "SAMPLER", "group", "SIZE", 2]
    *_, torn, _ = explain(r, *groups)
    assert re.fullmatch(r"sampler group 1 \(rows 2 to 3\) is torn.*: 1 of its 2 rows are ready", torn)


def test_a_group_that_can_never_be_whole_is_named(r):
    r.execute_command("PARTITION.CREATE", "p", "EXPECT", 4)
    r.execute_command("KV.CLEAR", "p", *rows(2))
    groups = ["COUNT", 4, "SAMPLER", "group", "SIZE", 2, "BY", "g"]
    *_, group, expect = explain(r, *groups)
    assert re.fullmatch(r'sampler group "b" \(from row 3\) can never be whole.*: 1 of its 2 rows are ready', group)
    assert expect == "expect: at most 2 rows can ever become ready, 4 are needed: the reply is nil"
    assert fetch(r, "p", "t", *groups, "BLOCK", 0) is None


def test_neighbors_that_are_not_made_yet_are_counted(r):
    groups = ["COUNT", 3, "SAMPLER", "group", "SIZE", 3]
    fetch(r, "p", "t", *groups)
    for expect, state in ((6, "is not whole yet"), (4, "can never be whole: all rows were created")):
        r.execute_command("PARTITION.CREATE", "p", "EXPECT", expect)
        *_, group, _ = explain(r, *groups)
        assert group == f"sampler group 1 (rows 3 to 5) {state}: 1 of its 3 rows are ready"


def test_rows_of_weight_0_are_counted(r):
    r.execute_command("KV.PUT", "p", "0", "TAG", '{"v":0}')
    r.execute_command("KV.PUT", "p", "1", "TAG", '{"v":null}')
    priority = ["COUNT", 3, "SAMPLER", "priority", "WEIGHT", "v"]
    check(
        explain(r, *priority),
        "sampler priority can take 2 of the 4 ready rows",
        'sampler priority never takes 2 ready rows: their "v" is missing, not a number, or not above 0',
        EXPECT,
    )
    assert fetch(r, "p", "t", *priority) is None


def test_rows_to_come_are_counted(r):
    r.execute_command("PARTITION.CREATE", "p", "EXPECT", 10)
    check(explain(r, "COUNT", 6), "expect: 4 of 10 rows were created, 6 are still to come")


def test_too_few_rows_for_ever_is_reported(r):
    r.execute_command("PARTITION.CREATE", "p", "EXPECT", 5)
    fetch(r, "p", "t", "COUNT", 3)
    check(explain(r, "COUNT", 3), "consumed: .* 3 rows; .*", "expect: at most 2 rows can ever become ready, 3 are needed: .*")
    assert fetch(r, "p", "t", "COUNT", 3, "BLOCK", 0) is None


def test_the_end_of_the_stream_is_reported(r):
    r.execute_command("PARTITION.CREATE", "p", "EXPECT", 4)
    fetch(r, "p", "t", "COUNT", 4)
    check(explain(r, "COUNT", 1), "consumed: .* 4 rows; .*", "expect: end of the stream: all 4 rows were created, .*")
    assert fetch(r, "p", "t", "COUNT", 1, "BLOCK", 0).end == 1


def test_all_reasons_are_listed_together(r):
    """One line per reason, in the order of the page."""
    put_rows(r, "p", range(2), *TAGS[:2])
    r.execute_command("KV.MPUT", "p", "NEW", 1)
    fetch(r, "p", "t", "COUNT", 1)
    fetch(r, "p", "t", "COUNT", 1, "LEASE", 60_000)
    lines = explain(r, "COUNT", 8, "WHERE", 1, "v", "<=", 3, "SAMPLER", "priority", "WEIGHT", "w")
    reasons = [re.match(r"(missing x|\w+)", line)[0] for line in lines]
    assert reasons == ["missing x", "consumed", "leased", "where", "sampler", "sampler", "expect"]
