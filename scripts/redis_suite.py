"""Runs units of Redis's test suite (Tcl) against a server of Sluice: redis_suite.py SUITE [--junitxml FILE] [UNIT ...].

SUITE is the unpacked source of Redis. The suite runs in its external mode: against a server that it did not start.
scripts/redis-suite.skip has one line for each test that is left out: its name, a tab, and the reason. A line that
begins with `tag:` leaves out all tests with this tag of the suite. A line that leaves out nothing is an error.
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree

from live_server import ROOT, own_server

UNITS = (
    "protocol type/string type/incr keyspace scan expire multi pubsub info introspection other latency-monitor slowlog pause"
).split()
SKIP = ROOT / "scripts/redis-suite.skip"
OPTIONS = ("--proto-max-bulk-len", "512mb", "--slowlog-max-len", "128")  # as Redis has them; values may be longer here
COLOR = re.compile(r"\x1b\[[0-9;]*m")
LINE = re.compile(r"^\[(ok|err|skip|ignore|exception)\]: (.*?)(?: \(\d+ ms\)| in tests/\S+)?$")


def left_out():
    """Returns the names of tests, and the tags, that are left out."""
    rows = [line.split("\t") for line in SKIP.read_text().splitlines()]
    wrong = [row for row in rows if len(row) != 2 or not all(row)]
    if wrong:
        sys.exit(f"{SKIP.name}: expected a name, a tab and a reason, got {wrong[0]}")
    names = [name for name, _ in rows if not name.startswith("tag:")]
    return names, [name.removeprefix("tag:") for name, _ in rows if name.startswith("tag:")]


def run_unit(suite, unit):
    """Returns the output of the suite's runner for one unit, on a server of its own."""
    names, tags = left_out()
    with own_server(*OPTIONS) as port, tempfile.NamedTemporaryFile("w", suffix=".skip") as skip:
        skip.write("\n".join(names) + "\n")
        skip.flush()
        command = ["./runtest", "--host", "127.0.0.1", "--port", str(port), "--singledb", "--durable"]
        command += ["--timeout", "120", "--skipfile", skip.name, "--single", f"unit/{unit}"]
        command += ["--tags", " ".join(f"-{tag}" for tag in tags)] if tags else []
        run = subprocess.run(command, cwd=suite, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=600, check=False)
    return run.returncode, COLOR.sub("", run.stdout.decode(errors="replace"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", type=pathlib.Path)
    parser.add_argument("--junitxml", type=pathlib.Path)
    parser.add_argument("units", nargs="*", default=UNITS)
    options = parser.parse_args()
    report, seen = ElementTree.Element("testsuite", name="redis-suite"), {"skip": set(), "ignore": set()}
    failed = passed = 0
    for unit in options.units:
        status, output = run_unit(options.suite, unit)
        found = [match.groups() for match in map(LINE.match, output.splitlines()) if match]
        bad = [name for kind, name in found if kind in ("err", "exception")]
        if status != 0 or bad:
            print(output)
        if status != 0 and not bad:
            bad = [f"{unit}: the suite ended with {status}"]
        good = [name for kind, name in found if kind == "ok"]
        for kind, name in found:
            seen.get(kind, set()).add(name)
        for name in good + bad:
            case = ElementTree.SubElement(report, "testcase", classname=unit, name=name)
            if name in bad:
                ElementTree.SubElement(case, "failure")
        passed, failed = passed + len(good), failed + len(bad)
        print(f"{unit}: {len(good)} passed, {len(bad)} failed", flush=True)
    unused = set(left_out()[0]) - seen["skip"] if options.units == UNITS else set()
    for name in sorted(unused):
        ElementTree.SubElement(ElementTree.SubElement(report, "testcase", classname="skip", name=name), "failure")
        print(f"no test has this name, which {SKIP.name} leaves out: {name}")
    if options.junitxml:
        ElementTree.ElementTree(report).write(options.junitxml)
    print(f"{len(seen['skip'])} tests left out by name, {len(seen['ignore'])} by their tags")
    print(f"{passed} passed, {failed + len(unused)} failed")
    return 0 if passed and not failed and not unused else 1


if __name__ == "__main__":
    sys.exit(main())
