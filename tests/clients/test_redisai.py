"""redisai-py finds RedisAI's commands: tensors by AI.TENSORSET and AI.TENSORGET, which are rows of partition `ai`."""

import json
import random
import subprocess
import sys

import pytest
from clients import HERE, REDISAI_PY
from test_clients import small_tensor


@pytest.mark.client(REDISAI_PY)
def test_tensors_are_stored_and_read_back(server, tmp_path):
    tensors = {"small": small_tensor(), "large": random.Random(0).randbytes(1024 * 512 * 4)}
    for name, data in tensors.items():
        (tmp_path / name).write_bytes(data)
    command = [sys.executable, "redisai_py.py", str(server.port), str(tmp_path), server.password]
    more = {"cwd": HERE, "env": REDISAI_PY.environment(), "capture_output": True, "text": True}
    done = subprocess.run(command, check=False, timeout=120, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout) == {
        "stored": ["OK", "OK"],
        "different": [],
        "meta": {"dtype": "FLOAT", "shape": [2, 3]},
        "values": {"dtype": "FLOAT", "shape": [2, 2], "values": [1.5, 2, -0.5, 4]},
        "pipelines": [[True, "OK", True]] * 2,
        "error": "tensor key is empty or in a different shard",
    }
    with server.client() as r:
        for name, data in tensors.items():
            assert (tmp_path / f"{name}.got").read_bytes() == data
            [[field, dtype, _, _, stored]] = r.execute_command("KV.MGET", "ai", "KEYS", 1, name)
            assert (field, dtype, stored) == (b"value", b"float32", data)
