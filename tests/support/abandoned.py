"""Blocked commands of closed connections, and the number of rows put while they were blocked."""

from live_server import wait_until

WAITS = 20
"""Number of commands abandoned in each round."""


def fetch(lease_ms=None):
    """Returns a TASK.FETCH that waits without a time-out for one row."""
    lease = ("LEASE", lease_ms) if lease_ms else ()
    return ("TASK.FETCH", "p", "t", "FIELDS", 1, "x", "COUNT", 1, "BLOCK", 0, *lease)


def wait_for_blocked(client, count):
    """Returns once this many connections are blocked in the server."""
    wait_until(lambda: client.info("clients")["blocked_clients"] == count, f"{count} connections wait", seconds=20)


def put_rows(client, count):
    """Puts single rows, all sent at once; each may serve one of the waiters."""
    pipeline = client.pipeline(transaction=False)
    for i in range(count):
        pipeline.execute_command("KV.PUT", "p", f"k{i}", "FIELD", "x", "int64", "VALUES", i)
    assert pipeline.execute() == [1] * count


def check_rows_left(client, count):
    """Requires that this many rows are ready for a fetch now."""
    reply = client.execute_command("TASK.FETCH", "p", "t", "FIELDS", 1, "x", "COUNT", count, "BLOCK", 5000)
    if reply is None:
        status = client.execute_command("TASK.STATUS", "p", "t", "FIELDS", 1, "x")
        raise AssertionError(f"of {count} rows some went to connections that were closed before: {status}")
