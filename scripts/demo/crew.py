"""The demo's worker processes, managed by the parent."""

import contextlib
import multiprocessing
import multiprocessing.connection
import signal

from worker import STOPPERS, Doomed, live


class DemoFailed(Exception):
    pass


class Crew:
    """Use as `with Crew(...) as crew`: no process is left afterwards, also after an exception.

    `roles` are (name, function) pairs; the i-th of a name uses the i-th of `connections`.
    """

    def __init__(self, roles, connections, corpus, plan, patience_s):
        self.roles, self.connections = roles, connections
        self.corpus, self.plan, self.patience_s = corpus, plan, patience_s
        self.processes, self.pipes = [], []
        self.killed = {}  # name -> ids of the rows it had leased

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.join()

    def outcomes(self):
        """Starts the work; yields reports as they arrive, until all workers have ended well, or were killed on request."""
        with stoppers_held():
            for name, role in self.roles:
                self._start(name, role)
        working = dict(zip(self.pipes, self.processes))
        while working:
            for pipe in multiprocessing.connection.wait(list(working)):
                process = working[pipe]
                try:
                    message = pipe.recv()
                except (EOFError, OSError):
                    process.join()
                    raise DemoFailed(f"{process.name} died: {ending(process.exitcode)}") from None
                if isinstance(message, str):
                    raise DemoFailed(f"{process.name}, {message}")
                if isinstance(message, Doomed):
                    process.kill()
                    process.join()
                    self.killed[process.name] = message.ids
                if message is None or isinstance(message, Doomed):
                    del working[pipe]
                else:
                    yield message

    def _start(self, name, role):
        number = sum(process.name.startswith(name) for process in self.processes)
        ours, theirs = multiprocessing.Pipe(duplex=False)
        self.pipes.append(ours)
        worker_arguments = self.corpus, self.plan, number
        process = multiprocessing.Process(
            name=f"{name} {number}",
            target=live,
            args=(role, self.connections[number], worker_arguments, self.patience_s, theirs, list(self.pipes)),
            daemon=True,
        )
        process.start()
        self.processes.append(process)
        theirs.close()


@contextlib.contextmanager
def stoppers_held():
    """Signals received meanwhile are delivered afterwards: in a fork, Python's hooks would swallow Ctrl-C."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPERS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ending(exitcode):
    return f"signal {signal.Signals(-exitcode).name}" if exitcode < 0 else f"exit code {exitcode}"
