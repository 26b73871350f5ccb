"""Networks that cut, stall and reset connections between redis-py and the server."""

import time

import pytest
import redis
from live_server import wait_until
from proxy import STALL_SECONDS, Proxy
from redis.backoff import NoBackoff
from redis.retry import Retry
from tensors import columns, random_tensor, to_bytes


@pytest.fixture
def direct(server):
    """A second client; afterwards it is the only one, and memory is back."""
    with redis.Redis(port=server.port) as client:
        wait_until(lambda: client.info("clients")["connected_clients"] == 1, "clients of an earlier test are left")
        client.flushall()
        client.info()  # its buffers have reached their full size
        used = client.info("memory")["used_memory"]
        yield client
        client.flushall()
        wait_until(lambda: client.info("clients")["connected_clients"] == 1, "clients are left")
        wait_until(lambda: client.info("memory")["used_memory"] <= used, "memory is left")


def through(proxy, protocol):
    return redis.Redis(port=proxy.port, protocol=protocol, retry=Retry(NoBackoff(), 0))


def session(client, rounds):
    """Runs a client's commands, small and large, and compares all results."""
    for seed in range(rounds):
        tensor = random_tensor("float32", [7, 11], seed)
        assert client.set("k", bytes([seed, 0, 13, 10])) is True
        assert client.get("k") == bytes([seed, 0, 13, 10])
        put = ["KV.PUT", "p", seed, "FIELD", "x", "float32", 7, 11, "BLOB", to_bytes(tensor)]
        assert client.execute_command(*put) == 1
        name, (dtype, shape, _, data) = columns(client.execute_command("KV.MGET", "p", "KEYS", 1, seed)).popitem()
        assert (name, dtype, shape, data) == ("x", "float32", (1, 7, 11), to_bytes(tensor))
        pipeline = client.pipeline(transaction=False)
        for i in range(20):
            pipeline.echo(f"{seed}-{i}")
        assert pipeline.execute() == [f"{seed}-{i}".encode() for i in range(20)]
        with pytest.raises(redis.ResponseError, match="wrong number of arguments"):
            client.execute_command("GET")


@pytest.mark.parametrize("protocol", [2, 3])
def test_replies_are_right_if_every_byte_is_a_packet(server, direct, protocol):
    with Proxy(server.port, piece=1) as proxy, through(proxy, protocol) as client:
        session(client, 5)


@pytest.mark.parametrize("piece", [7, 65536])
def test_stalls_delay_one_client_only(server, direct, piece):
    stalls = 5
    with Proxy(server.port, piece, stalls) as proxy, through(proxy, 3) as client:
        begin = time.monotonic()
        session(client, 3)
        assert time.monotonic() - begin >= stalls * STALL_SECONDS / 2  # both directions may stall at the same time
        begin = time.monotonic()
        assert direct.ping()
        assert time.monotonic() - begin < STALL_SECONDS


@pytest.mark.parametrize("cut", [1, 1000, 100_000, 5_000_000])
def test_a_reset_in_the_middle_of_a_reply_does_not_affect_others(server, direct, cut):
    direct.set("k", bytes(8_000_000))
    with Proxy(server.port, cut=cut) as proxy, through(proxy, 2) as client:
        with pytest.raises(redis.ConnectionError):
            client.get("k")
        assert len(direct.get("k")) == 8_000_000
