#!/usr/bin/env python3
"""Adds up the parts of a test run: tally.py FOLDER, as scripts/lib.sh fills it.

A part is NAME.status, the exit status of its command, and NAME.xml, its JUnit report if it runs tests.
A test that was skipped, disabled, not run or expected to fail counts as failed: the result must not look too good.
A part that failed without a failed test in its report (a build, a crash of the runner) counts as one
failure, a part without a report (lint) as one test.
"""

import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def outcomes(report):
    """Yields (name, passed) for each test of a JUnit report, of ctest or of pytest."""
    for case in ElementTree.parse(report).iter("testcase"):
        bad = any(case.find(tag) is not None for tag in ("failure", "error", "skipped"))
        parts = dict.fromkeys((case.get("classname", ""), case.get("name", "")))  # both are equal for ctest
        yield " ".join(filter(None, parts)), not bad and case.get("status", "run") == "run"


def tally(status_file):
    """Returns (passed, failed names) of one part."""
    name, report = status_file.stem, status_file.with_suffix(".xml")
    ok = status_file.read_text().strip() == "0"
    if not report.exists():
        return (1, []) if ok else (0, [name])
    try:
        tests = list(outcomes(report))
    except ElementTree.ParseError as error:
        return 0, [f"{name}: its report is damaged: {error}"]
    failed = [f"{name}: {test}" for test, passed in tests if not passed]
    if not ok and not failed:
        failed = [f"{name}: exited with a failure, though none of its tests failed"]
    return sum(passed for _, passed in tests), failed


def main():
    passed, failed = 0, []
    parts = sorted(pathlib.Path(sys.argv[1]).glob("*.status"), key=lambda path: path.stat().st_mtime_ns)
    for part in parts:
        part_passed, part_failed = tally(part)
        print(f"{part.stem}: {part_passed} passed, {len(part_failed)} failed")
        passed += part_passed
        failed += part_failed
    for name in failed[:50]:
        print(f"FAILED {name}")
    if not passed and not failed:
        print("no test ran")
    print(f"{passed} passed, {max(len(failed), 0 if passed else 1)} failed")
    return 0 if passed and not failed else 1


sys.exit(main())
