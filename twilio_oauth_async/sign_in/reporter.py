"""`Reporter`: performs the steps of `reporting` with `on_end` of the application."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import attrs

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import StoreConflict, StoreError
from twilio_oauth_async.sign_in import reporting
from twilio_oauth_async.sign_in.base import SignIn
from twilio_oauth_async.sign_in.flow_life import KEPT, LEASE
from twilio_oauth_async.sign_in.reporting import Pause, Report, Result, Task
from twilio_oauth_async.sign_in.running import Shared
from twilio_oauth_async.stores.base import StoredFlow
from twilio_oauth_async.tasks import create_task

OnEnd: TypeAlias = Callable[[SignIn], Awaitable[None] | None]

CALLBACK_TIMEOUT = 60.0
"""Seconds after which a call of `on_end` is cancelled, and counts as failed."""

MAX_CALLS = 32
"""Calls of `on_end` at the same time."""

_log = logging.getLogger(__name__)


class Reporter:
    """Reports ends, and remembers which of them are to be deleted."""

    def __init__(self, shared: Shared) -> None:
        """Create it without a callback."""
        self.on_end: OnEnd | None = None
        self.kept: dict[str, float] = {}
        """The ends that were reported here, and when they are to be deleted (monotonic), in that order."""
        self.leased: set[str] = set()
        """The ends that are being reported under a lease."""
        self.called: set[str] = set()
        """Of these, the ones for which the callback runs or has returned."""
        self.tasks: dict[str, asyncio.Task[None]] = {}
        """The tasks that report, by the id of the sign-in."""
        self._calls: dict[asyncio.Future[None], str] = {}  # the callbacks that run
        self._shared = shared
        self._places = asyncio.Semaphore(MAX_CALLS)

    def start(self, flow: StoredFlow, sign_in: SignIn, *, is_own: bool = False) -> None:
        """Report the end of a sign-in in a task of its own, unless it is being reported or another process does it.

        Args:
            flow: the flow.
            sign_in: what the application gets.
            is_own: it has ended in this process, which reports it even if the store has lost it.
        """
        if flow.id in self.tasks or flow.id in self.kept:
            return
        task = self.tasks[flow.id] = create_task(self._report(flow, sign_in, is_own))
        task.add_done_callback(lambda _: self.tasks.pop(flow.id, None))

    async def _report(self, flow: StoredFlow, sign_in: SignIn, is_own: bool) -> None:
        clock = self._shared.clock
        report = Report(ended_at=flow.ended_at or clock.now(), has_callback=self.on_end is not None)
        try:
            while (step := reporting.decide(report, self._shared.leases.now())) is not Task.DONE:
                if isinstance(step, Pause):
                    await clock.sleep(max(0.0, step.at - clock.monotonic()))
                    continue
                try:
                    result = await self._result_of(step, flow, sign_in, is_own)
                except StoreError:
                    result = Result.FAILED
                report = reporting.advance(report, result, self._shared.leases.now())
        finally:
            self.leased.discard(flow.id)
            self.called.discard(flow.id)

    async def _result_of(self, step: Task, flow: StoredFlow, sign_in: SignIn, is_own: bool) -> Result:
        leases = self._shared.leases
        match step:
            case Task.LEASE:
                if await leases.ask_with_others(flow.id) is not None:
                    self.leased.add(flow.id)
                    return Result.LEASED
                is_lost = is_own and await self._shared.load(flow.id) is None
                return Result.LEASED if is_lost else Result.NOT_LEASED
            case Task.CALL:
                self.called.add(flow.id)
                if await self._call(flow.id, sign_in):
                    return Result.CALLED
                self.called.discard(flow.id)
                return Result.FAILED
            case Task.MARK:
                return await self._mark(flow)
            case Task.RELEASE:
                await leases.give_back([flow.id])
                return Result.RELEASED
            case Task.DONE:
                raise AssertionError("report() ends then")

    async def _mark(self, flow: StoredFlow) -> Result:
        shared = self._shared
        present = await shared.load(flow.id)
        if present is not None and not present.delivered:
            try:
                await shared.flow_calls.of(shared.flows.save(attrs.evolve(present, delivered=True)))
            except StoreConflict:
                return Result.MARKED  # another process has leased it meanwhile
        if await shared.leases.ask([flow.id], KEPT + LEASE):
            self.kept[flow.id] = shared.clock.monotonic() + KEPT
        return Result.MARKED

    def others(self) -> dict[str, asyncio.Task[None]]:
        """Return the tasks that report, without the one whose callback asks."""
        own = self._calls.get(asyncio.current_task())  # type: ignore[arg-type]
        return {id_: task for id_, task in self.tasks.items() if id_ != own}

    async def _call(self, id_: str, sign_in: SignIn) -> bool:
        """Call `on_end`; return whether it returned."""
        assert self.on_end is not None, "chosen where there is a callback"
        async with self._places:
            call = create_task(call_on_end(self.on_end, sign_in))
            self._calls[call] = id_
            try:
                return await finish_call(call, self._shared.clock)
            finally:
                del self._calls[call]


async def finish_call(call: asyncio.Future[None], clock: Clock) -> bool:
    """Wait for a call of `on_end`, and return whether it returned. A failure is logged."""
    timer = create_task(clock.sleep(CALLBACK_TIMEOUT))
    try:
        await asyncio.wait({call, timer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (call, timer):
            task.cancel()
        await asyncio.wait({call, timer})
    error = TimeoutError("on_end took too long") if call.cancelled() else call.exception()
    if error is None:
        return True
    _log.error("the callback on_end raised %s, and is called again", type(error).__name__)
    asyncio.get_running_loop().call_exception_handler(
        {"message": "the callback on_end of twilio_oauth_async raised an exception", "exception": error}
    )
    return False


async def call_on_end(on_end: OnEnd, sign_in: SignIn) -> None:
    """Call `on_end`, which may be a coroutine function."""
    result = on_end(sign_in)
    if inspect.isawaitable(result):
        await result
