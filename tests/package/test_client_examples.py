"""The examples of the metadata client and of a sampler of one's own, as a user runs them."""

import os
import pathlib
import subprocess
import sys
import uuid

import pytest
from live_server import server_binary

PACKAGE = pathlib.Path(__file__).resolve().parents[2] / "python"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("metadata_client", ["rows [0, 1, 2, 3] have ['prompt', 'response']", "all 12 rows were trained on"]),
        ("custom_sampler", ["lengths [24, 23, 22]", "24 rows, each once"]),
    ],
)
def test_example(name, shown, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(PACKAGE), "SLUICE_JOB": uuid.uuid4().hex, "TMPDIR": str(tmp_path)}
    environment |= {"SLUICE_SERVER": str(server_binary())}
    environment.pop("SLUICE_URL", None)
    example = [sys.executable, PACKAGE / "examples" / f"{name}.py"]
    done = subprocess.run(example, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for text in shown:
        assert text in done.stdout
