"""COMMAND and ACL CAT describe the commands that Redis has too as a redis-server beside Sluice describes them."""

import contextlib
import subprocess

import pytest
import redis
from live_server import Server

# There is no replication, and there are no scripts; the log of slow commands has every command.
LEFT_OUT = {"stale", "noscript", "allow_busy", "skip_slowlog"}


@contextlib.contextmanager
def redis_server(folder):
    path = str(folder / "redis")
    command = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert any("ready to accept" in line.lower() for line in process.stdout), "redis-server does not start"
            yield redis.Redis(unix_socket_path=path, protocol=3, decode_responses=True)
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Clients of Sluice and of redis-server."""
    folder = tmp_path_factory.mktemp("both")
    server = Server(folder)
    with server.client(protocol=3, decode_responses=True) as client, redis_server(folder) as other, other:
        yield client, other
    server.stop()


def described(client):
    """{name: what COMMAND INFO says about it}, also for subcommands; the tips and the subcommands are left out."""
    names = client.execute_command("COMMAND LIST")
    commands = {}
    for name, arity, flags, first, last, step, categories, _, specs, _ in client.execute_command("COMMAND INFO", *names):
        commands[name] = {
            "arity": arity,
            "flags": set(flags) - LEFT_OUT,
            "positions": (first, last, step),
            "categories": set(categories),
            "key specifications": [{**spec, "flags": sorted(spec["flags"])} for spec in specs],
        }
    return commands


def test_the_commands_of_redis_are_described_as_redis_describes_them(both):
    ours, theirs = map(described, both)
    common = ours.keys() & theirs.keys()
    assert {"get", "client|list", "object|encoding"} <= common
    differing = {name: (ours[name], theirs[name]) for name in common if ours[name] != theirs[name]}
    assert differing == {}


def test_every_list_of_a_category_has_the_same_commands(both):
    ours, theirs = (set(client.execute_command("COMMAND LIST")) for client in both)
    common = ours & theirs
    for category in both[0].execute_command("ACL CAT"):
        lists = [set(client.execute_command("ACL CAT", category)) for client in both]
        lists += [set(client.execute_command("COMMAND LIST FILTERBY", "ACLCAT", category)) for client in both]
        assert [listed & common for listed in lists] == [lists[0] & common] * 4, category


@pytest.mark.parametrize(
    "request_words",
    [
        "SET k v",
        "SET k get",
        "SET k v NX get",
        "SET k v EX 10",
        "GETEX k",
        "MSET a 1 b 2",
        "OBJECT FREQ k",
        "OBJECT HELP",
        "MEMORY USAGE k SAMPLES 5",
        "SPUBLISH c m",
        "SSUBSCRIBE a b",
        "SUNSUBSCRIBE a",
        "WATCH a b",
        "FUNCTION LIST WITHCODE",
    ],
)
def test_the_keys_of_a_request_are_those_of_redis(both, request_words):
    def keys(client, subcommand):
        try:
            return client.execute_command(f"COMMAND {subcommand}", *request_words.split())
        except redis.ResponseError as error:
            return str(error)

    for subcommand in ("GETKEYS", "GETKEYSANDFLAGS"):
        ours, theirs = (keys(client, subcommand) for client in both)
        assert ours == theirs
