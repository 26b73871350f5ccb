"""Code that the three workers share: the batch, and the requests that measure.py sends.

A worker reads one request per line: a method of its side (`put`, `get`, `clear`), `verify` or `quit`. It answers each but
`quit` with a line of JSON. The worker measures the time itself, so that the pipe and JSON are not included. Its stdout
contains only these answers: libraries print to stderr.
"""

import hashlib
import json
import os
import sys
import time
from typing import Any, Protocol

import torch

ROWS, FIELDS, WIDTH = 1024, 9, 8192  # float32
NAMES = [f"field_{i}" for i in range(FIELDS)]
KEYS = [f"sample_{i}" for i in range(ROWS)]
TAGS: list[dict[str, Any]] = [{"global_steps": 1, "status": "running"} for _ in range(ROWS)]
NBYTES = ROWS * FIELDS * WIDTH * 4


class Side(Protocol):
    """One side of the comparison. put() replaces existing rows, except in the first call and after clear()."""

    def put(self, fields: dict[str, torch.Tensor]) -> None:
        """Stores the batch under KEYS."""

    def get(self) -> Any:
        """Returns what a user of this side gets: a mapping of NAMES to 1,024 rows each."""

    def clear(self) -> None:
        """Removes the rows."""

    def close(self) -> None:
        """Stops the processes that this side started."""


def batch() -> dict[str, torch.Tensor]:
    """Returns the batch: the same numbers in every worker."""
    generator = torch.Generator().manual_seed(6)
    return {name: torch.randn(ROWS, WIDTH, generator=generator) for name in NAMES}


def digests(fields: Any) -> list[str]:
    """Returns one digest per field, of its rows' dtypes, shapes and bytes. Dense and jagged fields have equal digests."""
    out = []
    for name in NAMES:
        digest = hashlib.sha256()
        for row in fields[name].unbind():
            digest.update(f"{row.dtype} {list(row.shape)} ".encode())
            digest.update(row.contiguous().numpy().data)
        out.append(digest.hexdigest())
    return out


def verify(side: Side, fields: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Puts the batch, replaces it with its negation, gets that, and puts the batch again. Returns the digests of the
    negation and of what the get returned."""
    side.put(fields)
    negative = {name: -value for name, value in fields.items()}
    side.put(negative)
    answer = {"put": digests(negative), "got": digests(side.get())}
    side.put(fields)
    return answer


def measure(side: Side, name: str, fields: dict[str, torch.Tensor]) -> dict[str, float]:
    """Returns the seconds of one call, and the CPU seconds of this process and of all its descendants."""
    others, own = cpu_below(os.getpid()), time.process_time()
    begin = time.perf_counter()
    result = side.get() if name == "get" else getattr(side, name)(*([fields] if name == "put" else []))
    seconds = time.perf_counter() - begin
    own, others = time.process_time() - own, cpu_below(os.getpid()) - others
    del result  # not timed: a side that reuses memory gets it back before the next call
    return {"seconds": seconds, "client_cpu": own, "server_cpu": others}


def cpu_below(root: int) -> float:
    """Returns the CPU seconds of all descendants of the process `root`; each is rounded to 10 ms."""
    parents, spent = {}, {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue  # the process has ended
            parents[int(entry)], spent[int(entry)] = int(fields[1]), int(fields[11]) + int(fields[12])
    below, level = 0, {root}
    while level := {pid for pid, parent in parents.items() if parent in level}:
        below += sum(spent[pid] for pid in level)
    return below / os.sysconf("SC_CLK_TCK")


def claim_stdout() -> int:
    """Returns a file descriptor for the answers, and redirects stdout to stderr. Call this before imports that print."""
    answers = os.dup(1)
    os.dup2(2, 1)
    return answers


def serve(side: Side, answers: int, about: str) -> None:
    """Answers requests until `quit` or the end of stdin."""
    fields = batch()

    def say(answer: dict[str, Any]) -> None:
        os.write(answers, json.dumps(answer).encode() + b"\n")

    try:
        say({"about": about})
        for line in sys.stdin:
            word = line.strip()
            if word == "quit":
                break
            say(verify(side, fields) if word == "verify" else measure(side, word, fields))
    finally:
        side.close()
