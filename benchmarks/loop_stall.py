"""Longest time for which the event loop is blocked while tasks wait for a slow token endpoint.

    python benchmarks/loop_stall.py

Three tasks request a token from an endpoint that takes half a second, while the delay of the loop is sampled. (The
official SDK sends requests synchronously: three such calls block the loop for 1.5 s.)
"""

from __future__ import annotations

import asyncio
import sys

from harness import LoopDelay, Report, measured

from twilio_oauth_async import ClientCredentials, OAuthSession, TokenManager
from twilio_oauth_async.emulator import Emulator

DELAY, CALLERS, MAX_MILLISECONDS = 0.5, 3, 50.0


async def main() -> int:
    """Measure, print the results and compare them with the limit."""
    report = Report(__file__, __doc__)
    async with Emulator() as emulator, OAuthSession(base_url=emulator.base_url) as session:
        # The first call imports modules and creates objects that later calls reuse.
        await ClientCredentials(
            session, client_id=emulator.client_sid, client_secret=emulator.client_secret or ""
        ).obtain()
        emulator.faults.on("client_credentials").always().delay(DELAY)
        manager = TokenManager(
            ClientCredentials(session, client_id=emulator.client_sid, client_secret=emulator.client_secret or "")
        )
        async with LoopDelay() as delay:
            with measured() as usage:
                await asyncio.gather(*(manager.token() for _ in range(CALLERS)))
        requests = len(emulator.requests.to("client_credentials")) - 1
    name = f"{CALLERS} callers"
    report.add(name, "time until all have a token", usage.wall * 1e3, "ms")
    report.add(name, "requests", requests, "", at_least=1, at_most=1)
    report.add(name, "delay of the loop, maximum", max(delay.all), "ms", at_most=MAX_MILLISECONDS)
    return report.finish()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
