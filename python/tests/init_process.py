"""Other processes that use the package on command; and the processes of a server."""

import multiprocessing
import multiprocessing.forkserver
import os
import pathlib

from live_server import ROOT, wait_until

SERVER_PID = "int(current().wire.call('INFO', 'server').split(b'process_id:')[1].split()[0])"


def context():
    """Forks of a process that has only imported the package: 20 imports of torch would take a minute."""
    forkserver = multiprocessing.get_context("forkserver")
    forkserver.set_forkserver_preload(["init_process", "sluice.session"])
    before = os.environ.get("PYTHONPATH")
    folders = [ROOT / "python", ROOT / "tests/support", ROOT / "python/tests"]
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, folders))
    try:
        multiprocessing.forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before
    return forkserver


def _obey(pipe, environment):
    from sluice import session

    os.environ.clear()
    os.environ.update(environment)
    while True:
        try:
            expression = pipe.recv()
        except EOFError:
            return
        try:
            reply = eval(expression, vars(session))
            reply = reply if isinstance(reply, (int, str, bytes, list)) else repr(reply)
        except Exception as error:
            reply = (type(error).__name__, str(error))
        pipe.send(reply)


class Process:
    """A Python process with init, close and current."""

    def __init__(self):
        processes = context()
        self._pipe, theirs = processes.Pipe()
        self._process = processes.Process(target=_obey, args=(theirs, dict(os.environ)), daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, expression):
        self._pipe.send(expression)

    def result(self):
        """Returns a number, a text, or for an exception its (name, text)."""
        assert self._pipe.poll(60), "no reply"
        return self._pipe.recv()

    def do(self, expression):
        self.begin(expression)
        return self.result()

    def server(self):
        return self.do(SERVER_PID)

    def end(self):
        self._pipe.close()
        self._process.join(30)
        assert self._process.exitcode == 0

    def kill(self):
        self._process.kill()
        self._process.join(30)


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
    """Returns the process ids of the servers that a job has had, from its log."""
    return [int(line.rpartition(" ")[2]) for line in log.read_text().splitlines() if ": started " in line]
