"""Sluice's demo: rollout workers, a reward model and readers as processes, on real text, with plain redis-py.

    scripts/run --demo [--rows N]

It starts a server of its own, writes rows one by one and in batches, reads every value and every tag back and compares
them bit for bit with what was sent, clears the rows, and looks whether the memory is back. Exit code 0: all of it held.
"""

import argparse
import dataclasses
import multiprocessing
import queue
import signal
import sys
import time

import redis
import wire
import workers
from report import Bar, print_table, table_row
from server import Server, ServerFailed
from source import Corpus
from workers import BATCH, LARGE, STREAM, TEXT

WORKERS = 2  # of each kind: one on the Unix socket (RESP2), one on TCP (RESP3)


class DemoFailed(Exception):
    pass


@dataclasses.dataclass
class Stage:
    title: str
    jobs: list  # (act, arguments...)
    queue: multiprocessing.Queue  # of the workers that do them
    rows: int


class Crew:
    """The worker processes and their queues."""

    def __init__(self, server, corpus):
        self.rollouts, self.readers, self.results = (multiprocessing.Queue() for _ in range(3))
        self.processes = [
            multiprocessing.Process(
                target=workers.run_worker,
                args=(connection, corpus, jobs, self.readers, self.results),
                daemon=True,
            )
            for jobs in (self.rollouts, self.readers)
            for connection in (server.connections() * WORKERS)[:WORKERS]
        ]
        for process in self.processes:
            process.start()

    def run(self, stage):
        """Does the stage's jobs, with a bar. Returns its row of the table, and what the jobs handed back."""
        bar = Bar(stage.title, stage.rows)
        start = time.perf_counter()
        for job in stage.jobs:
            stage.queue.put(job)
        outcomes = []
        while bar.done < stage.rows:
            outcome = self._next_result()
            outcomes.append(outcome)
            bar.add(outcome.rows)
        row = table_row(stage.title, time.perf_counter() - start, outcomes)
        return row, [outcome.handed for outcome in outcomes if outcome.handed]

    def dismiss(self):
        """They end, and close their connections."""
        for jobs in (self.rollouts, self.readers):
            for _ in range(WORKERS):
                jobs.put(None)
        for process in self.processes:
            process.join(10)

    def kill(self):
        for process in self.processes:
            process.kill()
        for each in (self.rollouts, self.readers, self.results):
            each.cancel_join_thread()

    def _next_result(self):
        while True:
            try:
                result = self.results.get(timeout=1)
            except queue.Empty:
                if not all(process.is_alive() for process in self.processes):
                    raise DemoFailed("a worker process died") from None
                continue
            if isinstance(result, str):
                raise DemoFailed(result)
            return result


def portions(ids, size):
    return [ids[at : at + size] for at in range(0, len(ids), size)]


def run_stages(crew, rows):
    """All stages, in order; returns the table. The ids of all stages together are 0..rows-1, and the large ones."""
    text, batch, stream = range(rows * 4 // 10), range(rows * 4 // 10, rows * 8 // 10), range(rows * 8 // 10, rows)
    large = range(max(8, rows // 50))
    table = []

    def stage(title, where, jobs, count):
        row, handed = crew.run(Stage(title, jobs, where, count))
        table.append(row)
        return handed

    def jobs(act, ids, size):
        return [(act, portion) for portion in portions(ids, size)]

    stage("put row by row", crew.rollouts, jobs("put_rows", text, 64), len(text))
    stage("score rows, in batches", crew.rollouts, jobs("score_rows", text, 64), len(text))
    written = stage("put in batches of 64", crew.rollouts, jobs("put_batch", batch, 64), len(batch))
    stage("put 1 MiB each", crew.rollouts, jobs("put_large", large, 4), len(large))
    stage("get as rows, 16 a call", crew.readers, jobs("get_rows", text, 16), len(text))
    stage("get as columns, 64 a call", crew.readers, [("get_batch", *each) for each in written], len(batch))
    stage("get 1 MiB each", crew.readers, jobs("get_large", large, 4), len(large))
    clear = [("clear_keys", TEXT, ids) for ids in portions(text, 64)]
    clear += [("clear_indexes", *each) for each in written]
    clear += [("clear_keys", LARGE, ids) for ids in portions(large, 64)]
    stage("clear", crew.readers, clear, len(text) + len(batch) + len(large))
    stage("stream: put, get, clear", crew.rollouts, jobs("stream_put", stream, 64), len(stream))
    return table


def check_memory(client, before):
    """The partitions are there and empty; once they are cleared nothing is left."""
    for partition in (TEXT, BATCH, LARGE, STREAM):
        wire.expect(client.execute_command("KV.CLEAR", partition), 0, f"rows left in {partition}")
    wire.expect(client.dbsize(), 0, "DBSIZE at the end")
    deadline = time.monotonic() + 5  # large blobs go back on a thread of the server's own
    while (after := client.info("memory")["used_memory"]) > before + (256 << 10):
        if time.monotonic() > deadline:
            raise DemoFailed(f"used_memory was {before:,} bytes at the start, and is {after:,} with no row left")
        time.sleep(0.01)
    return after


def demo(binary, rows):
    corpus = Corpus()
    print(f"Text: {len(corpus.prompts):,} prompts from {len(corpus.texts):,} files of this machine")
    with Server(binary) as server, server.client() as client:
        print(f"Server: {binary}, port {server.port} and a Unix socket; {WORKERS} rollout workers, {WORKERS} readers\n")
        before = client.info("memory")["used_memory"]
        crew = Crew(server, corpus)
        try:
            table = run_stages(crew, rows)
            crew.dismiss()
            after = check_memory(client, before)
        finally:
            crew.kill()
        print_table(table)
        print("Rates are over a stage's wall time, and hold the work of the Python workers: tokenising, and comparing.")
    print(f"\nVerified: every value bit for bit, every tag; memory is back ({before:,} bytes before, {after:,} after).")


def main():
    parser = argparse.ArgumentParser(prog="scripts/run --demo")
    parser.add_argument("--rows", type=int, default=20000, help="rows to write in all (default: %(default)s)")
    parser.add_argument("--server", required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rows < 10:
        parser.error("--rows: at least 10")
    multiprocessing.set_start_method("fork")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        demo(arguments.server, arguments.rows)
    except (DemoFailed, ServerFailed, wire.Mismatch, redis.RedisError, OSError) as error:
        sys.exit(f"\ndemo failed: {error}")
    except KeyboardInterrupt:
        sys.exit("\ndemo stopped")


main()
