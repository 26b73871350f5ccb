"""Runs calls on TransferQueue, with its SimpleStorage on Ray. Started by test_transferqueue.py, in another environment."""

import logging
import os
import sys
import warnings
from multiprocessing.connection import Client

os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # otherwise Ray writes a token into the home folder
os.environ.setdefault("TQ_LOGGING_LEVEL", "ERROR")
warnings.simplefilter("ignore")


def main(address):
    import ray
    import transfer_queue
    from omegaconf import OmegaConf
    from tq_calls import Calls

    logging.disable(logging.WARNING)
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=80 << 20)
    storage = {"storage_backend": "SimpleStorage", "SimpleStorage": {"num_data_storage_units": 1}}
    transfer_queue.init(OmegaConf.create({"controller": {"polling_mode": True}, "backend": storage}))
    calls = Calls(transfer_queue)
    with Client(address) as pipe:
        while (request := pipe.recv()) is not None:
            pipe.send(calls.do(*request))
    transfer_queue.close()
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
