"""docs/commands.md agrees with the command table and the server; and the script that compares them detects faults."""

import re
import subprocess
import sys

import redis
from live_server import ROOT
from pages import transcript

PAGE = ROOT / "docs/commands.md"


def commands_page(*arguments):
    script = ROOT / "scripts/commands-page"
    command = [sys.executable, script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_page_agrees_with_the_command_table():
    done = commands_page("--check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_examples_are_true():
    done = transcript("--check", PAGE)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_kv_command_has_text_and_an_example(server):
    texts = dict(re.findall(r"<!-- text: (.*?) -->\n(.*?)<!-- /text -->", PAGE.read_text(), re.DOTALL))
    with redis.Redis(port=server.port, decode_responses=True) as client:
        names = [name for name in client.execute_command("COMMAND LIST") if name.startswith("kv.")]
    assert len(names) >= 12
    for name in names:
        assert f"127.0.0.1:6390> {name.upper()}" in texts[name], f"no example of {name}"


def test_a_wrong_line_is_detected_and_corrected_and_texts_are_kept(tmp_path):
    right = PAGE.read_text()
    wrong = right.replace("    KV.SHOW partition row-key [field]\n", "    KV.SHOW partition [field]\n")
    wrong = wrong.replace("<!-- text: quit -->\n", "<!-- text: quit -->\nGoodbye.\n")
    page = tmp_path / "page.md"
    page.write_text(wrong)
    done = commands_page("--check", page)
    assert done.returncode == 1
    assert "+    KV.SHOW partition row-key [field]" in done.stderr
    assert page.read_text() == wrong
    assert commands_page(page).returncode == 0
    assert page.read_text() == right.replace("<!-- text: quit -->\n", "<!-- text: quit -->\nGoodbye.\n")


def test_the_text_of_a_removed_command_is_not_lost(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text() + "<!-- text: kv.old -->\nWords.\n<!-- /text -->\n")
    before = page.read_text()
    done = commands_page(page)
    assert done.returncode == 1
    assert "kv.old" in done.stderr
    assert page.read_text() == before
