"""Shared code of the Python scripts of the conversation: `script PORT FOLDER PASSWORD [PROTOCOL]`."""

import pathlib
import sys

PORT = int(sys.argv[1])
FOLDER = pathlib.Path(sys.argv[2])
PASSWORD = sys.argv[3] or None
PROTOCOL = {"protocol": int(sys.argv[4])} if sys.argv[4:] else {}
SHAPES = {"small": [2, 3], "large": [1024, 512]}


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def keep(name, data):
    """Writes the received bytes to the file that the test reads."""
    FOLDER.joinpath(name + ".got").write_bytes(data)
