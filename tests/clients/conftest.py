"""A new server for each test, with and without a password; and the table at the end of the run."""

import clients
import pytest
from live_server import Server


@pytest.fixture(params=["", "secret"], ids=["open", "password"])
def server(request, tmp_path):
    running = Server(tmp_path, password=request.param)
    yield running
    running.stop()


outcomes = {}  # for each client: whether each of its tests passed


def pytest_configure(config):
    config.addinivalue_line("markers", "client(which): the test is about this client, for the table at the end")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    for marker in item.iter_markers("client"):
        outcomes.setdefault(marker.args[0], []).append(report.passed)
    return report


def pytest_terminal_summary(terminalreporter):
    passed = [client for client in clients.EVERY if all(outcomes.get(client, [False]))]
    if passed:
        terminalreporter.section("clients that passed every test of theirs")
        terminalreporter.write(clients.table(passed))
