"""The clients that talk to the server in these tests: their names, commands and tests.

To add one: install it in scripts/lib.sh (need_clients), add its script beside those here and a line in TALKERS, and
update the table in docs/clients.md, which test_page.py prints.
"""

import dataclasses
import functools
import importlib.metadata
import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Callable

from live_server import server_binary

HERE = pathlib.Path(__file__).parent
PACKAGES = HERE / "packages"  # scripts/lib.sh fills it; each folder is added to PYTHONPATH alone


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
    version: Callable[[], str]
    protocol: str  # of RESP; the client's default if it supports both
    checks: str
    script: tuple[str, ...] = ()  # runs the conversation of test_clients.py
    last: str = ""  # its last argument, after PORT, FOLDER and PASSWORD
    packages: str = ""  # of PyPI, in addition to those of .venv

    def command(self, port, folder, password):
        return [*self.script, str(port), str(folder), password, *([self.last] if self.last else [])]

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
    version = functools.partial(pypi, "redis")
    return Client(name, version, protocol, TALK + POOL + CLUSTER, (sys.executable, script), protocol, packages)


def node(name, package, protocol, script):
    return Client(name, functools.partial(npm, package), protocol, TALK + CLUSTER, ("node", script), package)


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
    of_debian("redis-py of Debian", "python3-redis", TALK + POOL + CLUSTER, DEBIAN_PYTHON, "redis_py.py"),
    of_debian(
        "redis-py of Debian, asyncio", "python3-redis", TALK + POOL + CLUSTER,
        DEBIAN_PYTHON, "redis_py_asyncio.py",
    ),
    node("ioredis", "ioredis", "3", "ioredis.mjs"),
    node("ioredis", "ioredis-5", "2", "ioredis.mjs"),
    node("iovalkey", "iovalkey", "2", "ioredis.mjs"),
    node("node-redis", "redis", "3", "node_redis.mjs"),
    node("node-redis", "redis-5", "2", "node_redis.mjs"),
    node("node-redis", "redis-4", "2", "node_redis.mjs"),
    node("valkey-glide, Node", "@valkey/valkey-glide", "3", "glide.mjs"),
    of_debian("hiredis, C and C++", "libhiredis-dev", TALK, HIREDIS),
    of_debian("phpredis, PHP", "php-redis", TALK + CLUSTER, "php", "phpredis.php"),
    of_debian("predis, PHP", "php-predis", TALK, "php", "predis.php"),
    of_debian("redis-rb, Ruby", "ruby-redis", TALK + CLUSTER, "ruby", "redis_rb.rb"),
    of_debian("Redis, Perl", "libredis-perl", TALK, "perl", "perl_redis.pl"),
]  # fmt: skip

REDIS_CLI = Client(
    "redis-cli", functools.partial(debian, "redis-tools"), "2, 3",
    "AUTH, hints in a terminal, --pipe, --scan, --bigkeys, --memkeys, --stat, --latency" + CLUSTER,
)  # fmt: skip
REDIS_BENCHMARK = Client(
    "redis-benchmark", functools.partial(debian, "redis-tools"), "2, 3", "AUTH, PING, SET, GET, MSET" + CLUSTER
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
