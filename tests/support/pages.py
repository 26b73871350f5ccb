"""Documentation pages whose transcripts are checked."""

import subprocess
import sys

from live_server import ROOT


def transcript(*arguments):
    """Runs scripts/transcript and returns the finished process with its output."""
    script = ROOT / "scripts/transcript"
    return subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, timeout=120)
