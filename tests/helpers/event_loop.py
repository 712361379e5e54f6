"""Let the event loop run for a while, and see which tasks are left."""

import asyncio
import os

import pytest

from twilio_oauth_async.stores.testing.checks import other_tasks

__all__ = ["collect", "needs_event_loop_of_asyncio", "other_tasks", "run_turns", "settle"]

UVLOOP = os.environ.get("TWILIO_OAUTH_EVENT_LOOP") == "uvloop"
needs_event_loop_of_asyncio = pytest.mark.skipif(UVLOOP, reason="looks into the event loop of asyncio; this is uvloop")


async def run_turns(count=50):
    """Let the loop run for `count` turns: enough for tasks that wait for each other, not for sockets."""
    for _ in range(count):
        await asyncio.sleep(0)


async def settle():
    """Let everything happen that needs no time of a clock, sockets included."""
    for _ in range(100):
        await asyncio.sleep(0.001 if UVLOOP else 0.0005)  # uvloop takes less than a millisecond for nothing


async def collect(events):
    """Read `events` to their end and return them as a list."""
    return [event async for event in events]
