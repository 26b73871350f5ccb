"""What the demo prints: a progress bar a stage, and the table at the end."""

import sys
import time

import numpy


class Bar:
    """On a terminal one line that is drawn again; elsewhere a line each 10 %."""

    def __init__(self, title, total):
        self.title, self.total, self.done = title, total, 0
        self.start = self.drawn = time.perf_counter()
        self.tenths = 0

    def add(self, rows):
        self.done += rows
        now = time.perf_counter()
        full = self.done == self.total
        if sys.stdout.isatty():
            if full or now - self.drawn > 0.05:
                self.drawn = now
                width = 30 * self.done // self.total
                bar = "#" * width + "-" * (30 - width)
                end = "\n" if full else ""
                print(f"\r{self.title:<28} [{bar}] {self._numbers(now)}", end=end, flush=True)
        elif self.done * 10 // self.total > self.tenths:
            self.tenths = self.done * 10 // self.total
            print(f"{self.title:<28} {self._numbers(now)}", flush=True)

    def _numbers(self, now):
        rate = self.done / max(now - self.start, 1e-9)
        return f"{100 * self.done // self.total:3d} %  {self.done:,} rows, {rate:,.0f} rows/s"


HEADS = ("stage", "rows", "bytes", "rows/s", "GB/s", "calls", "p50 ms", "p99 ms", "verified")


def table_row(title, seconds, outcomes):
    """`outcomes` are those of the stage's jobs, `seconds` the stage's wall time."""
    rows = sum(outcome.rows for outcome in outcomes)
    size = sum(outcome.bytes for outcome in outcomes)
    values = sum(outcome.values_checked for outcome in outcomes)
    tags = sum(outcome.tags_checked for outcome in outcomes)
    calls = numpy.concatenate([outcome.seconds for outcome in outcomes]) * 1000
    verified = f"{values:,} values" + (f", {tags:,} tags" if tags else "") if values else "each reply"
    return (
        title,
        f"{rows:,}",
        f"{size:,}",
        f"{rows / seconds:,.0f}",
        f"{size / seconds / 1e9:.3f}" if size else "",
        f"{calls.size:,}",
        f"{numpy.percentile(calls, 50):.3f}",
        f"{numpy.percentile(calls, 99):.3f}",
        verified,
    )


def print_table(rows):
    widths = [max(len(row[at]) for row in [HEADS, *rows]) for at in range(len(HEADS))]
    print()
    for row in [HEADS, tuple("-" * width for width in widths), *rows]:
        first, *numbers, last = (cell.rjust(width) for cell, width in zip(row, widths))
        print("  ".join([first.strip().ljust(widths[0]), *numbers, last.strip()]))
