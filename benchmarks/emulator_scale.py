"""What polling the emulator costs with 100 and with 10,000 pending device codes, and what a pending code weighs.

    python benchmarks/emulator_scale.py

Two emulators stand side by side in this process and are polled turn about over HTTP, the same number of requests
each, spread over all their codes; the median of the rounds counts. Measured is the process's CPU time, which other
programs on the machine do not change much; the client's share of it is the same for both, so a second figure is taken
without it and without HTTP, at the state machine itself. Then memory, and whether expired codes are gone. The exit
code tells whether all bounds held.
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
import tracemalloc
from collections.abc import Sequence

import aiohttp
import attrs

from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.rules.device_codes import REMEMBERED_AFTER_EXPIRY

FEW, MANY = 100, 10_000
ROUNDS, POLLS = 15, 200
MOST_TIMES_OVER_HTTP, MOST_TIMES_INSIDE = 1.25, 2.0
"""Inside a poll takes a few microseconds, of which one more missed cache line is a large part."""
MOST_BYTES = 4096


@attrs.define
class Crowd:
    """An emulator and the device codes that are pending there."""

    emulator: Emulator
    clock: VirtualClock
    http: aiohttp.ClientSession
    codes: list[str] = attrs.Factory(list[str])
    _turn: int = 0

    async def grow(self, count: int) -> None:
        """Ask for `count` codes more."""
        form = {"ClientSid": self.emulator.client_sid, "Scopes": "openid"}
        for _ in range(count):
            async with self.http.post(self.emulator.base_url + "/v1/device/code", data=form) as answer:
                assert answer.status == 201
                self.codes.append((await answer.json())["device_code"])
            self.emulator.requests.clear()

    def next_codes(self, count: int) -> Sequence[str]:
        """Some codes, other ones each time, as long as there are others. Nobody polls one of them too fast."""
        self.clock.advance(self.emulator.policy.interval)
        # A large step, so that neighbours in memory are not neighbours in time.
        picked = [self.codes[(self._turn + number) * 7919 % len(self.codes)] for number in range(count)]
        self._turn += count
        return picked

    async def poll_over_http(self) -> float:
        """Microseconds a poll."""
        url = self.emulator.base_url + "/v1/token"
        form = {"GrantType": self.emulator.policy.device_grant_type, "ClientSid": self.emulator.client_sid}
        spent = 0.0
        for _ in range(POLLS // FEW):
            codes = self.next_codes(FEW)
            started = time.process_time()
            for code in codes:
                async with self.http.post(url, data={**form, "DeviceCode": code}) as answer:
                    body = await answer.json()
                assert body["error"] == "authorization_pending", body
            spent += time.process_time() - started
        self.emulator.requests.clear()
        return spent / POLLS * 1e6

    def poll_inside(self) -> float:
        """Microseconds a poll, without HTTP."""
        backend = self.emulator._backend  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        server, app = backend.server, backend.default_app
        spent = 0.0
        for _ in range(POLLS // FEW * 10):
            codes, now = self.next_codes(FEW), backend.now()
            started = time.process_time()
            errors: list[str] = []
            for code in codes:
                try:
                    server.exchange_device(app, code, now, authenticated=False)
                except ErrorResponse as error:
                    errors.append(error.code)
            spent += time.process_time() - started
            assert errors == ["authorization_pending"] * FEW
        return spent / (POLLS * 10) * 1e6


async def flatness(few: Crowd, many: Crowd) -> list[bool]:
    """Poll both turn about and judge the ratios."""
    over_http: list[tuple[float, float]] = []
    inside: list[tuple[float, float]] = []
    for _ in range(ROUNDS):
        over_http.append((await few.poll_over_http(), await many.poll_over_http()))
        inside.append((few.poll_inside(), many.poll_inside()))
    judged: list[bool] = []
    for name, rounds, most in (
        ("poll over HTTP", over_http, MOST_TIMES_OVER_HTTP),
        ("poll inside", inside, MOST_TIMES_INSIDE),
    ):
        of_few, of_many = (statistics.median(figures) for figures in zip(*rounds, strict=True))
        ratio = of_many / of_few
        print(f"{name:<16} {of_few:8.1f} us at {FEW}, {of_many:8.1f} us at {MANY:,}: {ratio:.2f}x (at most {most}x)")
        judged.append(ratio <= most)
    return judged


def weight() -> bool:
    """Bytes that a pending code takes where there are many, counted by Python's own book of allocations."""
    backend = Emulator(clock=VirtualClock(auto=False))._backend  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    now = backend.now()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(MANY):
        # As a request brings them: strings of its own, none shared with another.
        backend.server.start_device(backend.default_app, ["openid", f"scope-{number}"], (), now)
    gc.collect()
    each = (tracemalloc.get_traced_memory()[0] - before) / MANY
    tracemalloc.stop()
    print(f"memory           {each:8.0f} bytes a pending code at {MANY:,} (at most {MOST_BYTES})")
    return each <= MOST_BYTES


async def sweep(crowd: Crowd) -> bool:
    """Whether the expired ones are gone as soon as anybody comes."""
    crowd.clock.advance(crowd.emulator.policy.expires_in + REMEMBERED_AFTER_EXPIRY)
    started = time.process_time()
    await crowd.grow(1)
    took = (time.process_time() - started) * 1000
    left = crowd.emulator.remembered_device_codes
    print(f"swept            {left} left after all have expired, but for a new one (1); it took {took:.0f} ms")
    return left == 1


async def main() -> int:
    """Measure, print, and judge."""
    clocks = VirtualClock(auto=False), VirtualClock(auto=False)
    # Codes that outlive the benchmark, however often the clock moves on so that nobody polls too fast.
    few, many = (Emulator(clock=clock, expires_in=86_400) for clock in clocks)
    basic = [aiohttp.encode_basic_auth(each.account_sid, each.auth_token) for each in (few, many)]
    async with (
        few,
        many,
        aiohttp.ClientSession(headers={"Authorization": basic[0]}) as http_to_few,
        aiohttp.ClientSession(headers={"Authorization": basic[1]}) as http_to_many,
    ):
        crowds = Crowd(few, clocks[0], http_to_few), Crowd(many, clocks[1], http_to_many)
        await crowds[0].grow(FEW)
        await crowds[1].grow(MANY)
        held = [*await flatness(*crowds), weight(), await sweep(crowds[1])]
    return int(not all(held))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
