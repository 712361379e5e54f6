"""How long processes that share a store wait at an expiry until all have the one new token.

    python benchmarks/refresh_handover.py [--processes 4] [--rounds 50]

Each round an access token ends; every process asks for one at the same moment. One of them refreshes, the others wait
for its lock and find the result. Printed are the milliseconds from asking to having, of the one that refreshed and of
those that waited, for the file store and (where there is a ``redis-server``) for Redis.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from twilio_oauth_async import DeviceFlow, OAuthSession, TokenManager, TokenStore, VirtualClock
from twilio_oauth_async.emulator import Emulator

LIFETIME = 3600


def store_of(options: dict[str, str]) -> TokenStore:
    """A store on the storage that `options` name."""
    if "file" in options:
        from twilio_oauth_async.stores.file import FileTokenStore

        return FileTokenStore(options["file"])
    from redis.asyncio import Redis

    from twilio_oauth_async.stores.redis import RedisTokenStore

    return RedisTokenStore(Redis.from_url(options["redis"]))


def flow_of(session: OAuthSession, options: dict[str, Any]) -> DeviceFlow:
    """The grant whose tokens are refreshed."""
    return DeviceFlow(
        session, client_sid=options["client_sid"], client_secret=options["client_secret"], scopes=["openid"]
    )


async def work(options: dict[str, Any]) -> None:
    """One process: at each line of its input time moves on; it says how many milliseconds its token took."""
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
    """Milliseconds of those that refreshed, and of those that waited."""
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
            answers = [json.loads(await worker.stdout.readline()) for worker in workers if worker.stdout is not None]
            assert len({token for _, token in answers}) == 1, "they do not all have the same token"
            if number:  # the first round only loads what is there
                took = sorted(milliseconds for milliseconds, _ in answers)
                refreshed.append(took[0])
                waited.extend(took[1:])
            clock.advance(LIFETIME)
            seconds = LIFETIME
        assert len(emulator.requests.to("refresh")) == rounds, "more or fewer refreshes than expiries"
        for worker in workers:
            worker.kill()
            await worker.wait()
    return refreshed, waited


def show(name: str, kind: str, milliseconds: list[float]) -> None:
    """One line of the table."""
    ordered = sorted(milliseconds)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"{name:<8}{kind:<28}{statistics.median(ordered):>10.1f}{p99:>10.1f}")


async def main(processes: int, rounds: int) -> None:
    """Measure both stores."""
    print(f"{processes} processes, {rounds} expiries{'p50 ms':>21}{'p99 ms':>10}")
    with tempfile.TemporaryDirectory() as folder:
        refreshed, waited = await measure({"file": str(Path(folder, "state", "tokens.json"))}, processes, rounds)
    show("file", "the first to have it", refreshed)
    show("file", "those that waited for it", waited)
    if shutil.which("redis-server") is None:
        print("redis   not measured: there is no redis-server")
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = await asyncio.create_subprocess_exec(
        *("redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--loglevel", "warning"),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await asyncio.sleep(0.5)
        refreshed, waited = await measure({"redis": f"redis://127.0.0.1:{port}"}, processes, rounds)
    finally:
        server.kill()
        await server.wait()
    show("redis", "the first to have it", refreshed)
    show("redis", "those that waited for it", waited)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--worker", type=json.loads)
    arguments = parser.parse_args()
    asyncio.run(work(arguments.worker) if arguments.worker else main(arguments.processes, arguments.rounds))
