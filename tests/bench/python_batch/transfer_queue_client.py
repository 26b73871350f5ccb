"""TransferQueue with SimpleStorage on Ray. Arguments: number of storage units, number of the client's ZeroMQ I/O threads."""

import os
import sys
from typing import Any

import torch
from worker import KEYS, ROWS, TAGS, claim_stdout, serve

PARTITION = "train"


class TransferQueue:
    def __init__(self, units: int, io_threads: int) -> None:
        os.environ["TQ_CLIENT_ZMQ_IO_THREADS"] = str(io_threads)  # read by the import
        os.environ.setdefault("TQ_LOGGING_LEVEL", "ERROR")
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        import ray

        # The controller and each storage unit request one CPU; Ray only counts CPUs and reserves none. The object store is
        # small, because no tensor passes through it.
        ray.init(
            address="local",
            num_cpus=units + 2,
            include_dashboard=False,
            object_store_memory=200 << 20,
            log_to_driver=False,
            logging_level="ERROR",
        )
        import transfer_queue as tq
        from omegaconf import OmegaConf
        from tensordict import TensorDict

        self._ray, self._tq, self._tensordict = ray, tq, TensorDict
        tq.init(
            OmegaConf.create(
                {"backend": {"storage_backend": "SimpleStorage", "SimpleStorage": {"num_data_storage_units": units}}}
            )
        )

    def put(self, fields: dict[str, torch.Tensor]) -> None:
        data = self._tensordict(fields, batch_size=ROWS)
        self._tq.kv_batch_put(keys=KEYS, partition_id=PARTITION, fields=data, tags=TAGS)

    def get(self) -> Any:
        return self._tq.kv_batch_get(keys=KEYS, partition_id=PARTITION)

    def clear(self) -> None:
        self._tq.kv_clear(keys=KEYS, partition_id=PARTITION)

    def close(self) -> None:
        self._tq.close()
        self._ray.shutdown()


if __name__ == "__main__":
    answers = claim_stdout()
    units, io_threads = int(sys.argv[1]), int(sys.argv[2])
    serve(
        TransferQueue(units, io_threads),
        answers,
        f"{units} storage unit{'s' if units > 1 else ''}, {io_threads} ZeroMQ I/O thread{'s' if io_threads > 1 else ''}",
    )
