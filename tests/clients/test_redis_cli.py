"""redis-cli's modes, and hints in a terminal."""

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time

import pytest
from clients import REDIS_CLI
from resp import pack

pytestmark = pytest.mark.client(REDIS_CLI)


def command(server, *words):
    return ["redis-cli", "-p", str(server.port), *words]


def environment(server):
    login = {"REDISCLI_AUTH": server.password} if server.password else {}
    return os.environ | login | {"TERM": "xterm", "REDISCLI_HISTFILE": "/dev/null"}


def cli(server, *words, **more):
    more = {"capture_output": True, "text": True, "check": True, "timeout": 120, **more}
    return subprocess.run(command(server, *words), env=environment(server), **more).stdout


COLOURS = re.compile(r"\x1b\[[\d;]*m")


class Terminal:
    """redis-cli at a terminal of 300 columns."""

    def __init__(self, server, *words):
        self.ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 50, 300, 0, 0))
        ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        self.process = subprocess.Popen(command(server, *words), env=environment(server), **ends)
        os.close(theirs)
        self.seen = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)

    def type(self, text):
        self.seen = ""
        os.write(self.ours, text.encode())

    def wait_for(self, pattern):
        deadline = time.monotonic() + 60
        while not re.search(pattern, self.seen):
            readable, _, _ = select.select([self.ours], [], [], max(0, deadline - time.monotonic()))
            assert readable, f"{pattern} does not come after {self.seen!r}"
            self.seen = COLOURS.sub("", self.seen + os.read(self.ours, 65536).decode())


PROMPT = r"127\.0\.0\.1:\d+> $"  # text typed before it is discarded


def test_a_terminal_shows_hints_and_completes_names(server):
    with Terminal(server) as terminal:
        terminal.wait_for(PROMPT)
        terminal.type("KV.PUT ")
        terminal.wait_for(r"partition row-key .*BLOCK.*TAG.*FIELD")
        terminal.type("train a ")
        terminal.wait_for(r"BLOCK")
        terminal.type("FIELD x uint8 1 VALUES 7\r")
        terminal.wait_for(r"\(integer\) 1\r\n(?s:.*)" + PROMPT)
        terminal.type("kv.mge\t")
        terminal.wait_for(r"KV\.MGET")
        terminal.type(" train KEYS 1 a FORMAT values\r")
        terminal.wait_for(r'"7"\r\n(?s:.*)' + PROMPT)
        terminal.type("HELP KV.CLEAR\r")
        terminal.wait_for(r"KV\.CLEAR partition.*\s+summary: Removes(?s:.*)group: kv\s+" + PROMPT)
        terminal.type("quit\r")
        assert terminal.process.wait(60) == 0


def fill(server):
    """30 strings and 3 partitions; the largest string has 5,000 bytes, the largest partition 40,000."""
    with server.client() as r:
        for i in range(29):
            r.set(f"string:{i}", "x" * (i + 1))
        r.set("string:large", "x" * 5000)
        for name, size in [("p:1", 10), ("p:large", 40000), ("p:2", 10)]:
            r.execute_command("KV.PUT", name, "row", "FIELD", "x", "uint8", size, "BLOB", bytes(size))


def test_scan_lists_all_names_and_those_of_a_pattern(server):
    fill(server)
    every = [*(f"string:{i}" for i in range(29)), "string:large", "p:1", "p:2", "p:large"]
    assert sorted(cli(server, "--scan").split()) == sorted(every)
    assert sorted(cli(server, "-3", "--scan").split()) == sorted(every)
    assert sorted(cli(server, "--scan", "--pattern", "p:*").split()) == ["p:1", "p:2", "p:large"]


def test_bigkeys_finds_the_largest_names(server):
    fill(server)
    out = cli(server, "--bigkeys")
    assert "Sampled 33 keys in the keyspace!" in out
    assert "Biggest string found '\"string:large\"' has 5000 bytes" in out
    assert re.search(r"30 strings with 5435 bytes \(90\.91% of keys", out)
    assert re.search(r"3 partitions with 0 .*\(09\.09% of keys", out)


def test_memkeys_finds_the_largest_names(server):
    fill(server)
    out = cli(server, "--memkeys")
    assert "Sampled 33 keys in the keyspace!" in out
    strings = re.search(r"Biggest string found '\"string:large\"' has (\d+) bytes", out)
    partitions = re.search(r"Biggest partition found '\"p:large\"' has (\d+) bytes", out)
    assert 5000 <= int(strings[1]) < 10000
    assert 40000 <= int(partitions[1]) < 100000


def test_pipe_sends_inline_commands_and_resp(server):
    # One inline command per line, then RESP with bytes that a line cannot contain.
    lines = b"".join(b"KV.PUT p k%d FIELD x int64 VALUES %d\r\n" % (i, i) for i in range(10000))
    blob = bytes(range(256)) * 16
    put = pack("KV.PUT", "p", "blob", "FIELD", "b", "bytes", "BLOB", blob)
    out = cli(server, "--pipe", input=lines + put, text=False).decode()
    assert "errors: 0, replies: 10001" in out
    with server.client() as r:
        assert r.execute_command("KV.CLEAR", "p", "KEYS", 2, "k0", "k9999") == 2
        [[*_, data]] = r.execute_command("KV.MGET", "p", "KEYS", 1, "blob")
        assert data == blob


def test_pipe_counts_errors(server):
    done = subprocess.run(
        command(server, "--pipe"), env=environment(server), input=b"PING\r\nNOSUCH\r\nPING\r\n",
        capture_output=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert b"errors: 1, replies: 3" in done.stdout


def test_the_last_argument_is_read_from_a_file(server):
    data = bytes(range(256)) + b"\r\n"
    put = ["-x", "KV.PUT", "p", "k", "FIELD", "x", "uint8", str(len(data)), "BLOB"]
    assert cli(server, *put, input=data, text=False) == b"1\n"
    with server.client() as r:
        [[*_, stored]] = r.execute_command("KV.MGET", "p", "KEYS", 1, "k")
        assert stored == data


def test_stat_shows_the_numbers_of_the_server(server):
    fill(server)
    with Terminal(server, "--stat", "-i", "0.05") as terminal:
        # keys, memory, clients, blocked, requests, connections; the second line counts requests since the first
        line = r"33 +[\d.]+[BKM] +\d+ +0 +\d+ \(\+%s\) +\d+ +\r?\n"
        terminal.wait_for(line % "0" + line % r"[1-9]\d*")


@pytest.mark.parametrize("mode", [["--latency", "--raw"], ["-3", "--latency", "--raw"]])
def test_latency_modes_measure_ping(server, mode):
    """min, max and mean in milliseconds, and the number of PINGs sent in a fifth of a second."""
    least, most, mean, count = map(float, cli(server, *mode, "-i", "0.2").split())
    assert 0 <= least <= mean <= most
    assert count >= 1


def test_cluster_is_refused(server):
    assert cli(server, "-c", "ECHO", "hi") == "hi\n"
    check = ["redis-cli", "--cluster", "check", f"127.0.0.1:{server.port}"]
    done = subprocess.run(check, env=environment(server), capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1
    assert f"Node 127.0.0.1:{server.port} is not configured as a cluster node" in done.stdout + done.stderr
