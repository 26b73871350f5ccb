"""Each example, run by its command."""

import os
import subprocess
import sys
import uuid

from live_server import ROOT, server_binary


def run_example(name, *arguments, seconds=120):
    """Returns its output. It has its own server, which has stopped afterwards."""
    environment = os.environ | {
        "SLUICE_SERVER": str(server_binary()),
        "SLUICE_JOB": f"example-{uuid.uuid4()}",
        "PYTHONPATH": str(ROOT / "python"),
    }
    environment.pop("SLUICE_URL", None)
    command = [sys.executable, str(ROOT / f"python/examples/{name}.py"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_quickstart_runs():
    tag = "{'global_steps': 1, 'status': 'running', 'model_version': 1}"
    keys = "".join(f" - key='{key}' | tag={tag}\n" for key in ("1_0", "1_1", "1_2", "2_0"))
    assert run_example("quickstart") == f"{keys} Fields: ['attention_mask', 'input_ids']\n"


def test_the_readme_shows_the_quickstart_and_names_every_example():
    readme = (ROOT / "README.md").read_text()
    assert f"```text\n{(ROOT / 'python/examples/quickstart.py').read_text()}```\n" in readme
    for example in (ROOT / "python/examples").glob("*.py"):
        if example.stem != "grpo_policy":  # a part of grpo
            assert f"`scripts/run --example {example.stem}`" in readme


def test_the_streaming_loader_example_runs():
    lines = run_example("streaming_loader").splitlines()
    assert sorted(line[:19] for line in lines[:4]) == [f"rank {rank} of replica {rank // 2}"[:19] for rank in range(4)]
    assert lines[4:] == ["2000 samples, each once, in whole groups"]


def test_the_metadata_client_example_runs():
    shown = run_example("metadata_client")
    for text in ("rows [0, 1, 2, 3] have ['prompt', 'response']", "all 12 rows were trained on"):
        assert text in shown


def test_the_custom_sampler_example_runs():
    shown = run_example("custom_sampler")
    for text in ("lengths [24, 23, 22]", "24 rows, each once"):
        assert text in shown
