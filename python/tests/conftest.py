"""One server for the whole run, and its address; the package is imported from the source tree."""

import os
import pathlib
import sys
import tempfile

import pytest
from init_process import started, wait_gone
from live_server import Server, server_binary

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.stop()


@pytest.fixture
def sluice_url(server):
    """Returns its address; the server is empty before and after."""
    with server.client() as client:
        client.flushall()
        yield f"unix://{server.path}"
        client.flushall()


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A new job, for init() without an address; returns the folder of its files. No server is left running."""
    from sluice import session

    for name in ("SLUICE_URL", "SLURM_JOB_ID", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("SLUICE_JOB", "job")
    monkeypatch.setenv("SLUICE_SERVER", str(server_binary()))
    folder = tmp_path / f"sluice-{os.geteuid()}"
    yield folder
    session.close()
    wait_gone(*(pid for log in folder.glob("*.log") for pid in started(log)))


@pytest.fixture
def config(sluice_url):
    """Returns the result of init(), for tests of the streaming loader."""
    from streaming_cases import waiting

    import sluice as tq

    yield tq.init({"url": sluice_url, "timeout_s": 20})
    waiting(0)  # an abandoned fetch would take the next test's rows, and return them
    tq.close()


@pytest.fixture
def client(sluice_url):
    """A client of this process's session."""
    import sluice as tq

    tq.init({"url": sluice_url, "timeout_s": 20})
    yield tq.get_client()
    tq.close()
