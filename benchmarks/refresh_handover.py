"""Time until all processes that share a store have the new token after an expiry.

    python benchmarks/refresh_handover.py [--processes 4] [--rounds 50]

In each round an access token expires, and all processes request a token at the same time. One of them refreshes it; the
others wait for the lock and then read the new token from the store. The figures are the milliseconds per request, of
the process that refreshed and of those that waited, for the file store and, if ``redis-server`` is installed, Redis.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import Report, Spread, percentile, redis_server

from twilio_oauth_async import DeviceFlow, OAuthSession, TokenManager, TokenStore, VirtualClock
from twilio_oauth_async.emulator import Emulator

LIFETIME = 3600


def store_of(options: dict[str, str]) -> TokenStore:
    """Open the store that `options` name."""
    if "file" in options:
        from twilio_oauth_async.stores.file import FileTokenStore

        return FileTokenStore(options["file"])
    from redis.asyncio import Redis

    from twilio_oauth_async.stores.redis import RedisTokenStore

    return RedisTokenStore(Redis.from_url(options["redis"]))


def flow_of(session: OAuthSession, options: dict[str, Any]) -> DeviceFlow:
    """Return the grant whose tokens are refreshed."""
    return DeviceFlow(
        session, client_sid=options["client_sid"], client_secret=options["client_secret"], scopes=["openid"]
    )


async def run_worker(options: dict[str, Any]) -> None:
    """Run one process: for each line of input, advance the clock, request a token and print its milliseconds."""
    clock = VirtualClock(auto=False)
    async with OAuthSession(*options["account"], base_url=options["base_url"], clock=clock) as session:
        manager = TokenManager(flow_of(session, options), store=store_of(options["store"]), key="me")
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            clock.advance(float(line))
            started = time.perf_counter()
            token = await manager.access_token()
            print(json.dumps([(time.perf_counter() - started) * 1e3, token]), flush=True)


async def measure(store: dict[str, str], processes: int, rounds: int) -> tuple[list[float], list[float]]:
    """Return the milliseconds of the processes that refreshed, and of those that waited."""
    clock = VirtualClock(auto=False)
    async with (
        Emulator(clock=clock, access_token_lifetime=LIFETIME, refresh_token_lifetime=10**9) as emulator,
        OAuthSession(emulator.account_sid, emulator.auth_token, base_url=emulator.base_url, clock=clock) as session,
    ):
        options = {
            "account": [emulator.account_sid, emulator.auth_token],
            "base_url": emulator.base_url,
            "client_sid": emulator.client_sid,
            "client_secret": emulator.client_secret,
            "store": store,
        }
        flow = flow_of(session, options)
        authorization = await flow.start()
        await emulator.approve(authorization.user_code)
        clock.advance(6)
        step = await flow.poll(authorization)
        assert hasattr(step, "token")
        await TokenManager(flow, store=store_of(store), key="me").adopt(step.token)
        workers = [
            await asyncio.create_subprocess_exec(
                sys.executable, __file__, "--worker", json.dumps(options),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )
            for _ in range(processes)
        ]  # fmt: skip
        refreshed: list[float] = []
        waited: list[float] = []
        seconds = clock.monotonic()
        for number in range(rounds + 1):
            for worker in workers:
                assert worker.stdin is not None
                worker.stdin.write(f"{seconds}\n".encode())
            results = [json.loads(await worker.stdout.readline()) for worker in workers if worker.stdout is not None]
            assert len({token for _, token in results}) == 1, "the processes do not have the same token"
            if number:  # the first round only loads the stored token
                took = sorted(milliseconds for milliseconds, _ in results)
                refreshed.append(took[0])
                waited.extend(took[1:])
            clock.advance(LIFETIME)
            seconds = LIFETIME
        assert len(emulator.requests.to("refresh")) == rounds, "more or fewer refreshes than expiries"
        for worker in workers:
            worker.kill()
            await worker.wait()
    return refreshed, waited


def add(report: Report, store: str, measured: tuple[list[float], list[float]]) -> None:
    """Add the figures of one store."""
    for kind, milliseconds in zip(("the process that refreshed", "the processes that waited"), measured, strict=True):
        report.add(store, f"{kind}, p50", Spread.of(milliseconds), "ms")
        report.add(store, f"{kind}, p99", percentile(milliseconds, 0.99), "ms")


async def main(processes: int, rounds: int) -> int:
    """Measure both stores."""
    report = Report(__file__, __doc__, packages=("redis",))
    report.note(f"{processes} processes, {rounds} expiries.")
    with tempfile.TemporaryDirectory() as folder:
        state = {"file": str(Path(folder, "state", "tokens.db"))}
        add(report, "file", await measure(state, processes, rounds))
        async with redis_server(Path(folder)) as server:
            if server is None:
                report.note("Redis was not measured: redis-server is not installed.")
            else:
                report.versions["redis-server"] = server.version
                add(report, "Redis", await measure({"redis": server.url}, processes, rounds))
    return report.finish()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--worker", type=json.loads)
    arguments = parser.parse_args()
    if arguments.worker:
        asyncio.run(run_worker(arguments.worker))
    else:
        sys.exit(asyncio.run(main(arguments.processes, arguments.rounds)))
