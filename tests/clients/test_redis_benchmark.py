"""redis-benchmark: every request gets its reply in both protocols, and its keys exist afterwards."""

import subprocess

import pytest
from clients import REDIS_BENCHMARK

pytestmark = pytest.mark.client(REDIS_BENCHMARK)


def benchmark(server, *words):
    login = ["-a", server.password] if server.password else []
    command = ["redis-benchmark", "-p", str(server.port), *login, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("protocol", [[], ["-3"]], ids=["resp2", "resp3"])
def test_redis_benchmark_runs_in_both_protocols(server, protocol):
    tests = ["-t", "ping_inline,ping_mbulk,set,get,mset", "-n", "2000", "-P", "16", "--csv"]
    done = benchmark(server, *tests, *protocol)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rror" not in done.stdout + done.stderr
    rates = {line.split('"')[1]: float(line.split('"')[3]) for line in done.stdout.splitlines()[1:]}
    assert list(rates) == ["PING_INLINE", "PING_MBULK", "SET", "GET", "MSET (10 keys)"]
    assert all(rate > 0 for rate in rates.values())
    with server.client() as r:
        assert len(r.get("key:__rand_int__")) == 3
        assert r.info("commandstats")["cmdstat_mset"]["calls"] >= 2000


def test_cluster_is_refused(server):
    done = benchmark(server, "--cluster", "-t", "ping", "-n", "10")
    assert done.returncode == 1
    assert "ERR This instance has cluster support disabled" in done.stderr
