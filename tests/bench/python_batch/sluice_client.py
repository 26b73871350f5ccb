"""The Python package, with its own server on a Unix socket."""

import pathlib
import tempfile

import sluice as tq
import torch
from live_server import Server
from tensordict import TensorDict
from worker import KEYS, ROWS, TAGS, claim_stdout, serve

PARTITION = "train"


class Sluice:
    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._server = Server(pathlib.Path(self._folder.name), cwd=self._folder.name)
        tq.init(f"unix://{self._server.path}")

    def put(self, fields: dict[str, torch.Tensor]) -> None:
        tq.kv_batch_put(keys=KEYS, partition_id=PARTITION, fields=TensorDict(fields, batch_size=ROWS), tags=TAGS)

    def get(self) -> TensorDict:
        return tq.kv_batch_get(keys=KEYS, partition_id=PARTITION)

    def clear(self) -> None:
        tq.kv_clear(keys=KEYS, partition_id=PARTITION)

    def close(self) -> None:
        tq.close()
        self._server.stop()
        self._folder.cleanup()


if __name__ == "__main__":
    answers = claim_stdout()
    serve(Sluice(), answers, "sync API, Unix socket")
