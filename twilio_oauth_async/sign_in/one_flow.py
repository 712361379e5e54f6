"""Drives one stored sign-in of a pool to its end: polls, keeps the lease, saves the token.

What the pool keeps of many sign-ins is not known here.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

import attrs

from twilio_oauth_async.errors import (
    AccessDeniedError,
    DeviceCodeExpiredError,
    DeviceFlowError,
    StoreConflict,
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
from twilio_oauth_async.tokens.identity import key_of
from twilio_oauth_async.tokens.manager import TokenManager

LEASE = 60.0
"""Seconds that the lease of a flow lasts beyond its next poll; after that another process may take it."""

SAVING = 120.0
"""Seconds that the lease lasts from each try to save its token: a store may wait `LOCK_TIMEOUT` for a lock, and the
next try is half a minute later."""

FOLLOW_INTERVAL = 5.0
"""Seconds between two looks at a flow that another process polls."""

STORE_ATTEMPTS = 6
"""Tries, at growing distances, of what the token store must do before the sign-in is given up."""

MAX_TAKEN_UP = 1_000
"""Flows that are taken up in one step."""

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

    async def find(self, user: str) -> StoredFlow | None:
        """The flow of `user` that has not ended, also one that another process polls.

        Raises:
            StoreError: the flow store failed.
        """
        return await self._flows.find_user(key_of(self._flow, user))

    async def begin(self, user: str) -> StoredFlow:
        """Ask for a code, and store the flow as ours; what another process has stored meanwhile comes before it.

        Raises:
            StoreError: the flow could not be stored.
            TransportError, ProtocolError, ApiError: no code could be had.
        """
        flow = StoredFlow(
            id=secrets.token_urlsafe(16),
            user=user,
            server=self._flow.identity.server,
            authorization=await self._flow.start(),
        )
        return await self._flows.create(flow, owner=self._owner, seconds=self._lease_seconds(flow))

    def is_ours(self, flow: StoredFlow) -> bool:
        """Whether we have the lease, as far as `flow` tells."""
        return flow.owner == self._owner

    def asks_for_the_same(self, flow: StoredFlow) -> bool:
        """Whether it has the scopes and audiences that we ask for."""
        asked = flow.authorization
        return (asked.scopes, asked.audiences) == (self._flow.scopes, self._flow.audiences)

    async def list_due(self) -> Sequence[StoredFlow]:
        """The flows of our client and server that no process polls.

        Raises:
            StoreError: the flow store failed.
        """
        identity = self._flow.identity
        return await self._flows.list_due(MAX_TAKEN_UP, client_sid=identity.client_sid, server=identity.server)

    async def take_up(self, flow: StoredFlow) -> StoredFlow | None:
        """Make a flow that nobody drives ours; None where somebody was faster, it is gone, or asks for something else.

        Raises:
            StoreError: the flow store failed.
        """
        if not self.asks_for_the_same(flow):
            return None  # of another program that shares the store, whose tokens may go elsewhere
        if flow.leased_until is not None:
            # When the one before us polled last is not stored each time, but it kept its lease ahead of its polls.
            flow = attrs.evolve(flow, authorization=polling.resume(flow.authorization, flow.leased_until))
        return await self._leased(flow)

    async def let_go(self, flow: StoredFlow) -> None:
        """Leave a flow to whoever takes it up next."""
        if not self.is_ours(flow):
            return
        try:
            await self._flows.save(flow)  # when the next poll is due, which is not stored after each poll
            await self._flows.release([flow.id], self._owner)
        except StoreConflict:
            return  # another process has taken it, or cancelled it
        except StoreError as error:
            _log.warning("a pending sign-in could not be let go, and will be when its lease runs out: %s", error)

    async def drive(self, running: RunningSignIn) -> Ending | None:
        """Poll until it ends, and save its token; None where it is not ours any more, or we were asked to stop.

        What has ended is out of the flow store then, unless that failed: the next look for due flows clears it away.
        """
        try:
            if not self.is_ours(running.flow):
                ending = await self._follow(running)
                if ending is not None:
                    return ending
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

    async def _follow(self, running: RunningSignIn) -> Ending | None:
        """Wait while another process polls; None once the flow is ours, which is when that process was killed."""
        while True:
            try:
                flow = await self._flows.load(running.flow.id)
                if flow is None:
                    token = await self._tokens.load(running.flow.key)
                    if token is not None and token.epoch == running.flow.epoch:
                        return Ending("approved")
                    return _ended_in_another_process()
                taken = await self.take_up(flow)
            except StoreError as error:
                _log.warning("what became of a sign-in in another process could not be seen: %s", error)
                taken = None
            if taken is not None:
                running.flow, running.stored = taken, taken.authorization
                return None
            await self._clock.sleep(FOLLOW_INTERVAL)

    async def _was_granted_before(self, running: RunningSignIn) -> bool:
        """Whether the process before us had saved the token when it died: a second exchange would revoke it.

        Raises:
            DeviceFlowError: it had been granted one, and died before it was saved: the code is used up.
        """
        flow = running.flow
        if flow.state != "granted":
            return False
        stored = await self._persistently(running, lambda: self._tokens.load(flow.key))
        if stored is None or stored.epoch != flow.epoch:
            raise DeviceFlowError("the token was granted to a process that ended before it was saved")
        return True

    async def _ended_elsewhere(self, flow: StoredFlow) -> Ending | None:
        """What became of a flow whose lease is lost."""
        try:
            if await self._flows.load(flow.id) is None:
                return _ended_in_another_process()
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
        until = running.flow.leased_until
        if until is not None and until > self._clock.now():
            return
        try:
            await self._prolong(running)
        except StoreError as error:
            _log.warning("whether a sign-in is still ours could not be seen: %s", error)

    async def _note(self, running: RunningSignIn, authorization: DeviceAuthorization) -> None:
        """Keep the lease, and store what a successor must know: the interval, the faults, a lost answer."""
        running.flow = attrs.evolve(running.flow, authorization=authorization)
        try:
            await self._prolong(running)
            if _what_a_successor_must_know(running.stored) != _what_a_successor_must_know(authorization):
                await self._flows.save(running.flow)
                running.stored = authorization
        except StoreConflict:
            raise _NotOursError from None
        except StoreError as error:
            # The person is about to approve; that the store is down for a moment must not end it.
            _log.warning("the state of a sign-in could not be stored: %s", error)

    async def _save(self, running: RunningSignIn, token: Token) -> None:
        """Put the token into the token store, before anybody is told that there is one."""
        manager = TokenManager(self._flow, store=self._tokens, key=running.flow.user, clock=self._clock)
        signed_in_at = self._clock.now()  # the same in each try

        async def save() -> None:
            # First what tells a successor that the code is used up; the lease is kept while we try.
            try:
                if running.flow.state == "pending":
                    if not await self._flows.grant(running.flow.id, self._owner):
                        await self._revoke(token)
                        raise _NotOursError
                    running.flow = attrs.evolve(running.flow, state="granted", granted_to=self._owner)
                await self._flows.lease([running.flow.id], self._owner, SAVING)
            except StoreError as error:
                _log.warning("could not record that a sign-in received its token: %s", error)
            await manager.adopt(token, epoch=running.flow.epoch, signed_in_at=signed_in_at)

        await self._persistently(running, save)

    async def _revoke(self, token: Token) -> None:
        """Revoke a token of a flow that was cancelled, or whose token another process has received."""
        try:
            await self._flow.revoke(token)
        except TwilioOAuthError as error:
            _log.warning("could not revoke the token of a cancelled sign-in: %s", error)

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

    def _lease_seconds(self, flow: StoredFlow) -> float:
        """Until `LEASE` seconds after the next poll, which may have been due long ago."""
        return LEASE + max((flow.authorization.next_poll_at - self._clock.now()).total_seconds(), 0.0)

    async def _leased(self, flow: StoredFlow) -> StoredFlow | None:
        """`flow` with our lease; None where another process has it, or the flow is gone."""
        seconds = self._lease_seconds(flow)
        until = self._clock.now() + timedelta(seconds=seconds)
        if flow.id not in await self._flows.lease([flow.id], self._owner, seconds):
            return None
        return attrs.evolve(flow, owner=self._owner, leased_until=until)

    async def _prolong(self, running: RunningSignIn) -> None:
        flow = await self._leased(running.flow)
        if flow is None:
            raise _NotOursError
        running.flow = flow


def _ended_in_another_process() -> Ending:
    return Ending("cancelled", DeviceFlowError("another process has cancelled the sign-in, or finished it"))


def problem_of(error: TwilioOAuthError) -> str:
    """`error` for the person who signs in: where a store keeps its files is not their business."""
    return "the sign-in could not be stored" if isinstance(error, StoreError) else str(error)


def _what_a_successor_must_know(authorization: DeviceAuthorization) -> tuple[float, int, bool]:
    return authorization.interval, authorization.faults, authorization.answer_lost
