"""One process with many device flows that wait, for `waiting_flows.py`; it prints what it has measured as JSON.

`ours` is ``DeviceFlow.wait`` for each flow; `bare` is what a user of aiohttp writes: a coroutine for each flow that
sleeps and posts.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import attrs
from constant_server import PENDING_CODE
from harness import LoopDelay, percentile

from twilio_oauth_async import DEVICE_CODE_GRANT, DeviceAuthorization, DeviceFlow, OAuthSession
from twilio_oauth_async.grants.device_poller import DevicePoller
from twilio_oauth_async.protocol.polling import MAX_SPREAD

CLIENT_SID = "OQ" + "2" * 32
START, FLOWS_A_SECOND = 2.0, 15_000
"""The first poll is due after these seconds, or later if there are more flows than can be created until then."""


@attrs.frozen
class Task:
    """What one process has to do."""

    client: str
    url: str
    flows: int
    interval: float
    seconds: float
    together: bool = False
    """All flows were started at the same moment; otherwise they are spread over one interval."""
    connections: int = 256
    thresholds: tuple[int, int, int] | None = None
    """For ``gc.set_threshold``; None: those of Python."""
    warm_up: float = 0.0
    """Seconds before the measurement, after the first poll was due."""


def record_lateness(late: list[float]) -> None:
    """Let each poll of this package record in `late` by how many seconds it comes after the time when it was due."""
    poll = DevicePoller.poll

    def recorded(self: DevicePoller, state: DeviceAuthorization) -> Any:
        late.append((self._now() - state.next_poll_at).total_seconds())
        return poll(self, state)

    DevicePoller.poll = recorded  # type: ignore[method-assign]


def memory() -> int:
    """Return the bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def code_of(number: int) -> str:
    """Return a device code of 40 characters."""
    return f"{PENDING_CODE}{number:033}"


async def bare(task: Task, late: list[float], start: Callable[[Callable[[int, float], Awaitable[Any]]], None]) -> None:
    """Start the coroutines that a user of aiohttp writes."""
    http = aiohttp.ClientSession(
        headers={"Authorization": aiohttp.encode_basic_auth("AC" + "0" * 32, "1" * 32)},
        timeout=aiohttp.ClientTimeout(total=30),
        connector=aiohttp.TCPConnector(limit=task.connections),
    )
    url = task.url + "/v1/token"

    async def wait(number: int, first: float) -> Any:
        code, seconds = code_of(number), first
        while True:
            due = time.monotonic() + seconds
            await asyncio.sleep(seconds)
            late.append(time.monotonic() - due)
            data = {"GrantType": DEVICE_CODE_GRANT, "ClientSid": CLIENT_SID, "DeviceCode": code}
            async with http.post(url, data=data, headers={"Accept": "application/json"}) as response:
                body = await response.json()
            if body.get("error") != "authorization_pending":
                return body
            seconds = task.interval

    start(wait)


async def ours(task: Task, late: list[float], start: Callable[[Callable[[int, float], Awaitable[Any]]], None]) -> None:
    """Start one ``DeviceFlow.wait`` for each flow."""
    session = OAuthSession("AC" + "0" * 32, "1" * 32, base_url=task.url, max_connections=task.connections)
    await session.open()
    record_lateness(late)
    flow = DeviceFlow(session, client_sid=CLIENT_SID, scopes=["openid"])

    def wait(number: int, first: float) -> Awaitable[Any]:
        now = datetime.now(UTC)
        # What `DeviceFlow.start` adds to the first wait.
        spread = random.random() * MAX_SPREAD * task.interval if task.together else 0.0
        state = DeviceAuthorization(
            client_sid=CLIENT_SID,
            scopes=("openid",),
            device_code=code_of(number),
            user_code=f"ABCD-{number:04}",
            verification_uri="https://www.twilio.com/activate",
            interval=task.interval,
            expires_at=now + timedelta(days=1),
            next_poll_at=now + timedelta(seconds=first + spread),
        )
        return flow.wait(state)  # no coroutine around it, which would keep the first state

    start(wait)


async def main(task: Task) -> None:
    """Start all flows, wait until they have begun, measure, print."""
    late, tasks = list[float](), list[asyncio.Task[Any]]()
    gc.collect()
    before, first_due = memory(), time.monotonic() + max(START, task.flows / FLOWS_A_SECOND)

    def start(wait: Callable[[int, float], Awaitable[Any]]) -> None:
        loop = asyncio.get_running_loop()
        for number in range(task.flows):
            first = 0.0 if task.together else task.interval * number / task.flows
            # `wait` gets the seconds from its own start, which comes after that of all others.
            coroutine = started(wait, number, first_due + first)
            tasks.append(loop.create_task(coroutine))

    async def started(wait: Callable[[int, float], Awaitable[Any]], number: int, at: float) -> Any:
        return await wait(number, max(0.0, at - time.monotonic()))

    await {"bare": bare, "ours": ours}[task.client](task, late, start)
    await asyncio.sleep(max(0.0, first_due - 0.3 - time.monotonic()))
    gc.collect()
    used = (memory() - before) / task.flows
    await asyncio.sleep(max(0.0, first_due + task.warm_up - 0.1 - time.monotonic()))
    async with aiohttp.ClientSession() as http:
        await (await http.get(task.url + "/timing")).read()
        if task.thresholds is not None:
            gc.set_threshold(*task.thresholds)
        late.clear()
        collections = [each["collections"] for each in gc.get_stats()]
        cpu, since = time.process_time(), time.monotonic()
        delay = LoopDelay()
        if task.together:
            async with delay:
                await asyncio.sleep(task.seconds)
        else:
            await asyncio.sleep(task.seconds)
        cpu, seconds, late = time.process_time() - cpu, time.monotonic() - since, late.copy()
        polls = len(late)
        collections = [each["collections"] - old for each, old in zip(gc.get_stats(), collections, strict=True)]
        timing = json.loads(await (await http.get(task.url + "/timing")).read())
    gc.collect()
    after = (memory() - before) / task.flows
    failed = [each for each in tasks if each.done()]
    assert not failed, failed[0]
    print(
        json.dumps(
            {
                "polls": polls,
                "rate": polls / seconds,
                "cpu": cpu / polls * 1e6,
                "p50": percentile(late, 0.5) * 1e3,
                "p99": percentile(late, 0.99) * 1e3,
                "max": max(late) * 1e3,
                "memory": used / 1024,
                "memory after": after / 1024,
                "young": collections[0],
                "full": collections[2],
                "stall": max(delay.own, default=0.0),
                "early": timing["early"],
                "longest": timing["longest"],
            }
        ),
        flush=True,
    )
    os._exit(0)  # without the time to cancel all flows


if __name__ == "__main__":
    if sys.argv[2:] == ["uvloop"]:
        import uvloop

        uvloop.run(main(Task(**json.loads(sys.argv[1]))))
    else:
        asyncio.run(main(Task(**json.loads(sys.argv[1]))))
