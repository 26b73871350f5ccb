"""Measures kv_batch_put and kv_batch_get of 1,024 rows x 9 fields x 8,192 float32 with the Python package. Compares them
with a raw Python socket that moves the same bytes into reused memory, and with TransferQueue. `scripts/bench python` runs
this script.

Each side runs in its own worker process. In each round every side makes one call, in an order that rotates; each round
gives one ratio. One kind of put replaces existing rows, the other follows a clear. The result of a get is freed before the
next call, and this is not timed. Before the first measurement, each side must return the bytes of its last put.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from worker import NBYTES

HERE = pathlib.Path(__file__).resolve().parent
AIMS = {"raw socket": 0.8, "TransferQueue": 3.0}
PUT, GET, PUT_NEW = "put, the same keys again", "get", "put, keys cleared before"
WORKS = {PUT: ["put"], GET: ["get"], PUT_NEW: ["clear", "put"]}  # the last call is measured
# (storage units, ZeroMQ I/O threads of the client). With one unit the batch is sent as a whole; several units receive and
# store parts of it at the same time. TransferQueue's defaults are two units and eight threads. On two cores, higher numbers
# were never faster.
SETTINGS = [(1, 2), (2, 1), (2, 2), (2, 8), (4, 8)]
SETTINGS_QUICK = [(2, 2)]
SETTINGS_ROUNDS = 6
WARM_UP = 5


class Worker:
    def __init__(self, python: str, script: str, *arguments: str) -> None:
        command = [python, str(HERE / script), *arguments]
        self._name = script
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about: str = self._answer()["about"]

    def ask(self, word: str) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()
        return self._answer()

    def run(self, work: str) -> dict[str, float]:
        return [self.ask(word) for word in WORKS[work]][-1]

    def verify(self) -> list[str]:
        """Returns the digests of what a get returned. Exits if it differs from what was put."""
        answer = self.ask("verify")
        if answer["put"] != answer["got"]:
            sys.exit(f"{self._name}: get returned other bytes than were put: {answer}")
        return list(answer["got"])

    def stop(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()  # the worker treats this as `quit`
        if self._process.wait(120) != 0:
            sys.exit(f"{self._name} ended with exit code {self._process.returncode}")

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"{self._name} ended with exit code {self._process.wait()}; see its messages above")
        return dict(json.loads(line))


@contextmanager
def running(*command: str) -> Iterator[Worker]:
    worker = Worker(*command)
    try:
        yield worker
    finally:
        worker.stop()


def best_setting(python: str, settings: list[tuple[int, int]]) -> tuple[tuple[int, int], list[str]]:
    """Returns TransferQueue's setting with the smallest geometric mean over all works, and a line of text per setting."""
    if len(settings) == 1:
        return settings[0], []
    means: dict[tuple[int, int], float] = {}
    lines = []
    for setting in settings:
        with running(python, "transfer_queue_client.py", *map(str, setting)) as worker:
            runs = [{work: worker.run(work)["seconds"] for work in WORKS} for _ in range(WARM_UP + SETTINGS_ROUNDS)]
            about = worker.about
        medians = {work: statistics.median(run[work] for run in runs[WARM_UP:]) for work in WORKS}
        means[setting] = statistics.geometric_mean(medians.values())
        found = "; ".join(f"{work}: {seconds * 1e3:.0f} ms" for work, seconds in medians.items())
        lines.append(f"- TransferQueue alone, {about}: {found}")
        print(lines[-1], file=sys.stderr)
    return min(means, key=lambda setting: means[setting]), lines


Runs = dict[str, dict[str, list[dict[str, float]]]]  # of work, of side


def measure(sides: dict[str, Worker], rounds: int) -> Runs:
    """Measures the sides in turn. Exits if their bytes differ."""
    if len({tuple(worker.verify()) for worker in sides.values()}) != 1:
        sys.exit("the sides did not get the same batch")
    names = list(sides)
    runs: Runs = {work: {name: [] for name in sides} for work in WORKS}
    for round_ in range(-WARM_UP, rounds):
        print(f"\rround {round_ + 1} of {rounds} ", end="", file=sys.stderr)
        for work in WORKS:
            for i in range(len(names)):
                name = names[(round_ + i) % len(names)]
                run = sides[name].run(work)
                if round_ >= 0:
                    runs[work][name].append(run)
    print(file=sys.stderr)
    return runs


