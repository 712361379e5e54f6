"""Time from the approval of a user until `DeviceFlow` has the token, in virtual time.

    python benchmarks/approval.py

The user approves at a random moment, so the best possible mean is half of the interval and one round trip. The clock is
a `VirtualClock` that the emulator shares, so that a request takes no time, and the round trip counts 0 s.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys

from harness import Report

from twilio_oauth_async import DeviceAuthorization, DeviceFlow, OAuthSession, VirtualClock
from twilio_oauth_async.emulator import Emulator

SIGN_INS, FLOWS_AT_ONCE = 400, 20
MAX_RATIO = 1.05


async def main() -> int:
    """Measure, print the results and compare them with the limits."""
    report = Report(__file__, __doc__)
    luck = random.Random(1)  # the same moments in each run
    delays: list[float] = []
    clock = VirtualClock()
    async with (
        Emulator(clock=clock) as emulator,
        OAuthSession(emulator.account_sid, emulator.auth_token, base_url=emulator.base_url, clock=clock) as session,
    ):
        flow = DeviceFlow(session, client_sid=emulator.client_sid, scopes=["openid"])

        async def approve(authorization: DeviceAuthorization) -> float:
            await clock.sleep(luck.uniform(20.0, 60.0))
            await emulator.approve(authorization.user_code)
            return clock.monotonic()

        async def sign_in() -> None:
            authorization = await flow.start()
            approving = asyncio.create_task(approve(authorization))
            await flow.wait(authorization)
            delays.append(clock.monotonic() - await approving)

        interval = (await flow.start()).interval
        for _ in range(SIGN_INS // FLOWS_AT_ONCE):
            await asyncio.gather(*(sign_in() for _ in range(FLOWS_AT_ONCE)))
            emulator.requests.clear()
    mean, best = statistics.fmean(delays), interval / 2
    report.note(f"{SIGN_INS} sign-ins, an interval of {interval:g} s. It is lengthened by a hundredth for fast clocks.")
    report.add("approval to token", "mean", mean, "s")
    report.add("approval to token", "longest", max(delays), "s")
    report.add("approval to token", "mean / half of the interval", mean / best, "x", at_most=MAX_RATIO)
    return report.finish()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
