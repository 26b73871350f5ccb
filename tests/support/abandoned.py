"""Waits that nobody is behind any more, and a count of the rows that were put while they were there."""

from live_server import wait_until

WAITS = 20
"""Abandoned in each round."""


def fetch(lease_ms=None):
    """A TASK.FETCH that waits as long as it takes for one row."""
    lease = ("LEASE", lease_ms) if lease_ms else ()
    return ("TASK.FETCH", "p", "t", "FIELDS", 1, "x", "COUNT", 1, "BLOCK", 0, *lease)


def packed(command):
    """A command as it is sent."""
    words = [str(word).encode() for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def wait_for_blocked(client, count):
    """Until so many connections wait in the server."""
    wait_until(lambda: client.info("clients")["blocked_clients"] == count, f"{count} connections wait", seconds=20)


def put_rows(client, count):
    """Single rows, each of which may serve one of those that wait, all sent at once."""
    pipeline = client.pipeline(transaction=False)
    for i in range(count):
        pipeline.execute_command("KV.PUT", "p", f"k{i}", "FIELD", "x", "int64", "VALUES", i)
    assert pipeline.execute() == [1] * count


def check_rows_left(client, count):
    """So many rows are there for whoever asks now."""
    reply = client.execute_command("TASK.FETCH", "p", "t", "FIELDS", 1, "x", "COUNT", count, "BLOCK", 5000)
    if reply is None:
        status = client.execute_command("TASK.STATUS", "p", "t", "FIELDS", 1, "x")
        raise AssertionError(f"of {count} rows some went to connections that were closed before: {status}")