def rate(runs: list[dict[str, float]]) -> str:
    seconds = statistics.median(run["seconds"] for run in runs)
    return f"{NBYTES / seconds / 1e9:.2f} GB/s, {seconds * 1e3:.0f} ms"


def table(runs: Runs) -> tuple[list[str], bool]:
    """Returns the lines of the table, and whether all aims are reached."""
    lines = ["| work | ours | other | ratio: median (min..max) | aim | ok |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    all_ok = True
    for work, by_side in runs.items():
        ours = by_side["Sluice"]
        for name in [name for name in by_side if name != "Sluice"]:
            other = by_side[name]
            ratios = [theirs["seconds"] / mine["seconds"] for mine, theirs in zip(ours, other, strict=True)]
            middle = statistics.median(ratios)
            ok = middle >= AIMS[name]
            all_ok &= ok
            lines.append(
                f"| {work} / {name} | {rate(ours)} | {rate(other)} | {middle:.2f} ({min(ratios):.2f}..{max(ratios):.2f}) "
                f"| {AIMS[name]:.2f} | {'yes' if ok else '**no**'} |"
            )
    return lines, all_ok


def cpu_lines(runs: Runs) -> list[str]:
    def share(of: list[dict[str, float]], key: str) -> str:
        return f"{100 * sum(run[key] for run in of) / sum(run['seconds'] for run in of):.0f} %"

    return [
        f"- CPU, {work} (client + its servers, in % of a core): "
        + "; ".join(f"{name} {share(of, 'client_cpu')} + {share(of, 'server_cpu')}" for name, of in by_side.items())
        for work, by_side in runs.items()
    ]


def machine() -> str:
    """Returns the description that tests/bench/machine.cc makes."""
    cpu = next(line for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    pages = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text()
    gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE") / 2**30
    kernel = os.uname()
    return (
        f"{cpu.partition(': ')[2]}, {os.cpu_count()} cores, {gib:.0f} GiB, {kernel.sysname} {kernel.release} {kernel.machine}, "
        f"transparent huge pages: {pages[pages.index('[') + 1 : pages.index(']')]}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--transferqueue-python", help="Python of the virtual environment with TransferQueue")
    parser.add_argument("--without-transferqueue", action="store_true", help="compare with the raw socket only")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, and one setting of TransferQueue instead of five")
    parser.add_argument("--rounds", type=int, help="number of measured rounds (default: 21; 7 with --quick)")
    parser.add_argument("--markdown", type=pathlib.Path, metavar="FILE", help="also write the table to this file")
    options = parser.parse_args()
    rounds = options.rounds or (7 if options.quick else 21)
    with ExitStack() as stack:

        def start(python: str, *command: str) -> Worker:
            return stack.enter_context(running(python, *command))

        tried: list[str] = []
        setting: tuple[int, int] | None = None
        if not options.without_transferqueue:
            settings = SETTINGS_QUICK if options.quick else SETTINGS
            setting, tried = best_setting(options.transferqueue_python, settings)
        sides = {
            "Sluice": start(sys.executable, "sluice_client.py"),
            "raw socket": start(sys.executable, "raw_socket.py"),
        }
        if setting:
            python, script = options.transferqueue_python, "transfer_queue_client.py"
            sides["TransferQueue"] = start(python, script, *map(str, setting))
        runs = measure(sides, rounds)
        lines, all_ok = table(runs)
        abouts = [f"- {name}: {worker.about}" for name, worker in sides.items()]
        lines = [machine(), "", *lines, "", *abouts, *tried, *cpu_lines(runs), f"- {rounds} rounds"]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if options.markdown:
        options.markdown.write_text(text)
    return 0 if all_ok else 1


if __name__ == "__main__":
    sys.exit(main())
