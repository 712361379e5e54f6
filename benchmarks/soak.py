"""Load test: many device flows against a faulty server. It checks the result of every flow, and looks for leaks.

    python benchmarks/soak.py --minutes 10 --flows 2000 --faults 0.05

Each of ``--flows`` users signs in repeatedly until the time is over. Most approve, some deny, some do nothing. The test
fails if an approved flow ends without a token and without an expected error, if a token is received twice, if an
exception is raised that is not the library's, or if memory, sockets or tasks grow by more than a tenth.
"""

from __future__ import annotations

import argparse
import array
import asyncio
import collections
import contextlib
import ctypes
import gc
import os
import random
import sys
import time
from pathlib import Path

from emulator_process import EmulatorProcess, emulator_process

from twilio_oauth_async import (
    AccessDeniedError,
    DeviceCodeExpiredError,
    DeviceFlow,
    OAuthSession,
    TwilioOAuthError,
)

INTERVAL, LIFETIME, MAX_DECISION_TIME, WARM_UP, GROWTH = 2, 25, 12.0, 30, 1.10


class Results:
    """The decisions of the users and the results of the flows."""

    def __init__(self) -> None:
        self.outcomes: collections.Counter[str] = collections.Counter()
        # Hashes in one array, so that 100,000 tokens do not look like a memory leak.
        self.tokens = array.array("q")
        self.wrong: list[str] = []

    def record(self, decided: str, outcome: str, token: str | None) -> None:
        """Record one flow; `token` is the token that was received, if any."""
        self.outcomes[f"{decided}: {outcome}"] += 1
        if token is not None:
            self.tokens.append(hash(token))
            if decided != "approved":
                self.wrong.append(f"a token for a flow that was {decided}")
        elif decided == "approved" and outcome not in EXPECTED_ERRORS:
            self.wrong.append(f"an approved flow ended with {outcome}")
        elif decided == "denied" and outcome not in EXPECTED_ERRORS | {AccessDeniedError.__name__}:
            self.wrong.append(f"a denied flow ended with {outcome}")


# An approved flow may end with one of these errors because of a fault: the response with the token was lost, or faults
# and slow_down delayed the polls until the code expired, or a Retry-After ended after that.
EXPECTED_ERRORS = {"AnswerLostError", "ServerError", DeviceCodeExpiredError.__name__}


async def sign_in_repeatedly(
    session: OAuthSession, emulator: EmulatorProcess, results: Results, rng: random.Random, until: float
) -> None:
    """Sign one user in until the time `until`."""
    flow = DeviceFlow(session, client_sid=emulator.client_sid, client_secret=emulator.client_secret, scopes=["openid"])
    await asyncio.sleep(rng.uniform(0, INTERVAL))
    while time.monotonic() < until:
        decided, token = "no decision", None
        decision: asyncio.TimerHandle | None = None
        try:
            authorization = await flow.start()
            if rng.random() < 0.9:
                decided = "approved" if rng.random() < 0.9 else "denied"
                command = "approve" if decided == "approved" else "deny"
                decision = asyncio.get_running_loop().call_later(
                    rng.uniform(0, MAX_DECISION_TIME), emulator.send, command, authorization.user_code
                )
            token = (await flow.wait(authorization)).access_token
            outcome = "token received"
        except TwilioOAuthError as error:
            outcome = type(error).__name__
            if decided == "no decision" and outcome != DeviceCodeExpiredError.__name__:
                decided = "no code"
        except Exception as error:  # noqa: BLE001 - this test looks for such exceptions
            outcome = f"UNEXPECTED: {error!r}"
            results.wrong.append(outcome)
        if decision is not None:
            decision.cancel()
        results.record(decided, outcome, token)


def resources() -> dict[str, float]:
    """Return what must not grow: resident memory in MiB, open file descriptors, tasks."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        # Return free memory to the system, so that only used memory counts.
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory (MiB)": pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "tasks": len(asyncio.all_tasks()),
    }


async def soak(emulator: EmulatorProcess, flows: int, seconds: float, seed: int) -> Results:
    """Run `flows` users for `seconds`, and wait for the flows that are still running."""
    results, until = Results(), time.monotonic() + seconds
    async with (
        OAuthSession(emulator.account_sid, emulator.auth_token, base_url=emulator.base_url, timeout=5) as session,
        asyncio.TaskGroup() as group,
    ):
        for number in range(flows):
            rng = random.Random(seed * 1_000_003 + number)
            group.create_task(sign_in_repeatedly(session, emulator, results, rng, until))
    await asyncio.sleep(0.1)
    return results


async def main(options: argparse.Namespace) -> int:
    """Run the test and print the results; return 0 if it passed."""
    server = {"interval": INTERVAL, "expires_in": LIFETIME, "faults": options.faults, "seed": options.seed}
    async with emulator_process(**server) as emulator:
        # A warm-up with as many flows, longer than the lifetime of a code, so that caches and the allocator are filled.
        await soak(emulator, options.flows, WARM_UP, options.seed + 1)
        before = resources()
        started = time.process_time(), time.monotonic()
        results = await soak(emulator, options.flows, options.minutes * 60, options.seed)
        cpu, wall = time.process_time() - started[0], time.monotonic() - started[1]
        after = resources()
    results.wrong.extend(["a token was received twice"] * (len(results.tokens) - len(set(results.tokens))))
    results.wrong.extend(
        f"{name} grew from {before[name]:.1f} to {after[name]:.1f}"
        for name in before
        if after[name] > before[name] * GROWTH
    )
    print(
        f"{options.flows} users, {wall:.0f} s, faults on {options.faults:.0%} of the requests, CPU {cpu / wall:.0%}\n"
    )
    for outcome, count in sorted(results.outcomes.items()):
        print(f"{outcome:<50}{count:>10}")
    print()
    for name in before:
        print(f"{name:<50}{before[name]:>10.1f}{after[name]:>10.1f}")
    for wrong, count in collections.Counter(results.wrong).most_common(20):
        print(f"WRONG ({count}x): {wrong}")
    if not results.tokens:
        print("WRONG: no token was received")
    return 1 if results.wrong or not results.tokens else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--flows", type=int, default=2000)
    parser.add_argument("--faults", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    if os.environ.get("PYTHONMALLOC") != "malloc":
        # Python's allocator keeps a whole MiB for one small object; the system's allocator returns each free page.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONMALLOC": "malloc"})
    sys.exit(asyncio.run(main(parser.parse_args())))
