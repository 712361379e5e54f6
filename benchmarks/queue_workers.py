"""What do sign-ins on NATS cost, beside the same sign-ins as coroutines of one process, and how do workers scale?

    python benchmarks/queue_workers.py [--flows 10000] [--seconds 30] [--workers 1 2 4]

Each sign-in is pending, and is polled each 5 s. A raw server responds from a process of its own; so do nats-server and
each worker. A process is measured once each sign-in was polled, for `seconds`: its CPU time (not that of the servers),
how late polls were sent, and its peak of memory.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import nats
from harness import RESULTS, Report, write_plot
from harness.rounds import percentile

from twilio_oauth_async import DeviceFlow, MemoryTokenStore, OAuthSession, telemetry
from twilio_oauth_async.sign_in.nats import DeviceFlowQueue

INTERVAL = 5
CLIENT = {"client_sid": "OQ" + "0" * 32, "client_secret": "s" * 32, "scopes": ["openid"]}
ACCOUNT = ("AC" + "0" * 32, "t" * 32)


class RawServer(asyncio.Protocol):
    """Issues codes, and says that no user has decided. Used on loopback, where a request arrives whole."""

    numbers = itertools.count()
    pending = b'{"error":"authorization_pending","error_description":"The user has not decided."}'

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        is_code = data.startswith(b"POST /v1/device/code")
        body, status = (self.code(), b"200 OK") if is_code else (self.pending, b"400 Bad Request")
        head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        self.transport.write(head % (status, len(body)) + body)  # type: ignore[attr-defined]

    def code(self) -> bytes:
        number = next(self.numbers)
        link = "https://www.twilio.com/activate"
        return json.dumps(
            {
                "device_code": f"{number:040}",
                "user_code": f"{number:08}",
                "verification_uri": link,
                "verification_uri_complete": f"{link}?user_code={number:08}",
                "expires_in": 3600,
                "interval": INTERVAL,
            }
        ).encode()


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(RawServer, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


class Observer:
    """Keeps when polls were late. Its cost is part of the figures."""

    def __init__(self) -> None:
        self.lateness: list[float] = []
        self.polls = 0

    def span(self, name: str, attributes: telemetry.Attributes) -> Any:  # noqa: ARG002 - an Observer
        return nullcontext({})

    def count(self, name: str, attributes: telemetry.Attributes, amount: int = 1) -> None:  # noqa: ARG002
        self.polls += name == "twilio_oauth.polls"

    def record(self, name: str, seconds: float, attributes: telemetry.Attributes) -> None:  # noqa: ARG002
        if name == "twilio_oauth.queue.lateness":
            self.lateness.append(seconds)

    def set(self, name: str, value: int, attributes: telemetry.Attributes) -> None:
        """Ignore gauges."""


async def measure(seconds: float, observer: Observer) -> None:
    """Measure this process once its parent says so, and print the figures."""
    await asyncio.to_thread(sys.stdin.readline)
    observer.lateness.clear()
    observer.polls, began, cpu = 0, time.monotonic(), time.process_time()
    await asyncio.sleep(seconds)
    figures = {
        "seconds": time.monotonic() - began,
        "cpu": time.process_time() - cpu,
        "polls": observer.polls,
        "lateness": observer.lateness,
        "peak_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }
    print(json.dumps(figures), flush=True)


@asynccontextmanager
async def flow_at(port: int) -> AsyncGenerator[DeviceFlow]:
    async with OAuthSession(*ACCOUNT, base_url=f"http://127.0.0.1:{port}", max_connections=200) as session:
        yield DeviceFlow(session, **CLIENT)  # type: ignore[arg-type]


async def run_worker(port: int, nats_url: str, seconds: float) -> None:
    observer = telemetry.observer = Observer()
    async with flow_at(port) as flow:
        client = await nats.connect(nats_url)
        async with DeviceFlowQueue(client.jetstream(), flow, tokens=MemoryTokenStore(), concurrency=200):
            await measure(seconds, observer)
        await client.close()


async def run_coroutines(port: int, flows: int, seconds: float) -> None:
    observer = telemetry.observer = Observer()
    async with flow_at(port) as flow:
        tasks = [asyncio.create_task(flow.wait(await flow.start())) for _ in range(flows)]
        await measure(seconds, observer)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def start(*args: object) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, *map(str, args)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def figures_of(processes: list[subprocess.Popen[str]], settle: float) -> list[dict[str, Any]]:
    """Let the processes run for `settle` seconds, then measure them together."""
    time.sleep(settle)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    return [json.loads(process.communicate()[0]) for process in processes]


async def submit(port: int, nats_url: str, flows: int) -> None:
    client = await nats.connect(nats_url)
    async with (
        flow_at(port) as flow,
        DeviceFlowQueue(client.jetstream(), flow, tokens=MemoryTokenStore(), concurrency=0) as queue,
    ):
        for begin in range(0, flows, 100):
            await asyncio.gather(*(queue.submit(f"user-{begin + number}") for number in range(100)))
    await client.close()


def with_queue(port: int, workers: int, flows: int, seconds: float) -> list[dict[str, Any]]:
    """Return the figures of each of `workers`, on a new NATS server."""
    program = shutil.which("nats-server") or "/usr/sbin/nats-server"
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "-a", "127.0.0.1", "-p", "42221", "-js", "-sd", folder, "--log", str(Path(folder, "log"))]
        server = subprocess.Popen(command)
        try:
            time.sleep(1)
            url = "nats://127.0.0.1:42221"
            asyncio.run(submit(port, url, flows))
            processes = [start("worker", port, url, seconds) for _ in range(workers)]
            return figures_of(processes, settle=3 * INTERVAL)
        finally:
            server.kill()
            server.wait()


def add(report: Report, group: str, found: list[dict[str, Any]], flows: int) -> float:
    """Add the figures of processes that shared `flows`, and return the CPU time of a poll in milliseconds."""
    polls = sum(each["polls"] for each in found)
    cpu = sum(each["cpu"] for each in found) * 1000 / polls
    late = [seconds for each in found for seconds in each["lateness"]]
    report.add(group, "polls a second", polls / found[0]["seconds"], "1/s")
    report.add(group, "share of the polls that are due", polls / found[0]["seconds"] * INTERVAL / flows, "")
    report.add(group, "CPU of a poll", cpu, "ms")
    if late:
        report.add(group, "lateness, median", percentile(late, 0.5) * 1000, "ms")
        report.add(group, "lateness, 99 %", percentile(late, 0.99) * 1000, "ms")
    report.add(group, "memory of a process, peak", max(each["peak_kib"] for each in found) / 1024, "MiB")
    return cpu


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flows", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    given = parser.parse_args()
    report = Report(__file__, __doc__, packages=["nats-py"])
    server = start("server")
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        settle = 3 * INTERVAL + given.flows / 500
        alone = figures_of([start("coroutines", port, given.flows, given.seconds)], settle=settle)
        cpu = add(report, "coroutines of one process", alone, given.flows)
        polled: list[tuple[float, float]] = []
        for workers in given.workers:
            group = f"{workers} worker{'s' * (workers > 1)}"
            found = with_queue(port, workers, given.flows, given.seconds)
            report.add(group, "CPU of a poll, beside coroutines", add(report, group, found, given.flows) / cpu, "x")
            polled.append((workers, sum(each["polls"] for each in found) / found[0]["seconds"]))
        due = given.flows / INTERVAL
        write_plot(
            RESULTS / "queue_workers.svg",
            f"Polls a second: {given.flows:,} sign-ins at {INTERVAL} s",
            "workers",
            "polls a second",
            {"sent": polled, "due": [(workers, due) for workers, _ in polled]},
        )
    finally:
        server.kill()
        server.wait()
    return report.finish()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["server"]:
            asyncio.run(serve())
        case ["worker", port, url, seconds]:
            asyncio.run(run_worker(int(port), url, float(seconds)))
        case ["coroutines", port, flows, seconds]:
            asyncio.run(run_coroutines(int(port), int(flows), float(seconds)))
        case _:
            sys.exit(main())
