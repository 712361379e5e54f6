"""Let the event loop run for a while, and see which tasks are left."""

import asyncio


async def run_turns(count=50):
    """Let the loop run for `count` turns: enough for tasks that wait for each other, not for sockets."""
    for _ in range(count):
        await asyncio.sleep(0)


async def settle():
    """Let everything happen that needs no time of a clock, sockets included."""
    for _ in range(100):
        await asyncio.sleep(0.0005)


async def other_tasks():
    """Return the tasks that are left besides the caller's own, once those that are about to end have ended."""
    for _ in range(20):
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if not left:
            break
        await asyncio.sleep(0.005)
    return left


async def collect(events):
    """Read `events` to their end and return them as a list."""
    return [event async for event in events]
