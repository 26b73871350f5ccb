"""Every client holds the same conversation, each in its own language, from its handshake to its disconnect:

  PING, CLIENT INFO; 1,000 INCR and a GET in one pipeline; MULTI ... EXEC, with a KV.PUT in it; EXEC after the watched
  key was changed by another connection; an error; two tensors by KV.PUT and KV.MGET, whose bytes it reads from FOLDER
  and leaves there (NAME.got); one message of a channel it subscribes to, which the test publishes.

It prints its results as a line of JSON.
"""

import json
import pathlib
import random
import re
import struct
import subprocess
import time

import pytest
from clients import HERE, TALKERS
from live_server import wait_until

MESSAGE = "breaking: é\r\n"
SHAPES = {"small": [2, 3], "large": [1024, 512]}
SAW = {
    "ping": "PONG",
    "pipeline": [1, 1000, "1000"],
    "transaction": [1, 2, 1],
    "watch": "aborted",
    "tensors": {name: [1, "x", "float32", [1, *shape], None] for name, shape in SHAPES.items()},
    "message": MESSAGE,
}
# The clients' errors for Redis's reply to CLUSTER SLOTS.
CLUSTER_REFUSED = (
    r"cluster support disabled|Cluster mode is not enabled|Couldn't map cluster keyspace|No topology views found"
)


def small_tensor():
    """NaNs with a payload, both infinities, -0.0, and a line ending."""
    return struct.pack("<6I", 0x7FC00001, 0xFFA00000, 0x7F800000, 0xFF800000, 0x80000000, 0x0A0D0A0D)


def hold_conversation(client, server, folder):
    """Returns the script's output as an object. The test publishes the message once the script listens."""
    command = client.command(server.port, folder, server.password)
    with (folder / "out").open("w+") as out, (folder / "err").open("w+") as err, server.client() as publisher:
        process = subprocess.Popen(command, cwd=HERE, env=client.environment(), stdout=out, stderr=err)
        deadline, publish_at, published = time.monotonic() + 120, 0.0, False
        while process.poll() is None:
            # Perl's client overlooks a message that it has received together with the confirmation, until the next one.
            again = client.name == "Redis, Perl" and time.monotonic() > publish_at
            if (again or not published) and publisher.pubsub_numsub("news")[0][1] > 0:
                assert publisher.publish("news", MESSAGE) == 1 or published
                publish_at, published = time.monotonic() + 1, True
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(0.01)
        said, complaint = pathlib.Path(out.name).read_text(), pathlib.Path(err.name).read_text()
    assert process.returncode == 0, said + complaint
    return json.loads(said)


def protocol_of(client_info):
    """Returns RESP's version in the reply of CLIENT INFO, which some clients parse."""
    if isinstance(client_info, dict):
        return client_info["resp"].strip()
    return re.search(r" resp=(\d)", client_info)[1]


def id_of(client):
    return re.sub(r"\W+", "-", f"{client.name}-{client.version()}-resp{client.protocol}")


@pytest.mark.parametrize(
    "client", [pytest.param(client, id=id_of(client), marks=pytest.mark.client(client)) for client in TALKERS]
)
def test_conversation(client, server, tmp_path):
    tensors = {"small": small_tensor(), "large": random.Random(0).randbytes(1024 * 512 * 4)}
    for name, data in tensors.items():
        (tmp_path / name).write_bytes(data)
    saw = hold_conversation(client, server, tmp_path)

    assert saw.pop("version") == client.version()
    assert protocol_of(saw.pop("client")) == client.protocol
    assert re.fullmatch(r"NOPARTITION:? partition 'nowhere' does not exist", saw.pop("error"))
    assert ("cluster refused" in client.checks) == ("cluster" in saw)
    assert re.search(CLUSTER_REFUSED, saw.pop("cluster", "cluster support disabled"))
    assert ("health checks" in client.checks) == ("pool" in saw)
    assert saw.pop("pool", "200") == "200"
    assert saw == SAW
    for name, data in tensors.items():
        assert (tmp_path / f"{name}.got").read_bytes() == data, name
    # Another client reads the same bytes.
    with server.client() as r:
        for name, data in tensors.items():
            [[*_, read]] = r.execute_command("KV.MGET", "clients", "KEYS", 1, name)
            assert read == data, name
        wait_until(lambda: r.info("clients")["connected_clients"] == 1, "the client is still connected")
