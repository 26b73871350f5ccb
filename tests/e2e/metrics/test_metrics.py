"""The numbers of GET /metrics, compared with the commands that were run and with INFO."""

import os
import pathlib
import subprocess
import time

import pytest
import redis
from live_server import free_port, server_binary, wait_until
from metrics_page import MetricsServer

PARTITIONS_MAX = 1000
PARTS_MAX = 10000  # fields and tasks


@pytest.fixture
def metered(tmp_path):
    running = MetricsServer(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def r(metered):
    with metered.client() as client:
        yield client


def put(client, partition, key, *fields):
    """Each field gets 8 bytes."""
    words = [word for field in fields for word in ("FIELD", field, "uint8", 8, "BLOB", bytes(8))]
    client.execute_command("KV.PUT", partition, key, *words)


def test_commands_are_counted_by_name(metered, r):
    r.ping()
    at_first = metered.scrape().by("code", "errors_total")  # redis-py's commands on connecting
    for _ in range(5):
        r.set("k", "v")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        put(r, "k", "row", "x")
    for _ in range(2):
        with pytest.raises(redis.ResponseError, match="wrong number of arguments"):
            r.execute_command("GET")
    page = metered.scrape()
    told = r.info("commandstats")
    assert page("command_duration_seconds_count", command="set") == 5
    assert page("command_duration_seconds_sum", command="set") == told["cmdstat_set"]["usec"] / 1e6
    assert page("commands_failed_total", command="set") == 0
    assert page("commands_failed_total", command="kv.put") == 1
    assert page("command_duration_seconds_count", command="kv.put") == 1
    assert page("commands_rejected_total", command="get") == 2
    assert page("command_duration_seconds_count", command="get") == 0
    assert page("command_duration_seconds_sum", command="get") == 0
    assert "mget" not in page.by("command", "commands_failed_total")  # never sent
    errors = page.by("code", "errors_total")
    assert errors == at_first | {"ERR": at_first["ERR"] + 2, "WRONGTYPE": at_first["WRONGTYPE"] + 1}
    assert {code: count for code, count in errors.items() if count} == {name[len("errorstat_") :]: row["count"] for name, row in r.info("errorstats").items()}


def test_histograms_count_every_command(metered, r):
    for i in range(200):
        r.set(f"k{i}", "v" * i)
    r.execute_command("KV.WAIT", "p", "KEYS", 1, "k", "FIELDS", 1, "x", "TIMEOUT", 1)
    page = metered.scrape()
    commands = page.by("command", "command_duration_seconds_count")
    assert {"set", "kv.wait"} <= commands.keys()
    for command, count in commands.items():
        buckets = page.by("le", "command_duration_seconds_bucket", command=command)
        bounds = [float(bound) for bound in buckets]
        counts = list(buckets.values())
        assert bounds == sorted(bounds)
        assert bounds[:2] == [1e-6, 2e-6]
        assert bounds[-2:] == [2**26 / 1e6, float("inf")]
        assert counts == sorted(counts)
        assert counts[-1] == count
        total = page("command_duration_seconds_sum", command=command)
        floors = [0, *bounds[:-1]]
        at_least = sum((n - m) * floor for n, m, floor in zip(counts, [0, *counts], floors))
        at_most = sum((n - m) * bound for n, m, bound in zip(counts, [0, *counts], bounds) if n > m)
        assert at_least / 2 <= total <= at_most, command
    told = r.execute_command("LATENCY", "HISTOGRAM", "set")[b"set"][b"histogram_usec"]
    buckets = page.by("le", "command_duration_seconds_bucket", command="set")
    served = {round(float(bound) * 1e6): count for bound, count in list(buckets.items())[:-1]}
    assert all(served[bound] == count for bound, count in told.items())


def test_config_resetstat_does_not_reset_metrics(metered, r):
    r.set("k", "v")
    r.get("missing")
    with pytest.raises(redis.ResponseError):
        r.incr("k")
    before = metered.scrape()
    r.config_resetstat()
    after = metered.scrape()
    for sample in before.order:
        if sample.name.endswith(("_total", "_count", "_sum", "_bucket")):
            key = sample.name, frozenset(sample.labels.items())
            assert after.samples[key] >= sample.value, sample


def test_connections_and_their_bytes_are_counted(metered, r):
    r.ping()
    with metered.client() as other:
        other.ping()
        info = r.info()
        page = metered.scrape()
        assert page("connections") == info["connected_clients"] == 2
        assert page("connections_max") == info["maxclients"]
        assert page("connections_accepted_total") == info["total_connections_received"]
        assert page("network_received_bytes_total") == info["total_net_input_bytes"]
        assert page("network_sent_bytes_total") > info["total_net_output_bytes"]  # INFO's reply
        assert page("connections_rejected_total") == 0
        r.config_set("maxclients", 2)
        with metered.client() as third, pytest.raises(redis.ConnectionError):
            third.ping()
        wait_until(lambda: metered.scrape()("connections_rejected_total") > 0, "no connection was rejected")
        r.config_set("maxclients", 100)
    with metered.client() as hostile, pytest.raises(redis.ResponseError, match="Protocol error"):
        connection = hostile.connection_pool.get_connection()
        connection.send_packed_command([b"*abc\r\n"])
        connection.read_response()
    wait_until(lambda: metered.scrape()("connections") == 1, "clients are left")
    assert metered.scrape()("connections_cut_total", reason="protocol_error") == 1
    assert metered.scrape()("connections_cut_total", reason="output_limit") == 0


def test_blocked_and_subscribed_clients_are_counted(metered, r):
    with metered.client() as waiting, metered.client() as listening, metered.client() as watching:
        connection = waiting.connection_pool.get_connection()
        connection.send_command("KV.WAIT", "p", "KEYS", 1, "k", "FIELDS", 1, "x", "TIMEOUT", 60000)
        wait_until(lambda: metered.scrape()("blocked_clients") == 1, "no client is blocked")
        subscription = listening.pubsub()
        subscription.subscribe("a", "b", "c")
        subscription.psubscribe("d*", "e*")
        subscription.ssubscribe("f")
        with watching.monitor():
            wait_until(lambda: metered.scrape()("monitor_clients") == 1, "no client monitors")
            wait_until(lambda: r.info()["pubsub_clients"] == 1, "no client subscribes")
            wait_until(lambda: r.pubsub_numpat() == 2 and r.pubsub_shardchannels(), "subscriptions are missing")
            page = metered.scrape()
            assert page("pubsub_clients") == 1
            assert page.by("kind", "pubsub_channels") == {"channel": 3, "pattern": 2, "shard_channel": 1}
        put(r, "p", "k", "x")
        assert connection.read_response() == 1
        assert metered.scrape()("blocked_clients") == 0


def test_server_and_memory_are_reported(metered, r):
    put(r, "p", "k", "x")
    r.execute_command("KV.PUT", "p", "k", "FIELD", "y", "uint8", 1 << 20, "BLOB", bytes(1 << 20))
    r.config_set("maxmemory", "3gb")
    info = r.info()
    page = metered.scrape()
    assert page("build_info", version=info["sluice_version"], redis_version=info["redis_version"]) == 1
    assert info["uptime_in_seconds"] <= page("uptime_seconds") <= r.info()["uptime_in_seconds"] + 1
    assert page("cpu_seconds_total", mode="user") >= info["used_cpu_user"]
    assert page("cpu_seconds_total", mode="system") >= info["used_cpu_sys"]
    kinds = page.by("kind", "memory_bytes")
    assert kinds.keys() == {"stored", "in_flight", "bookkeeping", "clients"}
    assert kinds["stored"] == info["used_memory_payload_stored"] >= 1 << 20
    assert kinds["clients"] == info["used_memory_clients"]
    assert page("memory_used_bytes") == sum(kinds.values()) == info["used_memory"]
    assert page("memory_used_peak_bytes") == info["used_memory_peak"]
    assert page("memory_limit_bytes") == 3 << 30
    assert page("memory_resident_bytes") > 1 << 20
    assert page("arena_bytes", state="free") == info["arena_free_bytes"]
    assert "touched_ahead" in page.by("state", "arena_bytes")


def test_names_are_counted_by_kind(metered, r):
    for i in range(3):
        put(r, f"p{i}", "k", "x")
    r.mset({f"s{i}": i for i in range(5)})
    r.expire("s0", 1000)
    r.expire("p0", 2000)
    r.set("soon", 1, px=1)
    wait_until(lambda: r.exists("soon") == 0, "the name does not expire")
    assert r.mget("s1", "none", "s2") == [b"1", None, b"2"]
    info = r.info()
    page = metered.scrape()
    assert page.by("kind", "names") == {"partition": 3, "string": 5}
    assert page("names_with_expiry") == info["db0"]["expires"] == 2
    assert 1490 < page("names_average_ttl_seconds") <= info["db0"]["avg_ttl"] / 1000
    assert page("names_expired_total") == info["expired_keys"] == 1
    assert page("lookups_total", result="hit") == info["keyspace_hits"] == 2
    assert page("lookups_total", result="miss") == info["keyspace_misses"] == 1


def test_partitions_and_fields_are_reported(metered, r):
    for i in range(7):
        put(r, "train", f"k{i}", "x", *["y"] * (i < 4))
    put(r, "train", "k0", "z")
    r.execute_command("KV.PUT", "train", "k1", "FIELD", "z", "SAME", "k0")
    put(r, "other", "k", "x")
    fields = {field[0].decode(): field for field in r.execute_command("KV.FIELDS", "train")}
    page = metered.scrape()
    assert page.by("partition", "partition_rows") == {"other": 1, "train": 7}
    assert page.by("field", "field_ready_rows", partition="train") == {"x": 7, "y": 4, "z": 2}
    assert page.by("field", "field_ready_rows", partition="train") == {name: row[3] for name, row in fields.items()}
    assert page("partition_bytes", partition="other") == 8
    assert page("partition_bytes", partition="train") == sum(row[4] for row in fields.values()) == 12 * 8
    r.delete("train")
    assert metered.scrape().by("partition", "partition_rows") == {"other": 1}


def test_tasks_are_reported(metered, r):
    for i in range(9):
        put(r, "train", f"k{i}", "x")
    r.execute_command("KV.CLEAR", "train", "KEYS", 1, "k8")
    r.execute_command("TASK.FETCH", "train", "actor", "FIELDS", 1, "x", "COUNT", 3)
    r.execute_command("TASK.FETCH", "train", "actor", "FIELDS", 1, "x", "COUNT", 2, "LEASE", 600000)
    r.execute_command("TASK.FETCH", "train", "actor", "FIELDS", 1, "x", "COUNT", 2, "LEASE", 600000)
    r.execute_command("TASK.FETCH", "train", "critic", "FIELDS", 1, "x", "COUNT", 8)
    page = metered.scrape()
    assert page("partition_rows", partition="train") == 8
    assert page("partition_rows_made_total", partition="train") == 9
    assert page.by("task", "task_consumed_rows", partition="train") == {"actor": 3, "critic": 8}
    assert page.by("task", "task_leased_rows", partition="train") == {"actor": 4, "critic": 0}
    assert page.by("task", "task_leases", partition="train") == {"actor": 2, "critic": 0}
    assert page.by("task", "task_waiters", partition="train") == {"actor": 0, "critic": 0}
    oldest_ms = r.execute_command("PARTITION.INFO", "train")[b"tasks"][b"actor"][b"oldest_unconsumed_ms"]
    later = metered.scrape().by("task", "task_oldest_unconsumed_seconds", partition="train")
    now_ms = r.execute_command("PARTITION.INFO", "train")[b"tasks"][b"actor"][b"oldest_unconsumed_ms"]
    assert oldest_ms <= 1000 * later["actor"] <= now_ms
    assert later["critic"] == 0


def test_blocked_fetches_are_counted(metered, r):
    put(r, "train", "k", "x")
    with metered.client() as first, metered.client() as second, metered.client() as third:
        for client, task, field in (first, "actor", "x"), (second, "actor", "y"), (third, "critic", "x"):
            connection = client.connection_pool.get_connection()
            connection.send_command("TASK.FETCH", "train", task, "FIELDS", 1, field, "COUNT", 2, "BLOCK", 60000)
        wait_until(lambda: metered.scrape()("blocked_clients") == 3, "not all fetches are blocked")
        assert metered.scrape().by("task", "task_waiters", partition="train") == {"actor": 2, "critic": 1}
        put(r, "train", "l", "x")
        assert metered.scrape().by("task", "task_waiters", partition="train") == {"actor": 1, "critic": 0}
    wait_until(lambda: metered.scrape()("task_waiters", partition="train", task="actor") == 0, "a fetch is still blocked")


def test_a_scrape_does_not_count_as_use(metered, r):
    """A scrape does not keep a partition from becoming idle, and makes no view of a task."""
    put(r, "train", "k", "x")
    r.execute_command("TASK.FETCH", "train", "actor", "FIELDS", 1, "x", "COUNT", 1)

    def charged():
        assert r.execute_command("TASK.ACK", "train", "actor", "KEYS", 1, "nobody") == 0
        return r.info("memory")["used_memory_bookkeeping"]

    before = charged()
    since = time.monotonic()
    while time.monotonic() < since + 0.2:
        metered.scrape()
    assert r.execute_command("PARTITION.INFO", "train")[b"idle"] >= 200
    assert charged() == before
    r.execute_command("TASK.READY", "train", "actor", "FIELDS", 1, "x", "WHERE", 1, "step", ">", 1)  # makes one
    assert charged() > before


NAMES = ['quo"te', "back\\slash", 'both\\"', "\\n", "comma,brace}", "größe 数", "end\\"]


def test_labels_are_escaped(metered, r):
    for name in NAMES:
        put(r, name, "k", *NAMES)
        r.execute_command("TASK.FETCH", name, name, "FIELDS", 1, name, "COUNT", 1)
    page = metered.scrape()
    assert page.by("partition", "partition_rows") == {name: 1 for name in NAMES}
    for name in NAMES:
        assert page.by("field", "field_ready_rows", partition=name) == {field: 1 for field in NAMES}
        assert page("task_consumed_rows", partition=name, task=name) == 1


def test_the_length_of_a_page_is_limited(metered, r):
    with r.pipeline(transaction=False) as pipe:
        for i in range(PARTITIONS_MAX + 1):
            put(pipe, f"p{i:04}", "k", "x")
        pipe.execute()
    page = metered.scrape()
    assert list(page.by("partition", "partition_rows")) == [f"p{i:04}" for i in range(PARTITIONS_MAX)]
    assert page("partitions_not_listed") == 1
    r.delete("p0007")
    page = metered.scrape()
    assert len(page.by("partition", "partition_rows")) == PARTITIONS_MAX
    assert page("partitions_not_listed") == 0

    put(r, "o", "k", *(f"f{i}" for i in range(PARTS_MAX - 1)))
    page = metered.scrape()
    assert len(page.by("field", "field_ready_rows", partition="o")) == PARTS_MAX - 1
    assert list(page.by("partition", "partition_rows")) == ["o", "p0000"]
    assert page("partitions_not_listed") == PARTITIONS_MAX - 1
    put(r, "n", "k", "x")
    assert list(metered.scrape().by("partition", "partition_rows")) == ["n", "o"]
    r.execute_command("PARTITION.CREATE", "n", "TASKS", PARTS_MAX - 1, *(f"t{i}" for i in range(PARTS_MAX - 1)))
    page = metered.scrape()
    assert len(page.by("task", "task_consumed_rows", partition="n")) == PARTS_MAX - 1
    assert list(page.by("partition", "partition_rows")) == ["n"]


def listening(process):
    """Returns how many sockets of the process listen for TCP."""
    folder = pathlib.Path(f"/proc/{process.pid}")
    rows = [row.split() for table in ("tcp", "tcp6") for row in (folder / "net" / table).read_text().splitlines()]
    listens = "0A"
    inodes = {f"socket:[{row[9]}]" for row in rows if row[3] == listens}
    return sum(os.readlink(entry) in inodes for entry in (folder / "fd").iterdir())


def test_metrics_are_off_by_default(server, metered):
    with server.client() as client:
        assert client.config_get("metrics-port") == {"metrics-port": "0"}
    assert listening(metered.process) == 2 * listening(server.process) > 0


def ends_with(*options):
    """Returns the error text of a server that cannot start."""
    done = subprocess.run([server_binary(), *options], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    return done.stderr


def test_a_port_in_use_prevents_the_start(metered):
    port = free_port()
    text = ends_with("--port", str(port), "--metrics-port", str(metered.metrics_port))
    assert text == f"sluice-server: can't listen on 127.0.0.1 port {metered.metrics_port}: Address already in use\n"
    text = ends_with("--port", str(port), "--metrics-port", str(port))
    assert text == f"sluice-server: can't listen on 127.0.0.1 port {port}: Address already in use\n"
    text = ends_with("--port", "0", "--unixsocket", metered.path + "2", "--bind", "", "--metrics-port", str(port))
    assert text == f"sluice-server: no address of 'bind' is available for metrics-port {port}\n"
    assert "metrics-port" in ends_with("--metrics-port", "65536")
