"""Sluice's demo: rollout workers, scorers and trainers as processes, on real text, with plain redis-py.

    scripts/run --demo [--rows N]

It starts a server of its own. Rollout workers put prompts and responses, scorers add to the same rows as soon as these
are there, trainers wait for batches, compare every value bit for bit with what must have been written, and clear them:
all at the same time. At last it looks whether the memory is back. Exit code 0: all of it held.
"""

import argparse
import multiprocessing
import signal
import sys
import time

import large
import redis
import rollout
import scorer
import trainer
import wire
from crew import Crew, DemoFailed
from plan import BATCHES, LARGE, ROWS, WINDOW, Plan
from report import Progress, print_table, table_row
from server import Server, ServerFailed
from source import Corpus

LARGE_ROLES = [("large", large.run)] * 2
PIPELINE_ROLES = [
    *[("rollout", rollout.run)] * 2,
    ("scorer", scorer.by_wait),
    ("scorer", scorer.by_changes),
    *[("trainer", trainer.run)] * 2,
]


def run(roles, totals, *crew_arguments):
    """Returns the table's rows, one for each stage of `totals`."""
    outcomes = {stage: [] for stage in totals}
    progress = Progress(totals)
    with Crew(roles, *crew_arguments) as crew:
        for outcome in crew.outcomes():
            outcomes[outcome.stage].append(outcome)
            progress.add(outcome.stage, outcome.rows)
    wire.expect(progress.done, totals, "rows of all stages")
    return [table_row(stage, each) for stage, each in outcomes.items()]


def check_memory(client, plan, before):
    """The partitions are there and hold nothing more; once they are cleared no byte is left."""
    wire.expect(client.execute_command("KV.LIST", ROWS, "FORMAT", "lines"), b"", f"rows left in {ROWS}")
    left = {ROWS: 0, LARGE: 0, BATCHES: min(WINDOW, len(plan.batches))}
    for partition, rows in left.items():
        wire.expect(client.execute_command("KV.CLEAR", partition), rows, f"rows left in {partition}")
    wire.expect(client.dbsize(), 0, "DBSIZE at the end")
    deadline = time.monotonic() + 5  # large blobs go back on a thread of the server's own
    while (after := client.info("memory")["used_memory"]) > before + (256 << 10):
        if time.monotonic() > deadline:
            raise DemoFailed(f"used_memory was {before:,} bytes at the start, and is {after:,} with no row left")
        time.sleep(0.01)
    return after


def demo(binary, rows, patience_s):
    corpus, plan = Corpus(), Plan(rows)
    print(f"Text: {len(corpus.prompts):,} prompts from {corpus.files:,} files of this machine")
    with Server(binary) as server, server.client() as client:
        print(f"Server: {binary}, port {server.port} and a Unix socket")
        print("Workers: 2 rollout workers, 2 scorers, 2 trainers; of each, one on the socket, one on TCP\n")
        before = client.info("memory")["used_memory"]
        shared = server.connections(), corpus, plan, patience_s
        table = run(LARGE_ROLES, dict.fromkeys(["put 1 MiB", "get 1 MiB", "clear 1 MiB"], plan.large_rows), *shared)
        table += run(PIPELINE_ROLES, dict.fromkeys(["put", "score", "train"], rows), *shared)
        after = check_memory(client, plan, before)
        print_table(table)
        print("Put, score and train run at the same time. Rates are over a stage's wall time, the workers' own work")
        print("included; calls are those that do not wait for others (KV.WAIT does).")
    print(f"\nVerified: every value bit for bit, every tag; memory is back ({before:,} bytes before, {after:,} after).")


def main():
    parser = argparse.ArgumentParser(prog="scripts/run --demo")
    parser.add_argument("--rows", type=int, default=20000, help="rows to move through (default: %(default)s)")
    parser.add_argument("--server", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--patience", type=float, default=60, help=argparse.SUPPRESS)  # seconds to wait for a row
    arguments = parser.parse_args()
    if arguments.rows < 1:
        parser.error("--rows: at least 1")
    multiprocessing.set_start_method("fork")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        demo(arguments.server, arguments.rows, arguments.patience)
    except (DemoFailed, ServerFailed, wire.Mismatch, redis.RedisError, OSError) as error:
        sys.exit(f"\ndemo failed: {error}")
    except KeyboardInterrupt:
        sys.exit("\ndemo stopped")


main()
