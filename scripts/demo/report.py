"""The demo's output: progress bars, and the table at the end."""

import sys
import time

import numpy


class Progress:
    """Stages that run at the same time. On a terminal one line that is redrawn; elsewhere one line per 10 %."""

    def __init__(self, totals):
        self.totals = totals  # stage -> rows
        self.done = dict.fromkeys(totals, 0)
        self.start = self.drawn = time.perf_counter()

    def add(self, stage, rows):
        before, self.done[stage] = self.done[stage], self.done[stage] + rows
        tenths = [10 * done // self.totals[stage] for done in (before, self.done[stage])]
        now = time.perf_counter()
        if not sys.stdout.isatty():
            if tenths[0] != tenths[1]:
                print(f"{self._text(stage)}  {self.done[stage]:,} rows, {now - self.start:.2f} s", flush=True)
        elif now - self.drawn > 0.05 or self.done == self.totals:
            self.drawn = now
            end = "\n" if self.done == self.totals else ""
            print("\r" + "   ".join(map(self._text, self.totals)), end=end, flush=True)

    def _text(self, stage):
        width = 20 * self.done[stage] // self.totals[stage]
        return f"{stage} [{'#' * width}{'-' * (20 - width)}] {100 * self.done[stage] // self.totals[stage]:3d} %"


HEADS = ("stage", "rows", "bytes", "rows/s", "GB/s", "calls", "p50 ms", "p99 ms", "verified")


def table_row(stage, outcomes):
    rows = sum(len(outcome.ids) for outcome in outcomes)
    size = sum(outcome.bytes for outcome in outcomes)
    values = sum(outcome.values_checked for outcome in outcomes)
    tags = sum(outcome.tags_checked for outcome in outcomes)
    calls = numpy.concatenate([outcome.seconds for outcome in outcomes]) * 1000
    seconds = max(outcome.end for outcome in outcomes) - min(outcome.start for outcome in outcomes)
    verified = f"{values:,} values" + (f", {tags:,} tags" if tags else "") if values else "each reply"
    return (
        stage,
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
