"""How long the event loop stands still while a slow token endpoint is waited for.

    python benchmarks/loop_stall.py

Three tasks ask for a token at an endpoint that takes half a second. A fourth notes the longest time between two of its
turns. (The official SDK fetches synchronously: three such calls stop the loop for 1.5 s.)
"""

from __future__ import annotations

import asyncio
import sys
import time

from twilio_oauth_async import ClientCredentials, OAuthSession, TokenManager
from twilio_oauth_async.emulator import Emulator

DELAY, CALLERS, MOST_MILLISECONDS = 0.5, 3, 50.0


async def longest_pause(over: asyncio.Event) -> float:
    """Milliseconds."""
    longest, last = 0.0, time.perf_counter()
    while not over.is_set():
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest, last = max(longest, now - last), now
    return longest * 1e3


async def main() -> int:
    """Measure, print, and judge."""
    async with Emulator() as emulator, OAuthSession(base_url=emulator.base_url) as session:
        # What is imported and made once is there now.
        await ClientCredentials(
            session, client_id=emulator.client_sid, client_secret=emulator.client_secret or ""
        ).obtain()
        emulator.faults.on("client_credentials").always().delay(DELAY)
        manager = TokenManager(
            ClientCredentials(session, client_id=emulator.client_sid, client_secret=emulator.client_secret or "")
        )
        over = asyncio.Event()
        watch = asyncio.create_task(longest_pause(over))
        started = time.perf_counter()
        await asyncio.gather(*(manager.token() for _ in range(CALLERS)))
        took = time.perf_counter() - started
        over.set()
        pause = await watch
        requests = len(emulator.requests.to("client_credentials")) - 1
    print(f"{CALLERS} callers had a token after {took:.2f} s, by {requests} request")
    print(f"longest pause of the loop: {pause:.1f} ms (at most {MOST_MILLISECONDS:.0f})")
    return int(pause > MOST_MILLISECONDS or requests != 1)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
