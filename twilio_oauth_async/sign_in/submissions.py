"""`Submissions`: starts sign-ins, and joins those that are under way here or in another process."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

from twilio_oauth_async.errors import DeviceFlowError, TooManySignIns, TwilioOAuthError
from twilio_oauth_async.protocol import polling
from twilio_oauth_async.sign_in.base import SignIn
from twilio_oauth_async.sign_in.endings import APPROVED, TOKEN_LOST, Ending, ending_of_error
from twilio_oauth_async.sign_in.flow_life import GRANTED_GRACE, LEASE, started
from twilio_oauth_async.sign_in.flow_steps import Lease
from twilio_oauth_async.sign_in.members import Members
from twilio_oauth_async.sign_in.running import Shared
from twilio_oauth_async.sign_in.upkeep import Upkeep
from twilio_oauth_async.stores.base import StoredFlow
from twilio_oauth_async.tasks import create_task
from twilio_oauth_async.tokens.failures import copy_of
from twilio_oauth_async.tokens.identity import key_of

LONGEST_RETRY_AFTER = 60.0
"""Seconds after which it is worth to try again at the latest: a sign-in may end at any time."""

MAX_LOOKS = 3
"""Looks at a stored sign-in that another process changes each time before it can be ended."""

LAST_POLL = 35.0
"""Seconds after expiry for which the last poll of a sign-in may be under way. By default, a session waits 30 s for
a response. The process that polls ends the sign-in as soon as it has that, or at expiry if no poll is under way."""

LAST_POLL_PAUSE = 0.5
"""Seconds between two looks at such a sign-in."""

OTHER_SCOPES = "another program runs a sign-in of this user with other scopes or audiences"

REPLACED = Ending("cancelled", "the user has started a sign-in with other scopes or audiences")


class Submissions:
    """The sign-ins that are being started. Two calls for one user at the same time get one code."""

    def __init__(self, shared: Shared, members: Members, upkeep: Upkeep, *, max_flows: int) -> None:
        """Create it.

        Args:
            shared: what the flows are run with.
            members: the flows that run here.
            upkeep: takes up a flow that no process polls.
            max_flows: with that many under way, a further one is refused.
        """
        self._shared = shared
        self._members = members
        self._upkeep = upkeep
        self._max_flows = max_flows
        self._beginning = 0  # those that request a code
        self._starting: dict[str, asyncio.Task[SignIn | TwilioOAuthError]] = {}

    async def submit(self, user: str, context: Mapping[str, str]) -> SignIn:
        """Return the pending sign-in of `user`, or a new one; raises as `DeviceFlowPool.submit`."""
        task = self._starting.get(user)
        if task is None:
            task = self._starting[user] = create_task(self._start(user, dict(context)))
            task.add_done_callback(lambda _: self._starting.pop(user, None))
        # A caller may be cancelled: the others who joined, and the user who has the code, are not.
        await asyncio.wait({task})
        outcome = DeviceFlowError("the pool was closed") if task.cancelled() else task.result()
        if isinstance(outcome, TwilioOAuthError):
            raise copy_of(outcome)
        return outcome

    async def find_user(self, user: str) -> StoredFlow | None:
        """Return the flow of `user` that has not ended; raises `StoreError`."""
        shared = self._shared
        return await shared.flow_calls.of(shared.flows.find_user(key_of(shared.flow, user)))

    async def stop(self) -> None:
        """Cancel what is being started: no user has seen a code yet."""
        tasks = set(self._starting.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _retry_after(self) -> float:
        now = self._shared.clock.now()
        ends = (flow.life.flow.authorization.expires_at for flow in self._members.running.values())
        first = min(ends, default=now)
        return min(max((first - now).total_seconds(), 1.0), LONGEST_RETRY_AFTER)

    async def _start(self, user: str, context: dict[str, str]) -> SignIn | TwilioOAuthError:
        try:
            joined = await self._join_here(user) or await self._join(user)
            if joined is not None:
                return joined
            if len(self._members) + self._beginning >= self._max_flows:
                message = f"{self._max_flows} sign-ins are under way, and no more are started"
                return TooManySignIns(message, retry_after=self._retry_after())
            self._beginning += 1
            try:
                return await self._begin(user, context)
            finally:
                self._beginning -= 1
        except TwilioOAuthError as error:
            return error

    async def _join_here(self, user: str) -> SignIn | None:
        """Return the pending sign-in of `user` that runs in this process; None if there is none."""
        running = self._members.by_user.get(user)
        if running is None:
            return None
        sign_in = await self._members.look_at(running)
        is_over = sign_in.is_over or running.life.ending is not None or sign_in.expires_at <= self._shared.clock.now()
        return None if is_over else sign_in

    async def _join(self, user: str) -> SignIn | None:
        """Return the pending sign-in of `user`; None if there is none, or it was ended because it is of no use."""
        shared, clock = self._shared, self._shared.clock
        looks = 0
        while looks < MAX_LOOKS:
            flow = await self.find_user(user)
            if flow is None:
                return None
            is_expired = flow.state == "pending" and flow.authorization.expires_at <= clock.now()
            if self._upkeep.asks_for_the_same(flow) and not is_expired:
                return await self._joined(flow)
            if is_expired and _may_be_polled(flow, clock.now()):
                # A response that arrives after expiry counts (fault 51).
                await clock.sleep(LAST_POLL_PAUSE)
                continue
            looks += 1
            has_token = flow.state == "granted" and await shared.has_token(flow)
            ending = _ending_of_useless(flow, clock.now(), has_token=has_token)
            if ending is None:
                break
            if await shared.flow_calls.of(shared.flows.end(flow.id, ending.state, ending.problem)):
                return None
        raise DeviceFlowError(OTHER_SCOPES)

    async def _joined(self, flow: StoredFlow) -> SignIn:
        """Return the sign-in of a stored flow. If no process polls it, this one does."""
        if len(self._members) < self._max_flows and await self._upkeep.take(flow):
            return self._members.running[flow.id].sign_in
        return SignIn.of(flow)

    async def _begin(self, user: str, context: dict[str, str]) -> SignIn:
        shared, leases = self._shared, self._shared.leases
        flow = StoredFlow(
            id=secrets.token_urlsafe(16),
            user=user,
            server=shared.flow.identity.server,
            authorization=await shared.flow.start(),
            context=context,
        )
        asked = leases.now()
        stored = await shared.flow_calls.of(shared.flows.create(flow, owner=leases.owner, seconds=LEASE))
        if stored.id != flow.id:
            # Another process was faster. Its code is the one to show; no user has seen ours.
            if not self._upkeep.asks_for_the_same(stored):
                raise DeviceFlowError(OTHER_SCOPES)
            return await self._joined(stored)
        return self._members.run(started(stored, Lease.given(asked, LEASE), asked))


def _ending_of_useless(flow: StoredFlow, now: datetime, *, has_token: bool) -> Ending | None:
    """Return how a stored flow ends that is not joined: it has expired, or asks for other scopes or audiences.

    Args:
        flow: as it is stored.
        now: UTC.
        has_token: the token store has its token.

    Returns:
        None: it is not over, because a process polls it or may still save its token.
    """
    if flow.state == "pending":
        if flow.authorization.expires_at <= now:
            return ending_of_error(polling.expired(flow.authorization))
        return None if _is_leased(flow, now) else REPLACED
    if has_token:
        return APPROVED
    # A process may save its token although its lease has ended.
    return None if _is_leased(flow, now - timedelta(seconds=GRANTED_GRACE)) else TOKEN_LOST


def _may_be_polled(flow: StoredFlow, now: datetime) -> bool:
    """Return whether the last poll of an expired flow may still be under way."""
    return _is_leased(flow, now) and now < flow.authorization.expires_at + timedelta(seconds=LAST_POLL)


def _is_leased(flow: StoredFlow, now: datetime) -> bool:
    return flow.leased_until is not None and flow.leased_until > now
