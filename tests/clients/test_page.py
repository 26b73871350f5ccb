"""docs/clients.md: its snippets run, and its table equals the table printed by these tests."""

import subprocess
import sys

import clients
from live_server import ROOT

PAGE = ROOT / "docs/clients.md"


def test_the_snippets_run():
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/transcript", "--check", PAGE],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_table_is_this_one():
    table = clients.table(clients.EVERY)
    assert table in PAGE.read_text(), f"docs/clients.md lacks this table:\n{table}"
