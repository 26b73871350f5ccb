"""A row is never lost to a cancelled call."""

import asyncio

import pytest
from abandoned import WAITS, check_rows_left, put_rows, wait_for_blocked

ROUNDS = 5


async def cancelled(admin, client, lease_s):
    """Calls that wait for rows, and are cancelled."""
    calls = [client.async_fetch(["x"], 1, "p", "t", wait_s=None, lease_s=lease_s) for _ in range(WAITS)]
    tasks = [asyncio.create_task(call) for call in calls]
    await asyncio.to_thread(wait_for_blocked, admin, WAITS)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, asyncio.CancelledError) for end in ends)


@pytest.mark.parametrize("lease_s", [None, 60])
def test_cancelled_calls_leave_the_rows_to_others(server, client, lease_s):
    with server.client(protocol=3, socket_timeout=30) as admin:
        for _ in range(ROUNDS):
            asyncio.run(cancelled(admin, client, lease_s))
            put_rows(admin, WAITS)
            check_rows_left(admin, WAITS)
            admin.flushall()
