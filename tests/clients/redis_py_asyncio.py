"""The conversation of test_clients.py by redis-py's asyncio: redis_py_asyncio.py PORT FOLDER PASSWORD [PROTOCOL]"""

import asyncio
import json

import redis
import redis.asyncio
from redis.exceptions import RedisClusterException
from talk import FOLDER, PASSWORD, PORT, PROTOCOL, SHAPES, keep, text

options = {"port": PORT, "password": PASSWORD, "socket_timeout": 60, **PROTOCOL}


async def transaction(client, other):
    async with client.pipeline() as multi:
        multi.incr("watched").append("word", "ab")
        multi.execute_command("KV.PUT", "clients", "in_multi", "FIELD", "n", "int64", "VALUES", 7)
        committed = await multi.execute()
        await multi.watch("watched")
        await other.incr("watched")
        multi.multi()
        multi.incr("watched")
        try:
            return committed, await multi.execute()
        except redis.WatchError:
            return committed, "aborted"


async def error(client):
    try:
        await client.execute_command("KV.MGET", "nowhere", "KEYS", 1, "k")
    except redis.ResponseError as refused:
        return str(refused)


async def tensor(client, name):
    field = ["FIELD", "x", "float32", *SHAPES[name], "BLOB", FOLDER.joinpath(name).read_bytes()]
    new = await client.execute_command("KV.PUT", "clients", name, *field)
    [[*about, data]] = await client.execute_command("KV.MGET", "clients", "KEYS", 1, name, "FIELDS", 1, "x")
    keep(name, data)
    return [new, *map(text, about)]


async def message(client):
    async with client.pubsub(ignore_subscribe_messages=True) as listener:
        await listener.subscribe("news")
        while not (heard := await listener.get_message(timeout=60)):
            pass  # None stands for the confirmation
        return text(heard["data"])


async def pool():
    """Tasks share two connections, which are idle long enough for the PING of a health check."""
    connections = redis.asyncio.BlockingConnectionPool(
        max_connections=2, timeout=60, health_check_interval=0.5, **options
    )
    async with redis.asyncio.Redis(connection_pool=connections) as client:

        async def work():
            for _ in range(25):
                await client.incr("pooled")

        await asyncio.gather(*(work() for _ in range(4)))
        await asyncio.sleep(0.6)
        await asyncio.gather(*(work() for _ in range(4)))
        count = await client.get("pooled")
    await connections.disconnect()
    return text(count)


async def cluster():
    try:
        async with redis.asyncio.RedisCluster(host="127.0.0.1", **options):
            pass
    except RedisClusterException as refused:
        return str(refused)


async def talk():
    async with redis.asyncio.Redis(**options) as client, redis.asyncio.Redis(**options) as other:
        async with client.pipeline(transaction=False) as pipeline:
            for _ in range(1000):
                pipeline.incr("counter")
            replies = await pipeline.get("counter").execute()
        committed, watched = await transaction(client, other)
        return {
            "version": redis.__version__,
            "ping": await client.ping() and "PONG",
            "client": text(await client.execute_command("CLIENT INFO")),
            "pipeline": [replies[0], replies[-2], text(replies[-1])],
            "transaction": committed,
            "watch": watched,
            "error": await error(client),
            "tensors": {name: await tensor(client, name) for name in SHAPES},
            "message": await message(client),
            "pool": await pool(),
            "cluster": await cluster(),
        }


print(json.dumps(asyncio.run(talk())))
