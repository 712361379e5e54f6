"""Many device flows against a server that breaks: is every approval accounted for, and does anything grow?

    python benchmarks/soak.py --minutes 10 --flows 2000 --faults 0.05

Each of ``--flows`` users signs in again and again until the time is up; most approve, some refuse, some never come.
It fails where an approval was neither delivered nor reported as a typed error, where a token came twice, where an
exception came out that is not the library's, or where memory, sockets or tasks stay more than a tenth above the start.
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

INTERVAL, LIFETIME, LONGEST_THOUGHT, WARM_UP, GROWTH = 2, 25, 12.0, 30, 1.10


class Books:
    """What was decided on the one side, and what came of it on the other."""

    def __init__(self) -> None:
        self.outcomes: collections.Counter[str] = collections.Counter()
        # As numbers in one block: what is kept of 100,000 tokens must not look like a leak.
        self.tokens = array.array("q")
        self.wrong: list[str] = []

    def settle(self, decided: str, outcome: str, token: str | None) -> None:
        """Enter one flow; `token` where one was delivered."""
        self.outcomes[f"{decided}: {outcome}"] += 1
        if token is not None:
            self.tokens.append(hash(token))
            if decided != "approved":
                self.wrong.append(f"a token for a flow that was {decided}")
        elif decided == "approved" and outcome not in REPORTED:
            self.wrong.append(f"an approval ended as {outcome}")
        elif decided == "refused" and outcome not in REPORTED | {AccessDeniedError.__name__}:
            self.wrong.append(f"a refusal ended as {outcome}")


# An approval may get lost in a fault and then be reported as one of these: the answer with the token was dropped, or
# faults and slow_down used up the time that was left.
REPORTED = {"AnswerLostError", DeviceCodeExpiredError.__name__}


async def sign_in_again_and_again(
    session: OAuthSession, emulator: EmulatorProcess, books: Books, luck: random.Random, until: float
) -> None:
    """One user."""
    flow = DeviceFlow(session, client_sid=emulator.client_sid, client_secret=emulator.client_secret, scopes=["openid"])
    await asyncio.sleep(luck.uniform(0, INTERVAL))
    while time.monotonic() < until:
        decided, token = "never decided on", None
        thinking: asyncio.TimerHandle | None = None
        try:
            authorization = await flow.start()
            if luck.random() < 0.9:
                decided = "approved" if luck.random() < 0.9 else "refused"
                verb = "approve" if decided == "approved" else "deny"
                thinking = asyncio.get_running_loop().call_later(
                    luck.uniform(0, LONGEST_THOUGHT), emulator.order, verb, authorization.user_code
                )
            token = (await flow.wait(authorization)).access_token
            outcome = "delivered"
        except TwilioOAuthError as error:
            outcome = type(error).__name__
            if decided == "never decided on" and outcome != DeviceCodeExpiredError.__name__:
                decided = "no code"
        except Exception as error:  # noqa: BLE001 - this is what the soak is there to find
            outcome = f"NOT OURS: {error!r}"
            books.wrong.append(outcome)
        if thinking is not None:
            thinking.cancel()
        books.settle(decided, outcome, token)


def level() -> dict[str, float]:
    """What must not grow: resident memory in MiB, open descriptors, tasks."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        # What is free belongs to nobody: the allocator is told to give it back, so that only what is held counts.
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory (MiB)": pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "tasks": len(asyncio.all_tasks()),
    }


async def soak(emulator: EmulatorProcess, flows: int, seconds: float, seed: int) -> Books:
    """Run `flows` users for `seconds`, and let those under way finish."""
    books, until = Books(), time.monotonic() + seconds
    async with (
        OAuthSession(emulator.account_sid, emulator.auth_token, base_url=emulator.base_url, timeout=5) as session,
        asyncio.TaskGroup() as group,
    ):
        for number in range(flows):
            luck = random.Random(seed * 1_000_003 + number)
            group.create_task(sign_in_again_and_again(session, emulator, books, luck, until))
    await asyncio.sleep(0.1)
    return books


async def main(options: argparse.Namespace) -> int:
    """Run it and print the table; 0 where all is well."""
    server = {"interval": INTERVAL, "expires_in": LIFETIME, "faults": options.faults, "seed": options.seed}
    async with emulator_process(**server) as emulator:
        # As many flows for longer than a code lives first: what is made once and what the allocator keeps is there now.
        await soak(emulator, options.flows, WARM_UP, options.seed + 1)
        before = level()
        started = time.process_time(), time.monotonic()
        books = await soak(emulator, options.flows, options.minutes * 60, options.seed)
        cpu, wall = time.process_time() - started[0], time.monotonic() - started[1]
        after = level()
    books.wrong.extend(["a token came twice"] * (len(books.tokens) - len(set(books.tokens))))
    books.wrong.extend(
        f"{name} grew from {before[name]:.1f} to {after[name]:.1f}"
        for name in before
        if after[name] > before[name] * GROWTH
    )
    print(
        f"{options.flows} users, {wall:.0f} s, faults on {options.faults:.0%} of the requests, CPU {cpu / wall:.0%}\n"
    )
    for outcome, count in sorted(books.outcomes.items()):
        print(f"{outcome:<50}{count:>10}")
    print()
    for name in before:
        print(f"{name:<50}{before[name]:>10.1f}{after[name]:>10.1f}")
    for wrong, count in collections.Counter(books.wrong).most_common(20):
        print(f"WRONG ({count}x): {wrong}")
    if not books.tokens:
        print("WRONG: nothing was delivered")
    return 1 if books.wrong or not books.tokens else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--flows", type=int, default=2000)
    parser.add_argument("--faults", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    if os.environ.get("PYTHONMALLOC") != "malloc":
        # Python's own allocator keeps a whole MiB for one small object in it; the system's gives back each free page.
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONMALLOC": "malloc"})
    sys.exit(asyncio.run(main(parser.parse_args())))
