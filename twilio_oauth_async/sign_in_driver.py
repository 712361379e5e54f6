"""Drives one stored sign-in of a pool to its end: polls, keeps the claim, saves the token.

What the pool keeps of many sign-ins is not known here.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import TypeVar

import attrs

from twilio_oauth_async.device_authorization import DeviceAuthorization
from twilio_oauth_async.device_flow import DeviceFlow
from twilio_oauth_async.errors import (
    AccessDeniedError,
    DeviceCodeExpiredError,
    DeviceFlowError,
    StoreError,
    TwilioOAuthError,
)
from twilio_oauth_async.models import Token
from twilio_oauth_async.polling import Approved, Unreachable
from twilio_oauth_async.running_sign_in import RunningSignIn
from twilio_oauth_async.sign_in import SignInState
from twilio_oauth_async.stores.base import FlowStore, StoredFlow, TokenStore
from twilio_oauth_async.token_manager import TokenManager

CLAIM = 60.0
"""Seconds that a flow stays claimed beyond its next poll; after that its process is taken for dead."""

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
    """The claim is lost: the flow must not be touched any more."""


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
        return flow

    async def take_up(self, flow: StoredFlow) -> StoredFlow | None:
        """Make a flow that nobody drives ours; None where somebody was faster, or it is gone.

        Raises:
            StoreError: the flow store failed.
        """
        return attrs.evolve(flow, owner=self._owner) if await self._claim(flow.id, flow.authorization) else None

    async def let_go(self, flow: StoredFlow) -> None:
        """Leave a flow to whoever takes it up next."""
        try:
            await self._flows.claim(flow.id, self._owner, self._clock.now())
        except StoreError as error:
            _log.warning("a pending sign-in could not be let go, and will be when its claim runs out: %s", error)

    async def drive(self, running: RunningSignIn, *, taken_up: bool) -> Ending | None:
        """Poll until it ends, and save its token; None where another process drives it now.

        What has ended is out of the flow store, unless that failed: then it is taken up, and ends, once more.
        """
        try:
            if not (taken_up and await self._persistently(running, lambda: self._has_its_token(running.flow))):
                token = await self._poll(running)
                manager = TokenManager(self._flow, store=self._tokens, key=running.flow.user, clock=self._clock)
                # Saved before anybody is told that there is one.
                await self._persistently(running, lambda: manager.adopt(token))
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

    async def _has_its_token(self, flow: StoredFlow) -> bool:
        """Whether the process before us had saved the token when it died: a second exchange would revoke it."""
        stored = await self._tokens.load(flow.user)
        return stored is not None and stored.generation > flow.generation_before

    async def _ended_elsewhere(self, flow: StoredFlow) -> Ending | None:
        """What became of a flow whose claim is lost."""
        try:
            if await self._flows.load(flow.id) is not None:
                return None
            if await self._has_its_token(flow):
                return Ending("approved")
        except StoreError as error:
            return Ending("failed", error)
        return Ending("cancelled", DeviceFlowError("the sign-in was cancelled elsewhere"))

    async def _poll(self, running: RunningSignIn) -> Token:
        async with aclosing(self._flow.events(running.flow.authorization)) as steps:
            async for step in steps:
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
                raise _NotOursError
            if _what_a_successor_must_know(before) != _what_a_successor_must_know(authorization):
                until = authorization.next_poll_at + timedelta(seconds=CLAIM)
                await self._flows.save(attrs.evolve(running.flow, claimed_until=until))
        except StoreError as error:
            # The person is about to approve; that the store is down for a moment must not end it.
            _log.warning("the state of a sign-in could not be stored: %s", error)

    async def _persistently(self, running: RunningSignIn, work: Callable[[], Awaitable[T]]) -> T:
        """Do `work`, again where the token store is down for a moment: a person has approved, or is about to."""
        for attempt in range(1, STORE_ATTEMPTS):
            try:
                return await work()
            except StoreError as error:
                running.tell("pending", str(error))
                await self._clock.sleep(2.0**attempt)
        return await work()

    async def _claim(self, id: str, authorization: DeviceAuthorization) -> bool:  # noqa: A002
        return await self._flows.claim(id, self._owner, authorization.next_poll_at + timedelta(seconds=CLAIM))


def _what_a_successor_must_know(authorization: DeviceAuthorization) -> tuple[float, int, bool]:
    return authorization.interval, authorization.faults, authorization.answer_lost
