"""How many pending sign-ins one process polls in time: `DeviceFlowPool` with stores in memory, in a file and on Redis.

    python benchmarks/pool_scale.py [--flows 1000 2000 5000 10000] [--seconds 20]

A server in a process of its own responds to each poll with ``authorization_pending``; it does nothing else, so that it
needs less CPU time than the pool. All flows have an interval of 5 s. A poll is late by the time between the moment for
which it was scheduled and the moment at which the pool sends it. The CPU time is that of the process with the pool,
divided by the number of polls. `close` and `take up` are the times from the call until the flows are given back, and
until all of them run in the next pool. At last, two processes take up the flows of one store at the same time.
"""

# ruff: noqa: SLF001 - what is measured has no public name

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import resource
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import attrs
from harness import Report, percentile, redis_server

from twilio_oauth_async import DeviceFlow, DeviceFlowPool, OAuthSession
from twilio_oauth_async.sign_in.flow_life import LEASE
from twilio_oauth_async.sign_in.running import RunningFlow
from twilio_oauth_async.stores.base import FlowStore, TokenStore
from twilio_oauth_async.stores.memory import MemoryFlowStore, MemoryTokenStore

INTERVAL = 5
MANY = 2_000
"""The number of flows for which there are limits."""
MAX_LATE_P99 = 500.0
MAX_CPU_RATIO = 2.0
MAX_SECONDS = 2.0
MAX_SHARE = 0.6
STARTED_TOGETHER = 64

PENDING = b'{"error":"authorization_pending"}'
CODE = (
    '{"device_code":"%d","user_code":"ABCD-EFGH","verification_uri":"http://127.0.0.1/activate",'
    '"expires_in":3600,"interval":%d}'
)


class StubServer(asyncio.Protocol):
    """Responds to requests that arrive whole, which they do on loopback."""

    codes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, separator, body = self.received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        self.received = b""
        if b"/v1/device/code" in head:
            StubServer.codes += 1
            status, content = b"201 Created", (CODE % (StubServer.codes, INTERVAL)).encode()
        else:
            status, content = b"400 Bad Request", PENDING
        self.transport.write(
            b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (status, len(content), content)
        )


