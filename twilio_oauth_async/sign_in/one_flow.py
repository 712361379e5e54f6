"""Drives one stored sign-in of a pool to its end: polls, keeps the lease, saves the token.

What the pool keeps of many sign-ins is not known here.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import attrs

from twilio_oauth_async.errors import (
    AccessDeniedError,
    DeviceCodeExpiredError,
    DeviceFlowError,
    StoreError,
    TwilioOAuthError,
)
from twilio_oauth_async.grants.device_flow import DeviceFlow
from twilio_oauth_async.protocol import polling
from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.protocol.polling import Approved, Unreachable
from twilio_oauth_async.sign_in.base import SignInState
from twilio_oauth_async.sign_in.listeners import RunningSignIn
from twilio_oauth_async.stores.base import FlowStore, StoredFlow, TokenStore
from twilio_oauth_async.tokens.manager import TokenManager

LEASE = 60.0
"""Seconds that the lease of a flow lasts beyond its next poll; after that another process may take it."""

SAVING = 120.0
"""Seconds that the lease lasts from each try to save its token: a store may wait `LOCK_TIMEOUT` for a lock, and the
next try is half a minute later."""

STORE_ATTEMPTS = 6
"""Tries, at growing distances, of what the token store must do before the sign-in is given up."""

T = TypeVar("T")

_log = logging.getLogger(__name__)


@attrs.frozen
class Ending:
    """How a sign-in ended, and for those that were not approved, why."""

    state: SignInState
    error: TwilioOAuthError | None = None


class _NotOursError(Exception):
    """The lease is lost: the flow must not be changed any more."""


class SignInDriver:
    """One owner of flows. Any number of them may be driven at once."""

    def __init__(self, flow: DeviceFlow, *, tokens: TokenStore, flows: FlowStore) -> None:
        """All of them are lent."""
        self._flow = flow
        self._clock = flow.session.clock
        self._tokens = tokens
        self._flows = flows
        self._owner = secrets.token_hex(8)

    async def begin(self, user: str) -> StoredFlow:
        """Ask for a code, and store the flow as ours.

        Raises:
            StoreError: the flow could not be stored.
            TransportError, ProtocolError, ApiError: no code could be had.
        """
        authorization = await self._flow.start()
        flow = self._ours(StoredFlow(id=secrets.token_urlsafe(16), user=user, authorization=authorization))
        await self._flows.save(flow)
        return flow

    async def take_up(self, flow: StoredFlow) -> StoredFlow | None:
        """Make a flow that nobody drives ours; None where somebody was faster, it is gone, or asks for something else.

        Raises:
            StoreError: the flow store failed.
        """
        asked = flow.authorization
        if (asked.client_sid, asked.scopes, asked.audiences) != (
            self._flow.client_sid,
            self._flow.scopes,
            self._flow.audiences,
        ):
            return None  # of another program that shares the store, whose tokens may go elsewhere
        if flow.claimed_until is not None:
            # When the one before us polled last is not stored each time, but it kept its lease ahead of its polls.
            flow = attrs.evolve(flow, authorization=polling.resume(asked, flow.claimed_until))
        ours = self._ours(flow)
        return ours if await self._take_lease(ours) else None

    async def let_go(self, flow: StoredFlow) -> None:
        """Leave a flow to whoever takes it up next."""
        try:
            await self._flows.claim(flow.id, self._owner, self._clock.now())
        except StoreError as error:
            _log.warning("a pending sign-in could not be let go, and will be when its lease runs out: %s", error)

    async def drive(self, running: RunningSignIn) -> Ending | None:
        """Poll until it ends, and save its token; None where it is not ours any more, or we were asked to stop.

        What has ended is out of the flow store then, unless that failed: the next look for due flows clears it away.
        """
        try:
            if not await self._was_granted_before(running):
                token = await self._poll(running)
                if token is None:
                    return None
                await self._save(running, token)
            ending = Ending("approved")
        except _NotOursError:
            return await self._ended_elsewhere(running.flow)
        except AccessDeniedError as error:
            ending = Ending("denied", error)
        except DeviceCodeExpiredError as error:
            ending = Ending("expired", error)
        except TwilioOAuthError as error:
            ending = Ending("failed", error)
        try:
            await self._flows.delete(running.flow.id)
        except StoreError as problem:
            _log.warning("a sign-in that is over could not be taken out of the store: %s", problem)
        return ending

    async def _was_granted_before(self, running: RunningSignIn) -> bool:
        """Whether the process before us had saved the token when it died: a second exchange would revoke it.

        Raises:
            DeviceFlowError: it had been granted one, and died before it was saved: the code is used up.
        """
        before = running.flow.generation_before
        if before is None:
            return False
        stored = await self._persistently(running, lambda: self._tokens.load(running.flow.user))
        if stored is None or stored.generation <= before:
            raise DeviceFlowError("the token was granted to a process that ended before it was saved")
        return True

    async def _ended_elsewhere(self, flow: StoredFlow) -> Ending | None:
        """What became of a flow whose lease is lost."""
        try:
            if await self._flows.load(flow.id) is None:
                return Ending("cancelled", DeviceFlowError("another process has cancelled the sign-in, or finished it"))
        except StoreError as error:
            _log.warning("what became of a sign-in that was taken over is not known: %s", error)
        return None

    async def _poll(self, running: RunningSignIn) -> Token | None:
        poller = self._flow.poller(running.flow.authorization)
        while not running.is_stopping:
            await poller.wait_until_due(running.flow.authorization)
            await self._check_lease(running)
            running.is_polling = True
            try:
                step = await poller.poll(running.flow.authorization)
            finally:
                running.is_polling = False
            if isinstance(step, Approved):
                running.has_token = True
                return step.token
            await self._note(running, step.authorization)
            running.tell("pending", problem_of(step.error) if isinstance(step, Unreachable) else None)
        return None

    async def _check_lease(self, running: RunningSignIn) -> None:
        """Before a poll: a machine that was suspended may have lost the flow to another process meanwhile."""
        until = running.flow.claimed_until
        if until is not None and until > self._clock.now():
            return
        running.flow = self._ours(running.flow)
        try:
            if not await self._take_lease(running.flow):
                raise _NotOursError
        except StoreError as error:
            _log.warning("whether a sign-in is still ours could not be seen: %s", error)

    async def _note(self, running: RunningSignIn, authorization: DeviceAuthorization) -> None:
        """Keep the lease, and store what a successor must know: the interval, the faults, a lost answer."""
        running.flow = flow = self._ours(attrs.evolve(running.flow, authorization=authorization))
        try:
            if not await self._take_lease(flow):
                raise _NotOursError
            if _what_a_successor_must_know(running.stored) != _what_a_successor_must_know(authorization):
                await self._flows.save(flow)
                running.stored = authorization
        except StoreError as error:
            # The person is about to approve; that the store is down for a moment must not end it.
            _log.warning("the state of a sign-in could not be stored: %s", error)

    async def _save(self, running: RunningSignIn, token: Token) -> None:
        """Put the token into the token store, before anybody is told that there is one."""
        manager = TokenManager(self._flow, store=self._tokens, key=running.flow.user, clock=self._clock)

        async def save() -> None:
            # First what tells a successor that the code is used up; it also keeps the lease while we try.
            if running.flow.generation_before is None:
                before = await self._tokens.load(running.flow.user)
                generation = before.generation if before is not None else 0
                running.flow = attrs.evolve(running.flow, generation_before=generation)
            running.flow = self._ours(running.flow, SAVING)
            try:
                await self._flows.save(running.flow)
            except StoreError as error:
                _log.warning("that a sign-in was granted its token could not be stored: %s", error)
            await manager.adopt(token)

        await self._persistently(running, save)

    async def _persistently(self, running: RunningSignIn, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work`, again where the token store is down for a moment: a person has approved, or is about to."""
        for attempt in range(1, STORE_ATTEMPTS):
            try:
                return await work()
            except StoreError as error:
                _log.warning("the token store failed in a sign-in, and is tried again: %s", error)
                running.tell("pending", problem_of(error))
                await self._clock.sleep(2.0**attempt)
        return await work()

    def _ours(self, flow: StoredFlow, seconds: float = LEASE) -> StoredFlow:
        """`flow` as leased by us until `seconds` after its next poll, which may have been due long ago."""
        until = max(flow.authorization.next_poll_at, self._clock.now()) + timedelta(seconds=seconds)
        return attrs.evolve(flow, owner=self._owner, claimed_until=until)

    async def _take_lease(self, flow: StoredFlow) -> bool:
        assert flow.claimed_until is not None  # since _ours
        return await self._flows.claim(flow.id, self._owner, flow.claimed_until)


def problem_of(error: TwilioOAuthError) -> str:
    """`error` for the person who signs in: where a store keeps its files is not their business."""
    return "the sign-in could not be stored" if isinstance(error, StoreError) else str(error)


def _what_a_successor_must_know(authorization: DeviceAuthorization) -> tuple[float, int, bool]:
    return authorization.interval, authorization.faults, authorization.answer_lost
