"""The demo, small: it succeeds though a scorer is killed, and it detects a server that loses or changes a row."""

import os
import re
import subprocess
import sys

import pytest
from live_server import ROOT, server_binary

# A faulty server: a client of its own changes the first rows as soon as they exist.
HARM = """#!{python}
import os, sys, redis
if os.fork() == 0:
    client = redis.Redis(unix_socket_path=sys.argv[sys.argv.index("--unixsocket") + 1], socket_timeout=30)
    do = client.execute_command
    while True:
        try:
            client.ping()
            break
        except redis.ConnectionError:
            assert os.getppid() != 1
    for row in range(128):
        key = f"row-{{row}}"
        do("KV.WAIT", "demo.rows", "KEYS", 1, key, "FIELDS", 1, "prompt_ids", "TIMEOUT", 5000)
        if {harm}:
            break
    os._exit(0)
os.execv({binary!r}, [{binary!r}, *sys.argv[1:]])
"""
# Either may be too late for one row, once a trainer has read it: CHANGE continues with the next ones, LOSE if it must.
LOSE = 'do("KV.CLEAR", "demo.rows", "KEYS", 1, key) == 1'
CHANGE = 'do("KV.PUT", "demo.rows", key, "FIELD", "response_ids", "int64", 1, "VALUES", 7) < 0'


def demo(server, *more):
    command = [sys.executable, ROOT / "scripts/demo", "--rows", "400", *more]
    environment = os.environ | {"SLUICE_SERVER": str(server), "PYTHONPATH": str(ROOT / "scripts")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_the_demo_moves_400_rows_and_checks_them():
    done = demo(server_binary())
    assert done.returncode == 0, done.stdout + done.stderr
    table = {line[:12].strip(): line for line in done.stdout.splitlines()}
    assert "  8 values" in table["get 1 MiB"]
    for stage in ("put", "score", "train"):
        assert re.match(rf"{stage} +400 ", table[stage])
    assert table["train"].endswith("1,600 values, 400 tags")
    assert re.search(r"^Killed: scorer [01], with SIGKILL, while it had leased \d+ rows", done.stdout, re.MULTILINE)
    assert "No row was lost or processed twice: 400 put, 400 scored, 400 trained" in done.stdout
    assert "Verified: every value bit for bit, every tag; memory is back" in done.stdout


@pytest.mark.parametrize("harm", [LOSE, CHANGE], ids=["loses", "changes"])
def test_the_demo_fails_and_names_the_row_if_the_server(harm, tmp_path):
    server = tmp_path / "server"
    server.write_text(HARM.format(python=sys.executable, binary=os.fspath(server_binary()), harm=harm))
    server.chmod(0o755)
    done = demo(server, "--patience", "3")
    assert done.returncode == 1, done.stdout
    assert "demo failed" in done.stderr
    assert re.search(r"row[ -]\d+", done.stderr)
