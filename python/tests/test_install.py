"""pip install ./python, into a virtual environment that has torch."""

import os
import shutil
import subprocess
import sys
import sysconfig

from live_server import ROOT, server_binary


def test_pip_installs_the_package(tmp_path):
    python = tmp_path / "venv/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=120)
    [packages] = (tmp_path / "venv/lib").glob("python*/site-packages")
    (packages / "torch.pth").write_text(sysconfig.get_path("purelib"))  # contains torch
    source = tmp_path / "source"  # pip builds in the source folder
    shutil.copytree(ROOT / "python", source, ignore=shutil.ignore_patterns("__pycache__", ".mypy_cache", ".ruff_cache"))
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", source]
    done = subprocess.run(pip, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (packages / "sluice/py.typed").exists()
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "SLUICE_URL")}
    environment |= {"SLUICE_SERVER": str(server_binary()), "SLUICE_JOB": f"install-{tmp_path.name}"}
    script = "import sluice; sluice.init(); sluice.kv_put('k', 'p', {'x': 1}); print(sluice.__file__, sluice.kv_list())"
    ran = subprocess.run([python, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"{packages}/sluice/__init__.py {{'p': {{'k': {{}}}}}}\n"
