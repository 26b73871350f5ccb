"""prometheus-redis-exporter: one scrape reports that the server is up, and its activity."""

import re
import subprocess
import time
import urllib.error
import urllib.request

import pytest
from clients import EXPORTER
from live_server import free_port


def scrape(process, port):
    """Returns the metrics as {name with its labels: value}, once the exporter listens."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as page:
                lines = re.findall(r"^(redis_.*) (\S+)$", page.read().decode(), re.MULTILINE)
            return {name: float(value) for name, value in lines}
        except urllib.error.URLError:
            assert process.poll() is None, "the exporter ended"
            assert time.monotonic() < deadline, "the exporter does not answer"
            time.sleep(0.01)


@pytest.mark.client(EXPORTER)
def test_metrics(server):
    with server.client() as r:
        for i in range(7):
            r.set(f"key{i}", "x")
        r.execute_command("KV.PUT", "p", "k", "FIELD", "x", "uint8", 100000, "BLOB", bytes(100000))
    port = free_port()
    words = ["prometheus-redis-exporter", "-web.listen-address", f"127.0.0.1:{port}"]
    words += ["-redis.addr", f"redis://127.0.0.1:{server.port}", "-check-keys", "key*"]
    words += ["-redis.password", server.password] if server.password else []
    process = subprocess.Popen(words)
    try:
        metrics = scrape(process, port)
    finally:
        process.terminate()
        process.wait(60)
    assert metrics["redis_up"] == 1
    assert metrics['redis_exporter_last_scrape_error{err=""}'] == 0
    assert metrics['redis_commands_total{cmd="set"}'] == 7
    assert metrics['redis_commands_total{cmd="kv.put"}'] == 1
    assert metrics['redis_db_keys{db="db0"}'] == 8
    assert metrics['redis_key_size{db="db0",key="key3"}'] == 1
    assert metrics["redis_memory_used_bytes"] > 100000
    assert metrics["redis_memory_max_bytes"] > 0
    assert metrics["redis_connected_clients"] >= 1
    assert metrics["redis_slowlog_length"] == 0
    assert metrics["redis_uptime_in_seconds"] >= 0
