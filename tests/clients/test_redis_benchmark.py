"""redis-benchmark: every request is answered, in both protocols, and what it leaves is there."""

import subprocess

import pytest
from clients import REDIS_BENCHMARK


@pytest.mark.client(REDIS_BENCHMARK)
@pytest.mark.parametrize("protocol", [[], ["-3"]], ids=["resp2", "resp3"])
def test_benchmark(server, protocol):
    words = ["redis-benchmark", "-p", str(server.port), *(["-a", server.password] if server.password else [])]
    words += ["-t", "ping_inline,ping_mbulk,set,get,mset", "-n", "2000", "-P", "16", "--csv", *protocol]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    rates = {line.split('"')[1]: float(line.split('"')[3]) for line in done.stdout.splitlines()[1:]}
    assert list(rates) == ["PING_INLINE", "PING_MBULK", "SET", "GET", "MSET (10 keys)"]
    assert all(rate > 0 for rate in rates.values())
    assert "rror" not in done.stdout + done.stderr
    with server.client() as r:
        assert len(r.get("key:__rand_int__")) == 3
        assert int(r.info("commandstats")["cmdstat_mset"]["calls"]) >= 2000
