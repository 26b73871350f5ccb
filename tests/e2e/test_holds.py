"""How long commands hold the engine lock: the cases of scripts/bench_holds.py, on a smaller partition."""

import bench_holds
import pytest
import redis
from live_server import Server

SMALL = bench_holds.Size(rows=20_000, steps=128, leases=500)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A new server with the partition of bench_holds.py."""
    server = Server(tmp_path_factory.mktemp("holds"))
    with server.client() as client:
        bench_holds.build(client, server.port, SMALL)
        yield server, client
    server.stop()


def test_every_command_has_a_case(built):
    _, client = built
    commands = bench_holds.commands_of(client)
    assert bench_holds.without_case(commands) == []
    assert bench_holds.without_case(commands | {"kv.brandnew"}) == ["kv.brandnew"]


def test_info_shows_the_longest_hold_of_a_command_on_request(built):
    _, client = built
    client.config_resetstat()
    assert "kv.put" not in bench_holds.holds_of(client)
    client.execute_command("KV.MPUT", "held", "NEW", 5000, "COLUMN", "x", "float32", "BLOB", bytes(20000))
    held = bench_holds.holds_of(client)["kv.mput"]
    assert held > 0
    assert client.info("everything")["hold_kv.mput"] == {"max_us": held}
    assert "hold_kv.mput" not in client.info()
    client.config_resetstat()
    assert "kv.mput" not in bench_holds.holds_of(client)


def test_releasing_one_row_of_a_remembered_step_delays_no_other_client(built):
    """The cost depends on the released rows, not on the steps that 32 ranks remember: the minimum of several calls, since
    a loaded machine may take the processor away for longer than that."""
    server, client = built
    commands = bench_holds.commands_of(client)
    held = []
    for row in range(20):
        case = bench_holds.Case("one row", ["TASK.RELEASE", "p", "t", "ROWS", bench_holds.indexes([1000 + 130 * row])])
        held.append(bench_holds.run_case(client, server.port, case, commands))
    assert min(held) < 1, held


def test_field_names_that_were_only_asked_for_are_forgotten(built):
    """Each name was kept forever: 20,000 of them, and every look-up of a field scans all of them."""
    server, _ = built
    with redis.Redis(port=server.port) as client:
        client.execute_command("KV.PUT", "fields", "a", "FIELD", "x", "float32", "VALUES", 1)
        for number in range(2000):
            client.execute_command("TASK.READY", "fields", "t", "FIELDS", 1, f"field-{number}")
        ready = client.execute_command("TASK.READY", "fields", "t", "FIELDS", 1, "x")
        assert ready == bench_holds.indexes([0])
        with pytest.raises(redis.ResponseError, match="RANK: expected an integer from 0 to 65535, got '65536'"):
            client.execute_command("TASK.FETCH", "fields", "t", "FIELDS", 1, "x", "COUNT", 1, "RANK", 65536, "STEP", 0)
