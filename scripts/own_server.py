"""A temporary server for scripts that need one: the release build, or the binary that SLUICE_SERVER names."""

import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def start(folder, *options):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    binary = os.environ.get("SLUICE_SERVER", str(ROOT / "build/release/server/sluice-server"))
    process = subprocess.Popen([binary, *options, "--port", str(port), "--loglevel", "warning"], cwd=folder)
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return process, port
        time.sleep(0.01)
    process.kill()
    sys.exit("the server does not start")


@contextlib.contextmanager
def own_server(*options):
    """Yields the port of an empty server with these options, and stops the server afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        process, port = start(folder, *options)
        try:
            yield port
        finally:
            process.terminate()
            process.wait(20)
