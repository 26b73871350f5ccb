"""The clients that talk to the server in these tests: what they are, how they are run, what is checked of each."""

import dataclasses
import functools
import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys

from live_server import ROOT, server_binary

HERE = pathlib.Path(__file__).parent
PACKAGES = HERE / "packages"  # scripts/lib.sh fills it; each folder goes into PYTHONPATH alone


def debian(package):
    query = ["dpkg-query", "--show", "--showformat=${Version}", package]
    full = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    return re.match(r"(?:\d+:)?([\d.]+)", full)[1]


def npm(package):
    return json.loads((HERE / "node_modules" / package / "package.json").read_text())["version"]


def pypi(package, folder=None):
    if folder is None:
        return importlib.metadata.version(package)
    [found] = importlib.metadata.distributions(name=package, path=[str(PACKAGES / folder)])
    return found.version


@dataclasses.dataclass(frozen=True)
class Client:
    name: str
    version: functools.partial
    protocol: str  # of RESP; the one it chooses by itself, where it may choose
    checks: str
    script: tuple = ()  # holds the conversation of test_clients.py; PORT, FOLDER and PASSWORD are put behind {}
    packages: str = ""  # of PyPI, beside those of .venv

    def command(self, port, folder, password):
        given = [str(port), str(folder), password]
        return [word for part in self.script for word in (given if part == "{}" else [part])]

    def environment(self):
        return os.environ | {"PYTHONPATH": str(PACKAGES / self.packages) if self.packages else ""}

    @property
    def row(self):
        return f"| {self.name} | {self.version()} | {self.protocol} | {self.checks} |"


TALK = "AUTH, pipeline, MULTI, WATCH, an error, tensors, pub/sub"
CLUSTER = ", cluster refused"
POOL = ", a pool with health checks"
DEBIAN_PYTHON = "/usr/bin/python3"
HIREDIS = os.fspath(server_binary().parents[1] / "tests/clients/hiredis_client")  # of the same build


def redis_py(name, script, protocol, packages=""):
    checks = TALK + POOL + CLUSTER
    script = (sys.executable, script, "{}", protocol)
    return Client(name, functools.partial(pypi, "redis"), protocol, checks, script, packages)


def node(package, protocol, checks, script, name=None):
    return Client(name or package, functools.partial(npm, package), protocol, checks, ("node", script, package, "{}"))


def of_debian(name, package, checks, *script):
    return Client(name, functools.partial(debian, package), "2", checks, script)


TALKERS = [
    redis_py("redis-py", "redis_py.py", "3"),
    redis_py("redis-py", "redis_py.py", "2"),
    redis_py("redis-py, asyncio", "redis_py_asyncio.py", "3"),
    redis_py("redis-py, asyncio", "redis_py_asyncio.py", "2"),
    redis_py("redis-py with hiredis-py", "redis_py.py", "3", "hiredis-py"),
    redis_py("redis-py with hiredis-py", "redis_py.py", "2", "hiredis-py"),
    redis_py("redis-py with hiredis-py, asyncio", "redis_py_asyncio.py", "3", "hiredis-py"),
    redis_py("redis-py with hiredis-py, asyncio", "redis_py_asyncio.py", "2", "hiredis-py"),
    of_debian("redis-py of Debian", "python3-redis", TALK + POOL + CLUSTER, DEBIAN_PYTHON, "redis_py.py", "{}"),
    of_debian(
        "redis-py of Debian, asyncio", "python3-redis", TALK + POOL + CLUSTER,
        DEBIAN_PYTHON, "redis_py_asyncio.py", "{}",
    ),
    node("ioredis", "3", TALK + CLUSTER, "ioredis.mjs"),
    node("ioredis-5", "2", TALK + CLUSTER, "ioredis.mjs", "ioredis"),
    node("iovalkey", "2", TALK + CLUSTER, "ioredis.mjs"),
    node("redis", "3", TALK + CLUSTER, "node_redis.mjs", "node-redis"),
    node("redis-5", "2", TALK + CLUSTER, "node_redis.mjs", "node-redis"),
    node("redis-4", "2", TALK + CLUSTER, "node_redis.mjs", "node-redis"),
    node("@valkey/valkey-glide", "3", TALK + CLUSTER, "glide.mjs", "valkey-glide, Node"),
    of_debian("hiredis, C and C++", "libhiredis-dev", TALK, HIREDIS, "{}"),
    of_debian("phpredis, PHP", "php-redis", TALK + CLUSTER, "php", "phpredis.php", "{}"),
    of_debian("predis, PHP", "php-predis", TALK, "php", "predis.php", "{}"),
    of_debian("redis-rb, Ruby", "ruby-redis", TALK + CLUSTER, "ruby", "redis_rb.rb", "{}"),
    of_debian("Redis, Perl", "libredis-perl", TALK, "perl", "perl_redis.pl", "{}"),
]  # fmt: skip

REDIS_CLI = Client(
    "redis-cli", functools.partial(debian, "redis-tools"), "2, 3",
    "AUTH, hints in a terminal, --pipe, --scan, --bigkeys, --memkeys, --stat, --latency",
)  # fmt: skip
REDIS_BENCHMARK = Client(
    "redis-benchmark", functools.partial(debian, "redis-tools"), "2, 3", "AUTH, PING, SET, GET, MSET"
)
EXPORTER = Client(
    "prometheus-redis-exporter", functools.partial(debian, "prometheus-redis-exporter"), "2",
    "AUTH, its metrics: commands, memory, keyspace",
)  # fmt: skip
REDISAI_PY = Client(
    "redisai-py", functools.partial(pypi, "redisai", "redisai-py"), "2",
    "AUTH, pipeline, MULTI, AI.TENSORSET, AI.TENSORGET", packages="redisai-py",
)  # fmt: skip

EVERY = [*TALKERS, REDIS_CLI, REDIS_BENCHMARK, EXPORTER, REDISAI_PY]


def table(clients):
    head = ["| client | version | RESP | what is checked |", "| --- | --- | --- | --- |"]
    return "\n".join([*head, *(client.row for client in clients)]) + "\n"
