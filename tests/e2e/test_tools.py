"""redis-cli shows values and errors; the start and the end of the server."""

import pathlib
import shutil
import statistics
import subprocess
import time

import redis
from live_server import Server, server_binary


def run(*command, **more):
    assert shutil.which(command[0]), f"{command[0]} is not installed"
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120, **more).stdout


def cli(server, *words, **more):
    return run("redis-cli", "-p", str(server.port), *words, **more)


def test_redis_cli_shows_values_and_errors(server):
    cli(server, "FLUSHALL")
    put = ["KV.PUT", "train", "1_0", "FIELD", "ids", "int64", "3", "VALUES", "4", "5", "6"]
    assert cli(server, "--no-raw", *put) == "(integer) 1\n"
    values = cli(server, "--no-raw", "KV.MGET", "train", "KEYS", "1", "1_0", "FORMAT", "values")
    assert values == (
        '1) 1) 1) "ids"\n      2) "int64"\n      3) 1) (integer) 3\n      4) 1) "4"\n         2) "5"\n         3) "6"\n'
    )
    assert cli(server, "-3", "--no-raw", "KV.TAGS", "train", "KEYS", "1", "1_0") == '1) "{}"\n'
    assert cli(server, "-3", "--no-raw", "KV.MGET", "train", "KEYS", "1", "1_0", "FORMAT", "values") == values
    assert cli(server, "-3", "--no-raw", "CONFIG", "GET", "maxclients") == '1# "maxclients" => "10000"\n'
    assert cli(server, "-s", server.path, "--no-raw", "ECHO", "hi") == '"hi"\n'
    last = cli(server, "--no-raw", "KV.PUT", "train", "1_0", "FIELD", "x", "int64", "2", "BLOB", "abc")
    assert last.rstrip("\n") == "(error) SHAPE field 'x': int64 [2] needs 16 bytes, got 3"
    assert "0.1.0" in cli(server, "INFO", "server")


def test_the_server_answers_in_less_than_0_3_seconds(tmp_path):
    times = []
    for _ in range(5):
        start = time.monotonic()
        server = Server(tmp_path)
        times.append(time.monotonic() - start)
        server.stop()
    assert statistics.median(times) < 0.3


def test_a_second_server_does_not_take_the_socket_of_the_first(server):
    second = subprocess.run(
        [server_binary(), "--port", "0", "--unixsocket", server.path], capture_output=True, text=True, timeout=20
    )
    assert second.returncode == 1
    assert "another server answers there" in second.stderr
    assert redis.Redis(unix_socket_path=server.path).ping()


def test_shutdown_ends_the_server_and_removes_its_socket(tmp_path):
    server = Server(tmp_path)
    cli(server, "KV.PUT", "p", "k", "TAG", "{}")
    subprocess.run(["redis-cli", "-s", server.path, "SHUTDOWN", "NOSAVE"], check=False, capture_output=True, timeout=20)
    assert server.process.wait(20) == 0
    assert not pathlib.Path(server.path).exists()
