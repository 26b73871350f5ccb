"""Sluice's demo: rollout workers, scorers and trainers as processes, on real text, with plain redis-py.

    scripts/run --demo [--rows N]

It starts its own server. Rollout workers put prompts and groups of responses, and wait while the partition is full;
scorers lease rows that have a response, and add to the same rows; trainers get whole groups as tensors, compare every
value bit for bit with the expected one, and acknowledge the rows, which frees them. All of this runs at the same time,
until the server reports the end. In the middle a scorer that holds a lease is killed. Finally the demo checks that every
row was trained once, and that the memory is free. Exit code 0: all checks passed.
"""

import argparse
import collections
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
from live_server import ServerFailed, server_binary
from plan import GROUP_ROWS, KILLED, LARGE, ROWS, SCORE, TRAIN, WINDOW_ROWS, Plan
from report import Progress, print_table, table_row
from server import connections, demo_server
from source import Corpus

LARGE_ROLES = [("large", large.run)] * 2
PIPELINE_ROLES = [
    *[("rollout", rollout.run)] * 2,
    *[("scorer", scorer.run)] * 2,
    *[("trainer", trainer.run)] * 2,
]


def run(roles, stages, *crew_arguments):
    """`stages`: name -> number of rows; each must process each row once. Returns the table's rows, and the killed worker."""
    outcomes = {stage: [] for stage in stages}
    progress = Progress(stages)
    with Crew(roles, *crew_arguments) as crew:
        for outcome in crew.outcomes():
            outcomes[outcome.stage].append(outcome)
            progress.add(outcome.stage, len(outcome.ids))
    for stage, rows in stages.items():
        times = collections.Counter(row_id for outcome in outcomes[stage] for row_id in outcome.ids)
        for row_id in sorted({*range(rows), *times}):
            wire.expect(times[row_id], 1, f"stage {stage}, row {row_id}: how often it was done")
    return [table_row(stage, each) for stage, each in outcomes.items()], crew.killed


def create(client, rows):
    terms = ["EXPECT", rows, "MAXROWS", WINDOW_ROWS, "TASKS", 2, SCORE, TRAIN, "AUTOEVICT"]
    client.execute_command("PARTITION.CREATE", ROWS, *terms)


def check_memory(client, before):
    """No row is left; once the empty partitions are removed, no byte is."""
    wire.expect(client.execute_command("KV.LIST", ROWS, "FORMAT", "lines"), b"", f"rows left in {ROWS}")
    for partition in (ROWS, LARGE):
        wire.expect(client.execute_command("KV.CLEAR", partition), 0, f"rows left in {partition}")
    client.delete(KILLED)
    wire.expect(client.dbsize(), 0, "DBSIZE at the end")
    deadline = time.monotonic() + 5  # another thread of the server frees large blobs
    while (after := client.info("memory")["used_memory"]) > before + (256 << 10):
        if time.monotonic() > deadline:
            raise DemoFailed(f"used_memory was {before:,} bytes at the start, and is {after:,} with no row left")
        time.sleep(0.01)
    return after


def demo(rows, patience_s):
    corpus, plan = Corpus(), Plan(rows)
    print(f"Text: {len(corpus.prompts):,} prompts from {corpus.files:,} files of this machine, {GROUP_ROWS} samples each")
    with demo_server() as server, server.client() as client:
        print(f"Server: {server_binary()}, port {server.port} and a Unix socket")
        print("Workers: 2 rollout workers, 2 scorers, 2 trainers; of each, one on the socket, one on TCP\n")
        before = client.info("memory")["used_memory"]
        shared = connections(server), corpus, plan, patience_s
        table, _ = run(LARGE_ROLES, dict.fromkeys(["put 1 MiB", "get 1 MiB", "clear 1 MiB"], plan.large_rows), *shared)
        create(client, rows)
        more, killed = run(PIPELINE_ROLES, dict.fromkeys(["put", SCORE, TRAIN], rows), *shared)
        wire.expect(len(killed), 1, "workers killed")
        after = check_memory(client, before)
        print_table(table + more)
        print("Put, score and train run at the same time. Rates are over a stage's wall time, the workers' own work")
        print("included. Calls include puts that wait while training is behind, and exclude TASK.FETCH, which waits for rows.")
    for name, ids in killed.items():
        print(f"\nKilled: {name}, with SIGKILL, while it had leased {len(ids)} rows. They went to the other one.")
    print(f"No row was lost or processed twice: {rows:,} put, {rows:,} scored, {rows:,} trained, each of them once.")
    print(f"Verified: every value bit for bit, every tag; memory is back ({before:,} bytes before, {after:,} after).")


def whole_groups(text):
    rows = int(text)
    if rows < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return -(-rows // GROUP_ROWS) * GROUP_ROWS


def main():
    parser = argparse.ArgumentParser(prog="scripts/run --demo")
    parser.add_argument(
        "--rows", type=whole_groups, default=20000,
        help=f"rows to move through, up to the next multiple of {GROUP_ROWS} (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--patience", type=float, default=60, help=argparse.SUPPRESS)  # seconds to wait for a row
    arguments = parser.parse_args()
    multiprocessing.set_start_method("fork")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        demo(arguments.rows, arguments.patience)
    except (DemoFailed, ServerFailed, wire.Mismatch, redis.RedisError, OSError) as error:
        sys.exit(f"\ndemo failed: {error}")
    except KeyboardInterrupt:
        sys.exit("\ndemo stopped")


main()
