"""docs/metrics.md describes all served metrics, and conf/grafana.json uses no others."""

import json
import re

import pytest
from live_server import ROOT
from metrics_page import MetricsServer


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a server that has at least one of everything."""
    running = MetricsServer(tmp_path_factory.mktemp("server"))
    with running.client() as client:
        client.execute_command("KV.PUT", "p", "k", "FIELD", "x", "uint8", 1, "BLOB", b"x")
        client.execute_command("TASK.FETCH", "p", "t", "FIELDS", 1, "x", "COUNT", 1)
    yield running.scrape()
    running.stop()


def test_the_page_describes_all_served_metrics(page):
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*) ?\| \S", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE)
    described = [(name, kind, set(filter(None, labels.strip().split(", ")))) for name, kind, labels in rows]
    served = []
    for family in page.families:
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        name = family.name + "_total" * (family.type == "counter")
        served.append((name, family.type, labels))
    assert described == served


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def test_the_dashboard_uses_only_served_metrics(page):
    board = json.loads((ROOT / "conf/grafana.json").read_text())
    for panel in board["panels"]:
        for target in panel["targets"]:
            assert re.search(r"\bsluice_", target["expr"]), panel["title"]
    asked = {name for text in strings(board) for name in re.findall(r"\bsluice_\w+", text)}
    assert asked <= page.names()
    assert {"sluice_command_duration_seconds_bucket", "sluice_task_oldest_unconsumed_seconds"} <= asked
