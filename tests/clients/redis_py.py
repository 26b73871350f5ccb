"""The conversation of test_clients.py by redis-py, sync: redis_py.py PORT FOLDER PASSWORD [PROTOCOL]

It also runs with Debian's redis-py 4.3.4, which supports one protocol.
"""

import json
import threading

import redis
from redis.cluster import RedisCluster
from redis.exceptions import RedisClusterException
from talk import FOLDER, PASSWORD, PORT, PROTOCOL, SHAPES, keep, text

options = {"port": PORT, "password": PASSWORD, "socket_timeout": 60, **PROTOCOL}


def transaction(client, other):
    with client.pipeline() as multi:
        multi.incr("watched").append("word", "ab")
        multi.execute_command("KV.PUT", "clients", "in_multi", "FIELD", "n", "int64", "VALUES", 7)
        yield multi.execute()
        multi.watch("watched")
        other.incr("watched")
        multi.multi()
        multi.incr("watched")
        try:
            yield multi.execute()
        except redis.WatchError:
            yield "aborted"


def error(client):
    try:
        client.execute_command("KV.MGET", "nowhere", "KEYS", 1, "k")
    except redis.ResponseError as refused:
        return str(refused)


def tensor(client, name):
    field = ["FIELD", "x", "float32", *SHAPES[name], "BLOB", FOLDER.joinpath(name).read_bytes()]
    new = client.execute_command("KV.PUT", "clients", name, *field)
    [[*about, data]] = client.execute_command("KV.MGET", "clients", "KEYS", 1, name, "FIELDS", 1, "x")
    keep(name, data)
    return [new, *map(text, about)]


def message(client):
    with client.pubsub(ignore_subscribe_messages=True) as listener:
        listener.subscribe("news")
        while not (heard := listener.get_message(timeout=60)):
            pass  # None stands for the confirmation
        return text(heard["data"])


def pool(pool_class):
    """Threads share two connections; a health check sends PING before each command."""
    connections = pool_class(max_connections=2, timeout=60, health_check_interval=1e-9, **options)

    def work():
        with redis.Redis(connection_pool=connections) as client:
            for _ in range(50):
                client.incr("pooled")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with redis.Redis(connection_pool=connections) as client:
        count = client.get("pooled")
    connections.disconnect()
    return text(count)


def cluster():
    try:
        RedisCluster(host="127.0.0.1", **options)
    except RedisClusterException as refused:
        return str(refused)


client, other = redis.Redis(**options), redis.Redis(**options)
with client.pipeline(transaction=False) as pipeline:
    for _ in range(1000):
        pipeline.incr("counter")
    replies = pipeline.get("counter").execute()
committed, watched = transaction(client, other)
saw = {
    "version": redis.__version__,
    "ping": client.ping() and "PONG",
    "client": text(client.execute_command("CLIENT INFO")),
    "pipeline": [replies[0], replies[-2], text(replies[-1])],
    "transaction": committed,
    "watch": watched,
    "error": error(client),
    "tensors": {name: tensor(client, name) for name in SHAPES},
    "message": message(client),
    "pool": pool(redis.BlockingConnectionPool),
    "cluster": cluster(),
}
print(json.dumps(saw))
