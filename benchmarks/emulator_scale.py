"""CPU time of a poll of the emulator with 100 and with 10,000 pending device codes, and memory per pending code.

    python benchmarks/emulator_scale.py

Two emulators run in this process. They are polled in turn over HTTP, with the same number of requests each, spread over
all their codes; the result is the median of the rounds. The script measures CPU time of the process, on which other
programs have little influence. It includes the time of the client, so a second result is measured without the client
and without HTTP, by calling the state machine directly. Then it measures memory, and checks that expired codes are
deleted. The exit code is 0 if all results are within their limits.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
import tracemalloc
from collections.abc import Sequence

import aiohttp
import attrs
from harness import Report, Series, Usage, cpu_ratios, in_turn

from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.rules.device_codes import REMEMBERED_AFTER_EXPIRY

FEW, MANY = 100, 10_000
ROUNDS, POLLS = 15, 200
MAX_RATIO_HTTP, MAX_RATIO_DIRECT = 1.25, 2.0
"""A direct poll takes a few microseconds, so one more cache miss is a large part of it."""
MAX_BYTES = 4096


@attrs.define
class LoadedEmulator:
    """An emulator and its pending device codes."""

    emulator: Emulator
    clock: VirtualClock
    http: aiohttp.ClientSession
    codes: list[str] = attrs.Factory(list[str])
    _next: int = 0

    async def grow(self, count: int) -> None:
        """Request `count` more codes."""
        form = {"ClientSid": self.emulator.client_sid, "Scopes": "openid"}
        for _ in range(count):
            async with self.http.post(self.emulator.base_url + "/v1/device/code", data=form) as response:
                assert response.status == 201
                self.codes.append((await response.json())["device_code"])
            self.emulator.requests.clear()

    def next_codes(self, count: int) -> Sequence[str]:
        """Return codes that were not polled recently, after advancing the clock, so that no poll is too fast."""
        self.clock.advance(self.emulator.policy.interval)
        # A large step, so that codes that are adjacent in memory are not polled one after the other.
        picked = [self.codes[(self._next + number) * 7919 % len(self.codes)] for number in range(count)]
        self._next += count
        return picked

    async def poll_over_http(self) -> Usage:
        """Return the CPU time of `POLLS` polls."""
        url = self.emulator.base_url + "/v1/token"
        form = {"GrantType": self.emulator.policy.device_grant_type, "ClientSid": self.emulator.client_sid}
        spent = 0.0
        for _ in range(POLLS // FEW):
            codes = self.next_codes(FEW)
            started = time.process_time()
            for code in codes:
                async with self.http.post(url, data={**form, "DeviceCode": code}) as response:
                    body = await response.json()
                assert body["error"] == "authorization_pending", body
            spent += time.process_time() - started
        self.emulator.requests.clear()
        return Usage(cpu=spent)

    async def poll_directly(self) -> Usage:
        """Return the CPU time of ten times as many polls without HTTP."""
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
        return Usage(cpu=spent)


async def check_polls(report: Report, few: LoadedEmulator, many: LoadedEmulator) -> None:
    """Poll both in turn."""
    over_http = await in_turn({"few": few.poll_over_http, "many": many.poll_over_http}, rounds=ROUNDS, calls=POLLS)
    direct = await in_turn({"few": few.poll_directly, "many": many.poll_directly}, rounds=ROUNDS, calls=POLLS * 10)
    add_ratio(report, "poll over HTTP", over_http, MAX_RATIO_HTTP)
    add_ratio(report, "poll directly", direct, MAX_RATIO_DIRECT)


def add_ratio(report: Report, group: str, series: dict[str, Series], limit: float) -> None:
    report.add(group, f"CPU with {FEW} codes", series["few"].cpu, "us")
    report.add(group, f"CPU with {MANY:,} codes", series["many"].cpu, "us")
    ratio = cpu_ratios(series["many"], series["few"])
    report.add(group, f"CPU: {MANY:,} codes / {FEW} codes", ratio, "x", at_most=limit)


def check_memory(report: Report) -> None:
    """Add the bytes per pending code with many codes, measured with tracemalloc."""
    backend = Emulator(clock=VirtualClock(auto=False))._backend  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    now = backend.now()
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(MANY):
        # As in real requests, each code gets strings of its own.
        backend.server.start_device(backend.default_app, ["openid", f"scope-{number}"], (), now)
    gc.collect()
    each = (tracemalloc.get_traced_memory()[0] - before) / MANY
    tracemalloc.stop()
    report.add("memory", f"bytes per pending code with {MANY:,} codes", each, "", at_most=MAX_BYTES)


async def check_expiry(report: Report, loaded: LoadedEmulator) -> None:
    """Check that the next request deletes all expired codes."""
    loaded.clock.advance(loaded.emulator.policy.expires_in + REMEMBERED_AFTER_EXPIRY)
    started = time.process_time()
    await loaded.grow(1)
    took = (time.process_time() - started) * 1000
    left = loaded.emulator.remembered_device_codes
    report.add("expired codes", "codes that are left after a request for a new one", left, "", at_least=1, at_most=1)
    report.add("expired codes", f"CPU of the request that deletes {MANY:,} codes", took, "ms")


async def main() -> int:
    """Measure, print the results and compare them with the limits."""
    report = Report(__file__, __doc__, packages=("aiohttp",))
    clocks = VirtualClock(auto=False), VirtualClock(auto=False)
    # The codes do not expire during the benchmark, although the clock is advanced before each round of polls.
    few, many = (Emulator(clock=clock, expires_in=86_400) for clock in clocks)
    basic = [aiohttp.encode_basic_auth(each.account_sid, each.auth_token) for each in (few, many)]
    async with (
        few,
        many,
        aiohttp.ClientSession(headers={"Authorization": basic[0]}) as http_to_few,
        aiohttp.ClientSession(headers={"Authorization": basic[1]}) as http_to_many,
    ):
        emulators = LoadedEmulator(few, clocks[0], http_to_few), LoadedEmulator(many, clocks[1], http_to_many)
        await emulators[0].grow(FEW)
        await emulators[1].grow(MANY)
        await check_polls(report, *emulators)
        check_memory(report)
        await check_expiry(report, emulators[1])
    return report.finish()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
