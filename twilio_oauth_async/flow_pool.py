"""`DeviceFlowPool`: the device flows of many people in one process, and their survival of its end."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, Coroutine
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import attrs

from twilio_oauth_async.device_authorization import DeviceAuthorization
from twilio_oauth_async.device_flow import DeviceFlow
from twilio_oauth_async.errors import (
    AccessDeniedError,
    ConfigurationError,
    DeviceCodeExpiredError,
    DeviceFlowError,
    StoreError,
    TwilioOAuthError,
)
from twilio_oauth_async.models import Token
from twilio_oauth_async.polling import Approved, Unreachable
from twilio_oauth_async.running_sign_in import RunningSignIn
from twilio_oauth_async.sign_in import SignIn, SignInEvent, SignInState
from twilio_oauth_async.stores.base import FlowStore, StoredFlow, TokenStore
from twilio_oauth_async.stores.memory import MemoryFlowStore
from twilio_oauth_async.token_manager import TokenManager

CLAIM = 60.0
"""Seconds that a flow stays claimed beyond its next poll; after that its process is taken for dead."""

FINISHED_KEPT = 300.0
"""Seconds for which those who come late are still told how a sign-in ended."""

SAVE_ATTEMPTS = 6
"""Tries, at growing distances, to save a token that was granted before it is given up."""

_log = logging.getLogger(__name__)


class _TakenOverError(DeviceFlowError):
    """Another process drives the flow now: it must not be touched any more."""


class DeviceFlowPool:
    """Runs device flows for many users of one client and scope set. A `DeviceFlowRunner`.

    Use it as an async context manager. Entering takes up the flows that a process left behind in `flows`; leaving
    lets go of those under way, so that the next process can. What a request started goes on when it is cancelled.
    """

    def __init__(
        self, flow: DeviceFlow, *, tokens: TokenStore, flows: FlowStore | None = None, max_flows: int = 10_000
    ) -> None:
        """Nothing is sent here.

        Args:
            flow: lent; what all of the sign-ins ask for.
            tokens: where a token goes that was granted, under its user's name.
            flows: where pending flows are kept; None: in memory, so that they end with the process.
            max_flows: how many may be under way at once.

        Raises:
            ConfigurationError: `max_flows` is less than one.
        """
        if max_flows < 1:
            raise ConfigurationError("max_flows must be at least 1")
        self._flow = flow
        self._clock = flow.session.clock
        self._tokens = tokens
        self._flows: FlowStore = flows if flows is not None else MemoryFlowStore(clock=self._clock)
        self._max_flows = max_flows
        self._owner = secrets.token_hex(8)
        self._running: dict[str, RunningSignIn] = {}
        self._finished: dict[str, RunningSignIn] = {}
        self._by_user: dict[str, str] = {}
        self._starting: dict[str, asyncio.Task[SignIn]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_open = False

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Begin, with the stored flows that nobody drives.

        Raises:
            StoreError: the flow store failed.
        """
        self._is_open = True
        await self.take_up()

    async def close(self) -> None:
        """End: a token that was granted is still saved, everything else is let go, and so are those who listen."""
        self._is_open = False
        tasks = list(self._tasks)
        saving = {running.task for running in self._running.values() if running.has_token}
        for task in tasks:
            if task not in saving:
                task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for running in self._running.values():
            await self._let_go(running)
            running.close()

    async def take_up(self) -> int:
        """Carry on with stored flows that nobody drives; how many.

        Done on entering. Call it now and then where other processes share the store and may crash.

        Raises:
            StoreError: the flow store failed.
        """
        taken = 0
        for flow in await self._flows.list_due():
            if flow.id in self._running or not await self._claim(flow.id, flow.authorization):
                continue
            taken += 1
            self._drive(RunningSignIn(attrs.evolve(flow, owner=self._owner)), taken_over=True)
        if taken:
            _log.info("%d pending sign-ins were taken up", taken)
        return taken

    async def submit(self, user: str) -> SignIn:
        """Begin a sign-in, and return once the code is issued.

        Args:
            user: the key under which the token will be stored. A user with a sign-in under way joins it.

        Raises:
            ConfigurationError: the pool is not open, or `user` is empty.
            DeviceFlowError: there are `max_flows` under way.
            StoreError: the flow could not be stored.
            TransportError, ProtocolError, ApiError: no code could be had.
        """
        if not self._is_open:
            raise ConfigurationError("the pool is not open: use 'async with DeviceFlowPool(...)'")
        if not user:
            raise ConfigurationError("user must not be empty")
        self._forget_finished()
        if user in self._by_user:
            return self._running[self._by_user[user]].sign_in
        if user not in self._starting:
            if len(self._by_user) + len(self._starting) >= self._max_flows:
                raise DeviceFlowError(f"there are {self._max_flows} sign-ins under way, and no more are taken")
            self._starting[user] = self._own(self._start(user))
            self._starting[user].add_done_callback(lambda _: self._starting.pop(user, None))
        # Whoever asked may go away: the others who joined, and the person with the code, do not.
        return await asyncio.shield(self._starting[user])

    async def events(self, id: str) -> AsyncGenerator[SignInEvent, None]:  # noqa: A002 - SignIn.id
        """The present state, then what happens, until the sign-in is over. Any number may listen, also late.

        Raises:
            ConfigurationError: there is no such sign-in.
        """
        async for event in self._find(id).events():
            yield event

    async def result(self, id: str) -> None:  # noqa: A002
        """Wait until the token is in the token store.

        Raises:
            ConfigurationError: there is no such sign-in.
            DeviceFlowError: it was refused, it expired, or it was cancelled.
            TwilioOAuthError: what else it ended with.
        """
        running = self._find(id)
        async for _ in running.events():
            pass
        if running.error is not None:
            raise running.error.with_traceback(None)
        if not running.sign_in.is_over:
            raise DeviceFlowError("the pool was closed; the sign-in can be taken up from its store")

    async def cancel(self, id: str) -> None:  # noqa: A002
        """Give a sign-in up; does nothing where it is over.

        Raises:
            ConfigurationError: there is no such sign-in.
            StoreError: it could not be taken out of the flow store.
        """
        running = self._running.get(id)
        if running is None:
            if id not in self._finished and await self._flows.load(id) is None:
                raise ConfigurationError("there is no such sign-in")
            # Driven by another process, or by nobody: whoever drives it notices at the next poll.
            await self._flows.delete(id)
            return
        if running.task is not None:
            running.task.cancel()
        self._end(running, "cancelled", DeviceFlowError("the sign-in was cancelled"))
        await self._flows.delete(id)

    async def find(self, id: str) -> SignIn | None:  # noqa: A002
        """How a sign-in stands, also one that another process drives or that nobody has taken up yet.

        Raises:
            StoreError: the flow store failed.
        """
        running = self._running.get(id) or self._finished.get(id)
        if running is not None:
            return running.sign_in
        flow = await self._flows.load(id)
        return None if flow is None else SignIn.of(flow.id, flow.user, flow.authorization)

    async def _start(self, user: str) -> SignIn:
        before = await self._tokens.load(user)
        authorization = await self._flow.start()
        flow = StoredFlow(
            id=secrets.token_urlsafe(16),
            user=user,
            authorization=authorization,
            generation_before=before.generation if before is not None else 0,
            owner=self._owner,
            claimed_until=authorization.next_poll_at + timedelta(seconds=CLAIM),
        )
        await self._flows.save(flow)
        running = RunningSignIn(flow)
        self._drive(running, taken_over=False)
        return running.sign_in

    def _drive(self, running: RunningSignIn, *, taken_over: bool) -> None:
        self._running[running.flow.id] = running
        self._by_user[running.flow.user] = running.flow.id
        running.task = self._own(self._to_its_end(running, taken_over=taken_over))

    async def _to_its_end(self, running: RunningSignIn, *, taken_over: bool) -> None:
        try:
            if not (taken_over and await self._has_its_token(running)):
                await self._save(running, await self._poll(running))
            await self._flows.delete(running.flow.id)
        except _TakenOverError as error:
            self._end(running, "failed", error)
        except AccessDeniedError as error:
            await self._failed(running, "denied", error)
        except DeviceCodeExpiredError as error:
            await self._failed(running, "expired", error)
        except TwilioOAuthError as error:
            await self._failed(running, "failed", error)
        else:
            self._end(running, "approved", None)

    async def _has_its_token(self, running: RunningSignIn) -> bool:
        """Whether the process before us had saved the token when it died: a second exchange would revoke it."""
        stored = await self._tokens.load(running.flow.user)
        return stored is not None and stored.generation > running.flow.generation_before

    async def _poll(self, running: RunningSignIn) -> Token:
        async for step in self._flow.events(running.flow.authorization):
            if isinstance(step, Approved):
                running.has_token = True
                return step.token
            await self._note(running, step.authorization)
            problem = str(step.error) if isinstance(step, Unreachable) else None
            if problem != running.event.problem:
                running.tell("pending", problem)
        raise DeviceFlowError("the flow ended without a word")  # events() ends with Approved or raises

    async def _note(self, running: RunningSignIn, authorization: DeviceAuthorization) -> None:
        """Keep the claim, and store what a successor must know: the interval, the faults, a lost answer."""
        before = running.flow.authorization
        running.flow = attrs.evolve(running.flow, authorization=authorization)
        try:
            if not await self._claim(running.flow.id, authorization):
                raise _TakenOverError("another process has taken this sign-in over")
            if _what_a_successor_must_know(before) != _what_a_successor_must_know(authorization):
                until = authorization.next_poll_at + timedelta(seconds=CLAIM)
                await self._flows.save(attrs.evolve(running.flow, claimed_until=until))
        except StoreError as error:
            # The person is about to approve; that the store is down for a moment must not end it.
            _log.warning("the state of a sign-in could not be stored: %s", error)

    async def _save(self, running: RunningSignIn, token: Token) -> None:
        """Put the token into the token store, before anybody is told that there is one."""
        manager = TokenManager(self._flow, store=self._tokens, key=running.flow.user, clock=self._clock)
        for attempt in range(1, SAVE_ATTEMPTS + 1):
            try:
                await manager.adopt(token)
            except StoreError as error:
                if attempt == SAVE_ATTEMPTS:
                    raise
                running.tell("pending", str(error))
                await self._clock.sleep(2.0**attempt)
            else:
                return

    async def _failed(self, running: RunningSignIn, state: SignInState, error: TwilioOAuthError) -> None:
        self._end(running, state, error)
        try:
            await self._flows.delete(running.flow.id)
        except StoreError as problem:
            _log.warning("a sign-in that is over could not be taken out of the store: %s", problem)

    def _end(self, running: RunningSignIn, state: SignInState, error: TwilioOAuthError | None) -> None:
        running.error = error
        running.ended_at = self._clock.monotonic()
        self._finished[running.flow.id] = self._running.pop(running.flow.id)
        running.tell(state, None if error is None else str(error))
        if self._by_user.get(running.flow.user) == running.flow.id:
            del self._by_user[running.flow.user]
        _log.info("a sign-in ended: %s", state)

    async def _claim(self, id: str, authorization: DeviceAuthorization) -> bool:  # noqa: A002
        return await self._flows.claim(id, self._owner, authorization.next_poll_at + timedelta(seconds=CLAIM))

    async def _let_go(self, running: RunningSignIn) -> None:
        try:
            await self._flows.claim(running.flow.id, self._owner, self._clock.now())
        except StoreError as error:
            _log.warning("a pending sign-in could not be let go, and will be when its claim runs out: %s", error)

    def _find(self, id: str) -> RunningSignIn:  # noqa: A002
        running = self._running.get(id) or self._finished.get(id)
        if running is None:
            raise ConfigurationError("there is no such sign-in")
        return running

    def _forget_finished(self) -> None:
        now = self._clock.monotonic()
        while self._finished:
            first = next(iter(self._finished.values()))  # the one that ended first
            if first.ended_at is not None and now - first.ended_at <= FINISHED_KEPT:
                return
            del self._finished[first.flow.id]

    def _own(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _what_a_successor_must_know(authorization: DeviceAuthorization) -> tuple[float, int, bool]:
    return authorization.interval, authorization.faults, authorization.answer_lost
