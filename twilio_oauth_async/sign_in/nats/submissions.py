"""`QueueSubmissions`: starts sign-ins, and joins those that are pending, in whichever process they were started."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from datetime import timedelta

from twilio_oauth_async.errors import (
    ConfigurationError,
    DeviceFlowError,
    SignInNotFound,
    StoreConflict,
    StoreError,
    TooManySignIns,
    TwilioOAuthError,
)
from twilio_oauth_async.protocol import polling
from twilio_oauth_async.sign_in.base import SignIn
from twilio_oauth_async.sign_in.endings import CANCELLED, ending_of_error
from twilio_oauth_async.sign_in.nats.records import OVERDUE, QueuedFlow
from twilio_oauth_async.sign_in.nats.states import MAX_CONFLICTS, Entry, States
from twilio_oauth_async.sign_in.nats.sweep import Messages, Sweep
from twilio_oauth_async.sign_in.running import Shared
from twilio_oauth_async.sign_in.submissions import LAST_POLL, LAST_POLL_PAUSE, OTHER_SCOPES, REPLACED
from twilio_oauth_async.stores.base import StoredFlow, TokenKey
from twilio_oauth_async.stores.keys import check_key
from twilio_oauth_async.stores.nats.connection import FullError
from twilio_oauth_async.tasks import create_task
from twilio_oauth_async.tokens.failures import copy_of

RETRY_AFTER = 30.0
"""Seconds after which it is worth to try again where the limit of sign-ins is reached."""

_log = logging.getLogger(__name__)


class QueueSubmissions:
    """The sign-ins that are being started in this process. Two calls for one user at the same time get one code."""

    def __init__(self, shared: Shared, states: States, messages: Messages, sweep: Sweep) -> None:
        """Create it.

        Args:
            shared: what the flows are run with.
            states: in the bucket.
            messages: of pending sign-ins.
            sweep: publishes a message that is missing.
        """
        self._shared = shared
        self._states = states
        self._messages = messages
        self._sweep = sweep
        self._starting: dict[str, asyncio.Task[SignIn | TwilioOAuthError]] = {}

    async def submit(self, user: str, context: Mapping[str, str]) -> SignIn:
        """Return the pending sign-in of `user`, or a new one; raises as `DeviceFlowQueue.submit`."""
        check_key(user, "user")
        if not all(isinstance(part, str) for pair in context.items() for part in pair):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("context must map strings to strings")
        task = self._starting.get(user)
        if task is None:
            task = self._starting[user] = create_task(self._start(user, dict(context)))
            task.add_done_callback(lambda _: self._starting.pop(user, None))
        # A caller may be cancelled: the others who joined, and the user who has the code, are not.
        await asyncio.wait({task})
        outcome = DeviceFlowError("the queue was closed") if task.cancelled() else task.result()
        if isinstance(outcome, TwilioOAuthError):
            raise copy_of(outcome)
        return outcome

    async def cancel(self, id_: str) -> SignIn | None:
        """Cancel a sign-in, and return it; None if it cannot be cancelled any more.

        Raises:
            SignInNotFound: there is no such sign-in.
            StoreError: NATS failed.
        """
        is_cancelled = await self._states.end(id_, CANCELLED.state, CANCELLED.problem)
        entry = await self._states.read(id_)
        if entry is None:
            raise SignInNotFound("there is no such sign-in")
        return entry.state.seen(self._shared.clock.now()) if is_cancelled else None

    async def find_user(self, user: str) -> SignIn | None:
        """Return the pending sign-in of `user`; None if there is none. Raises `StoreError`."""
        newest = await self._states.read_user(self._key(user))
        entry = await self._states.of_group(newest.group).read(newest.id)
        return None if entry is None or entry.state.flow.has_ended else entry.state.seen(self._shared.clock.now())

    async def stop(self) -> None:
        """Cancel what is being started: no user has seen a code yet."""
        tasks = set(self._starting.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _key(self, user: str) -> TokenKey:
        identity = self._shared.flow.identity
        return TokenKey(user, identity.client_sid, identity.server)

    async def _start(self, user: str, context: dict[str, str]) -> SignIn | TwilioOAuthError:
        try:
            for _ in range(MAX_CONFLICTS):
                joined, revision = await self._join(user)
                if joined is not None:
                    return joined
                if (begun := await self._begin(user, context, revision)) is not None:
                    return begun
        except TwilioOAuthError as error:
            return error
        return StoreError("other processes have started a sign-in of this user each time")

    async def _join(self, user: str) -> tuple[SignIn | None, int]:
        """Return the pending sign-in of `user`, and the revision of the key that names it.

        The sign-in is None if there is none, or it was ended because it is of no use.
        """
        clock = self._shared.clock
        while True:
            newest = await self._states.read_user(self._key(user))
            states, revision = self._states.of_group(newest.group), newest.revision
            entry = await states.read(newest.id)
            if entry is None or entry.state.flow.has_ended:
                return None, revision
            flow, now = entry.state.flow, clock.now()
            expires_at = flow.authorization.expires_at
            if self._asks_for_the_same(flow):
                if flow.state == "granted" or now < expires_at:
                    return await self._joined(entry), revision
                if now < expires_at + timedelta(seconds=LAST_POLL):
                    # A response that arrives after expiry counts (fault 51).
                    await clock.sleep(LAST_POLL_PAUSE)
                    continue
                ending = ending_of_error(polling.expired(flow.authorization))
            else:
                is_polled = now < flow.authorization.next_poll_at + timedelta(seconds=OVERDUE)
                if is_polled or flow.state == "granted":
                    raise DeviceFlowError(OTHER_SCOPES)
                ending = REPLACED
            if newest.group == self._messages.names.group:
                states = self._states
            await states.end(flow.id, ending.state, ending.problem)

    def _asks_for_the_same(self, flow: StoredFlow) -> bool:
        identity, asked = self._shared.flow.identity, flow.authorization
        return (asked.scopes, asked.audiences) == (identity.scopes, identity.audiences)

    async def _joined(self, entry: Entry) -> SignIn:
        now = self._shared.clock.now()
        if not entry.state.delivery or now >= entry.state.flow.authorization.next_poll_at:
            await self._sweep.ensure_message(entry)  # the process that has submitted it may have been killed
        return entry.state.seen(now)

    async def _begin(self, user: str, context: dict[str, str], revision: int) -> SignIn | None:
        """Start a sign-in; None if another process was faster."""
        shared = self._shared
        flow = StoredFlow(
            id=secrets.token_urlsafe(16),
            user=user,
            server=shared.flow.identity.server,
            authorization=await shared.flow.start(),
            context=context,
        )
        entry = await self._states.create(QueuedFlow(flow=flow))
        try:
            await self._states.write_user(flow.key, flow.id, revision)
        except StoreConflict:
            # No user has seen our code.
            await self._states.delete(entry)
            return None
        try:
            await self._messages.publish(flow.id)
        except FullError as error:
            await self._withdraw(entry)
            if "maximum messages" in str(error):
                raise TooManySignIns("the queue has room for no further sign-in", retry_after=RETRY_AFTER) from None
            raise
        return SignIn.of(flow)

    async def _withdraw(self, entry: Entry) -> None:
        """Delete a state whose code is not shown to the user. If that fails, a sweep or the next `submit` finds it."""
        try:
            await self._states.delete(entry)
        except StoreError as error:
            _log.debug("the state of a sign-in that was not started is kept: %s", error)
