"""Longest time for which the event loop is blocked while tasks wait for a slow token endpoint.

    python benchmarks/loop_stall.py

Three tasks request a token from an endpoint that takes half a second. A fourth task measures the longest time between
two of its own steps. (The official SDK sends requests synchronously: three such calls block the loop for 1.5 s.)
"""

from __future__ import annotations

import asyncio
import sys
import time

from twilio_oauth_async import ClientCredentials, OAuthSession, TokenManager
from twilio_oauth_async.emulator import Emulator

DELAY, CALLERS, MAX_MILLISECONDS = 0.5, 3, 50.0


async def longest_pause(done: asyncio.Event) -> float:
    """Return the longest pause of the loop, in milliseconds, until `done` is set."""
    longest, last = 0.0, time.perf_counter()
    while not done.is_set():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest * 1e3


async def main() -> int:
    """Measure, print the results and compare them with the limit."""
    async with Emulator() as emulator, OAuthSession(base_url=emulator.base_url) as session:
        # The first call imports modules and creates objects that later calls reuse.
        await ClientCredentials(
            session, client_id=emulator.client_sid, client_secret=emulator.client_secret or ""
        ).obtain()
        emulator.faults.on("client_credentials").always().delay(DELAY)
        manager = TokenManager(
            ClientCredentials(session, client_id=emulator.client_sid, client_secret=emulator.client_secret or "")
        )
        done = asyncio.Event()
        watch = asyncio.create_task(longest_pause(done))
        started = time.perf_counter()
        await asyncio.gather(*(manager.token() for _ in range(CALLERS)))
        took = time.perf_counter() - started
        done.set()
        pause = await watch
        requests = len(emulator.requests.to("client_credentials")) - 1
    print(f"{CALLERS} callers got a token after {took:.2f} s, with {requests} request")
    print(f"longest pause of the loop: {pause:.1f} ms (at most {MAX_MILLISECONDS:.0f})")
    return int(pause > MAX_MILLISECONDS or requests != 1)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