async def serve() -> None:
    """Run the server until the input ends; called in a child process."""
    server = await asyncio.get_running_loop().create_server(StubServer, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextlib.asynccontextmanager
async def child(*arguments: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Run this script with `arguments`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, *arguments), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Lateness:
    """Records by how many milliseconds polls are late, while it is on."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.is_on = False
        poll = RunningFlow._poll
        late = self

        async def measured(running: RunningFlow) -> Any:
            if late.is_on:
                now = running.life.steady(running._shared.leases.now())
                due = running.life.flow.authorization.next_poll_at
                late.late.append((now - due).total_seconds() * 1e3)
            return await poll(running)

        RunningFlow._poll = measured  # type: ignore[method-assign]


@attrs.frozen
class Measured:
    """What one process measured."""

    polls: int
    late: Sequence[float]
    cpu: float
    """Microseconds for a poll."""


def stores_of(options: dict[str, str]) -> tuple[TokenStore, FlowStore]:
    """Open the stores that `options` name."""
    if "folder" in options:
        from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore

        return FileTokenStore(Path(options["folder"], "tokens.db")), FileFlowStore(Path(options["folder"], "flows.db"))
    import redis.asyncio

    from twilio_oauth_async.stores.redis import RedisFlowStore, RedisTokenStore

    client = redis.asyncio.Redis.from_url(options["redis"])
    return RedisTokenStore(client), RedisFlowStore(client)


def pool_of(session: OAuthSession, tokens: TokenStore, flows: FlowStore) -> DeviceFlowPool:
    flow = DeviceFlow(session, client_sid="OQ1", scopes=["openid"])
    return DeviceFlowPool(flow, tokens=tokens, flows=flows, max_flows=20_000)


async def steady_state(lateness: Lateness, seconds: float) -> Measured:
    """Measure the polls of the next seconds."""
    gc.collect()
    lateness.late.clear()
    lateness.is_on = True
    before = time.process_time()
    await asyncio.sleep(seconds)
    lateness.is_on = False
    return Measured(
        len(lateness.late), list(lateness.late), (time.process_time() - before) / max(1, len(lateness.late)) * 1e6
    )


async def until_running(pool: DeviceFlowPool, number: int) -> None:
    while len(pool._members) < number:  # noqa: ASYNC110 - there is nothing to wait for
        await asyncio.sleep(0.005)


async def one_process(
    url: str, stores: tuple[TokenStore, FlowStore], number: int, seconds: float, lateness: Lateness
) -> dict[str, float]:
    """Submit `number` flows, and return the figures of one process."""
    async with OAuthSession(base_url=url) as session:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pool = pool_of(session, *stores)
        await pool.open()
        places = asyncio.Semaphore(STARTED_TOGETHER)

        async def submit(index: int) -> None:
            async with places:
                await pool.submit(f"user {index}")

        await asyncio.gather(*(submit(index) for index in range(number)))
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / number
        await asyncio.sleep(INTERVAL)
        measured = await steady_state(lateness, seconds)
        closing = time.perf_counter()
        await pool.close()
        closing = time.perf_counter() - closing
        pool = pool_of(session, *stores)
        taking = time.perf_counter()
        await pool.open()
        await until_running(pool, number)
        taking = time.perf_counter() - taking
        await pool.close()
    return {
        "polls": measured.polls / seconds,
        "p50": percentile(measured.late, 0.5),
        "p99": percentile(measured.late, 0.99),
        "early": sum(late < 0 for late in measured.late),
        "cpu": measured.cpu,
        "memory": memory,
        "close": closing,
        "take up": taking,
    }


async def worker(options: dict[str, Any]) -> None:
    """Take up flows of a store that is shared with another process; called in a child process."""
    lateness = Lateness()
    async with OAuthSession(base_url=options["url"]) as session:
        pool = pool_of(session, *stores_of(options["stores"]))
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        started = time.perf_counter()
        await pool.open()
        taken, changed_at = -1, started
        while time.perf_counter() - changed_at < 1:
            if len(pool._members) != taken:
                taken, changed_at = len(pool._members), time.perf_counter()
            await asyncio.sleep(0.005)
        await asyncio.sleep(LEASE + INTERVAL)  # until then each poll is preceded by a look into the store
        measured = await steady_state(lateness, options["seconds"])
        result = {"flows": taken, "took": changed_at - started, "p99": percentile(measured.late, 0.99)}
        print(json.dumps(result), flush=True)
        await pool.close()


async def two_processes(url: str, options: dict[str, str], seconds: float) -> list[dict[str, float]]:
    """Let two processes take up the flows of one store; return what each has measured."""
    arguments = json.dumps({"url": url, "stores": options, "seconds": seconds})
    async with child("--worker", arguments) as first, child("--worker", arguments) as second:
        processes = (first, second)
        for process in processes:
            assert process.stdout is not None
            await process.stdout.readline()
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(b"start\n")
        return [json.loads(await process.stdout.readline()) for process in processes if process.stdout is not None]


def add(report: Report, store: str, number: int, figures: dict[str, float], memory: dict[str, float] | None) -> None:
    """Add the figures of one store and number of flows."""
    group, has_limit = f"{store}, {number:,} flows", number == MANY
    print(group, {name: round(value, 3) for name, value in figures.items()}, flush=True)
    report.add(group, "polls", figures["polls"], "/s")
    report.add(group, "late, p50", figures["p50"], "ms")
    report.add(group, "late, p99", figures["p99"], "ms", at_most=MAX_LATE_P99 if has_limit else None)
    report.add(group, "polls that were early", figures["early"], "", at_most=0)
    report.add(group, "CPU of a poll", figures["cpu"], "us")
    if memory is not None:
        limit = MAX_CPU_RATIO if has_limit else None
        report.add(group, "CPU of a poll / with stores in memory", figures["cpu"] / memory["cpu"], "x", at_most=limit)
    report.add(group, "memory of a flow, at most", figures["memory"], "KiB")
    report.add(group, "close", figures["close"], "s", at_most=MAX_SECONDS if has_limit else None)
    report.add(group, "take up", figures["take up"], "s", at_most=MAX_SECONDS if has_limit else None)


async def main(numbers: Sequence[int], seconds: float) -> int:
    """Measure all stores."""
    report = Report(__file__, __doc__, packages=("redis", "aiohttp"))
    report.note(f"Each measurement of polls lasted {seconds:g} s. The interval was {INTERVAL} s.")
    lateness = Lateness()
    with tempfile.TemporaryDirectory() as temporary:
        async with child("--server") as server, redis_server(Path(temporary)) as redis:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(await server.stdout.readline())}"
            if redis is None:
                report.note("Redis was not measured: redis-server is not installed.")
            for number in numbers:
                memory = await one_process(url, (MemoryTokenStore(), MemoryFlowStore()), number, seconds, lateness)
                add(report, "memory", number, memory, None)
                shared = {"file": {"folder": f"{temporary}/{number}"}}
                if redis is not None:
                    shared["Redis"] = {"redis": f"{redis.url}/{numbers.index(number)}"}
                for name, options in shared.items():
                    figures = await one_process(url, stores_of(options), number, seconds, lateness)
                    add(report, name, number, figures, memory)
                    if number == MANY:
                        both = await two_processes(url, options, seconds)
                        group = f"{name}, {number:,} flows, two processes"
                        assert sum(each["flows"] for each in both) == number, "a flow was not taken up"
                        share = max(each["flows"] for each in both) / number
                        report.add(group, "larger share", share, "", at_most=MAX_SHARE)
                        report.add(group, "take up", max(each["took"] for each in both), "s", at_most=MAX_SECONDS)
                        late = max(each["p99"] for each in both)
                        report.add(group, "late, p99", late, "ms", at_most=MAX_LATE_P99)
    return report.finish(write=MANY in numbers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--flows", type=int, nargs="*", default=[1_000, 2_000, 5_000, 10_000])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--server", action="store_true")
    parser.add_argument("--worker", type=json.loads)
    arguments = parser.parse_args()
    if arguments.server:
        asyncio.run(serve())
    elif arguments.worker:
        asyncio.run(worker(arguments.worker))
    else:
        sys.exit(asyncio.run(main(arguments.flows, arguments.seconds)))
