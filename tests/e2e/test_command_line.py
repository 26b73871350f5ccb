"""The command line of sluice-server."""

import re
import subprocess

from live_server import ROOT, server_binary

OPTION = re.compile(r"^  --(\S+) (.*)\n      (.*)$", re.MULTILINE)


def options_of_the_file():
    """Returns {name: (default, sentence)} from conf/sluice.conf."""
    blocks = (ROOT / "conf/sluice.conf").read_text().split("\n\n")
    options = {}
    for block in blocks:
        sentence = " ".join(line[2:] for line in block.splitlines() if line.startswith("# "))
        for line in block.splitlines():
            if line and not line.startswith("#"):
                name, value = line.split(" ", 1)
                options[name] = (value, sentence.removesuffix(" (fixed)"))
    return options


def test_help_shows_every_option_with_its_default_and_a_sentence():
    run = subprocess.run([server_binary(), "--help"], capture_output=True, text=True, timeout=60, check=True)
    assert run.stderr == ""
    assert run.stdout.startswith("Usage: sluice-server [file.conf] [--option value ...]...\n")
    listed = {name: (default, sentence) for name, default, sentence in OPTION.findall(run.stdout)}
    assert listed == options_of_the_file()
    assert subprocess.run([server_binary(), "-h"], capture_output=True, text=True, timeout=60).stdout == run.stdout
