"""The script of test_redisai.py, by redisai-py: redisai_py.py PORT FOLDER PASSWORD"""

import json

import numpy as np
import redis
import redisai
from talk import FOLDER, PASSWORD, PORT, keep, text

ARRAYS = {
    "small": np.frombuffer(FOLDER.joinpath("small").read_bytes(), np.float32).reshape(2, 3),
    "large": np.frombuffer(FOLDER.joinpath("large").read_bytes(), np.float32).reshape(1024, 512),
    "double": np.array([[-0.0, np.nan, 1e-320]]),
    "int8": np.array([-128, 127], np.int8),
    "int16": np.array([-32768, 32767], np.int16),
    "int32": np.array([-(2**31), 2**31 - 1], np.int32),
    "int64": np.array([[[-(2**63), 2**63 - 1]]]),
    "uint8": np.array([[0], [255]], np.uint8),
    "bool": np.array([True, False, True]),
}


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def error(client):
    try:
        client.tensorget("nowhere")
    except redis.ResponseError as refused:
        return str(refused)


def round_trip(client, array):
    """All tensors are in one field, so of one dtype at a time."""
    client.execute_command("KV.CLEAR", "ai")
    client.tensorset("other", array)
    return client.tensorget("other")


client = redisai.Client(port=PORT, password=PASSWORD, socket_timeout=60)
different = [name for name, array in ARRAYS.items() if not same(round_trip(client, array), array)]
client.execute_command("KV.CLEAR", "ai")
stored = [client.tensorset(name, ARRAYS[name]) for name in ("small", "large")]
for name in ("small", "large"):
    keep(name, client.tensorget(name).tobytes())

# Written as values, and read back as values.
client.tensorset("values", [1.5, 2, -0.5, 4], shape=[2, 2], dtype="float")
values = client.tensorget("values", as_numpy=False)

pipelines = []
for transaction in (False, True):
    with client.pipeline(transaction=transaction) as pipeline:
        pipeline.set("plain", "text").tensorset("piped", ARRAYS["small"]).tensorget("piped")
        ok, set_reply, array = pipeline.execute()
        pipelines.append([ok, text(set_reply), same(array, ARRAYS["small"])])

saw = {
    "stored": stored,
    "different": different,
    "meta": client.tensorget("small", meta_only=True),
    "values": values,
    "pipelines": pipelines,
    "error": error(client),
}
print(json.dumps(saw))
