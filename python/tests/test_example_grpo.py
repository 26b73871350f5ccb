"""The GRPO example as users run it: one command with its own processes and server."""

import os
import pathlib
import re
import signal
import subprocess
import sys
import uuid

import pytest
from live_server import ROOT, server_binary, wait_until

PROC = pathlib.Path("/proc")


class Example:
    """The running command. It and all processes that it starts carry a unique job name."""

    def __init__(self, folder, *options):
        self.job = f"grpo-{uuid.uuid4().hex}"
        self.picture = folder / "curve.png"
        self.output = folder / "output"
        environment = {name: value for name, value in os.environ.items() if name != "SLUICE_URL"}
        environment |= {"SLUICE_JOB": self.job, "SLUICE_SERVER": str(server_binary())}
        environment["PYTHONPATH"] = str(ROOT / "python")
        command = [sys.executable, ROOT / "python/examples/grpo.py", "--out", self.picture, *options]
        with self.output.open("w") as output:
            # its own process group, so that Ctrl-C does not reach the tests
            self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)

    def printed(self, pattern):
        return re.search(pattern, self.output.read_text(), re.MULTILINE)

    def running(self):
        """Returns the ids of the processes of its job, including the server."""
        job = f"SLUICE_JOB={self.job}".encode()
        return [int(folder.name) for folder in PROC.glob("[0-9]*") if job in _read(folder / "environ").split(b"\0")]

    def roles(self):
        """Returns the ids of the processes that main() has started."""
        parent = f"PPid:\t{self.process.pid}\n".encode()
        return [
            pid
            for pid in self.running()
            if parent in _read(PROC / str(pid) / "status") and b"spawn_main" in _read(PROC / str(pid) / "cmdline")
        ]

    def ended(self, seconds):
        """Returns its exit code, once it and all processes that it started have ended."""
        code = self.process.wait(seconds)
        wait_until(lambda: not self.running(), f"still running: {self.running()}", 20)
        return code


@pytest.fixture
def run(tmp_path):
    started = []

    def start(*options):
        started.append(Example(tmp_path, *options))
        return started[-1]

    yield start
    for example in started:
        print(example.output.read_text())
        for pid in example.running():
            os.kill(pid, signal.SIGKILL)
        example.process.wait()


def _read(path):
    try:
        return path.read_bytes()
    except OSError:  # it has ended meanwhile, or belongs to another user
        return b""


def test_it_learns_draws_the_curve_and_leaves_nothing_running(run):
    example = run("--steps", "100", "--seed", "7")
    assert example.ended(seconds=400) == 0
    means = example.printed(r"mean reward: (\S+) in the first 20 steps, (\S+) in the last 20")
    first, last = map(float, means.groups())
    assert first < 0.2
    assert last > first + 0.2
    assert int(example.printed(r"up to (\d+) versions behind")[1]) <= 2
    picture = example.picture.read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n") and picture.endswith(b"IEND\xaeB`\x82")
    assert (int.from_bytes(picture[16:20], "big"), int.from_bytes(picture[20:24], "big")) == (1200, 675)
    assert len(picture) > 20_000


def test_ctrl_c_ends_it_with_the_results_so_far(run):
    example = run()
    wait_until(lambda: example.printed("^step "), "no step in time", 200)
    os.killpg(example.process.pid, signal.SIGINT)
    assert example.ended(seconds=60) == 0
    assert example.printed("interrupted")
    assert not example.printed("Traceback")
    assert example.picture.exists()


def test_it_fails_when_one_of_its_processes_dies(run):
    example = run()
    wait_until(lambda: len(example.roles()) == 5, "the processes do not start", 200)
    os.kill(example.roles()[0], signal.SIGKILL)
    assert example.ended(seconds=60) == 1
    assert example.printed(r"\w+ has failed: exit code -9")
    assert not example.picture.exists()
