"""The package, with a server of its own on a Unix socket. Argument: the server's binary."""

import os
import subprocess
import sys
import tempfile
import time

import sluice as tq
import torch
from tensordict import TensorDict
from worker import KEYS, ROWS, TAGS, claim_stdout, serve

PARTITION = "train"


class Sluice:
    def __init__(self, binary: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        path = os.path.join(self._folder.name, "sluice.sock")
        self._server = subprocess.Popen(
            [binary, "--port", "0", "--unixsocket", path, "--loglevel", "warning"], cwd=self._folder.name, stdout=sys.stderr
        )
        deadline = time.monotonic() + 20
        while not os.path.exists(path):
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{binary} does not start")
            time.sleep(0.01)
        tq.init(f"unix://{path}")

    def put(self, fields: dict[str, torch.Tensor]) -> None:
        tq.kv_batch_put(keys=KEYS, partition_id=PARTITION, fields=TensorDict(fields, batch_size=ROWS), tags=TAGS)

    def get(self) -> TensorDict:
        return tq.kv_batch_get(keys=KEYS, partition_id=PARTITION)

    def clear(self) -> None:
        tq.kv_clear(keys=KEYS, partition_id=PARTITION)

    def close(self) -> None:
        tq.close()
        self._server.terminate()
        self._server.wait(20)
        self._folder.cleanup()


if __name__ == "__main__":
    answers = claim_stdout()
    serve(Sluice(sys.argv[1]), answers, "sync API, Unix socket")
