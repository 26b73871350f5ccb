"""Other processes that use the package, told what to do line by line; and what a server's processes are."""

import ast
import pathlib
import select
import subprocess
import sys

from live_server import wait_until

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "python"

LOOP = """
import os, sys
sys.path.insert(0, sys.argv[1])
from sluice import session
from sluice.session import close, current, init
for line in sys.stdin:
    try:
        reply = eval(line)
        reply = reply if isinstance(reply, (int, str, bytes, list)) else repr(reply)
    except Exception as error:
        reply = (type(error).__name__, str(error))
    print(repr(reply), flush=True)
"""

SERVER_PID = "int(current().wire.call('INFO', 'server').split(b'process_id:')[1].split()[0])"


class Process:
    """A Python with init, close and current at hand."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", LOOP, str(PACKAGE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def begin(self, expression):
        self.process.stdin.write(expression + "\n")

    def result(self):
        """A number, a text, or for an exception its (name, text)."""
        assert select.select([self.process.stdout], [], [], 60)[0], "no answer"
        return ast.literal_eval(self.process.stdout.readline())

    def do(self, expression):
        self.begin(expression)
        return self.result()

    def server(self):
        return self.do(SERVER_PID)

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(30) == 0

    def kill(self):
        self.process.kill()
        self.process.wait(30)


def alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def parent(pid):
    return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def wait_gone(*pids):
    for pid in pids:
        wait_until(lambda pid=pid: not alive(pid), f"process {pid} is still there", 30)


def started(log):
    """The servers that a job has had, by its log: their process ids."""
    return [int(line.rpartition(" ")[2]) for line in log.read_text().splitlines() if ": started " in line]
