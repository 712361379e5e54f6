"""`RunningFlow`: performs the steps that `flow_life.decide` chooses for one flow, until nothing is left to do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

import attrs

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import ConfigurationError, LoginRequired, StoreConflict, StoreError, TwilioOAuthError
from twilio_oauth_async.grants.device_flow import DeviceFlow
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.protocol.polling import Unreachable
from twilio_oauth_async.sign_in.base import SignIn
from twilio_oauth_async.sign_in.endings import Ending, problem_of
from twilio_oauth_async.sign_in.flow_life import NEVER, advance, decide, ended_as
from twilio_oauth_async.sign_in.flow_steps import (
    Act,
    CallFailed,
    End,
    FlowLife,
    Happening,
    Leased,
    Looked,
    Outcome,
    Polled,
    PollFailed,
    Recorded,
    Rest,
)
from twilio_oauth_async.sign_in.leases import Leases
from twilio_oauth_async.sign_in.store_calls import StoreCalls
from twilio_oauth_async.stores.base import FlowStore, StoredFlow, TokenStore
from twilio_oauth_async.tasks import create_task
from twilio_oauth_async.tokens.managers import TokenManagers
from twilio_oauth_async.tokens.saving import remove_sign_in, save_sign_in

_log = logging.getLogger(__name__)


@attrs.frozen
class Shared:
    """What all flows of a pool share. All of it is lent."""

    flow: DeviceFlow
    flows: FlowStore
    tokens: TokenStore
    leases: Leases
    clock: Clock
    managers: TokenManagers
    """Of the users whose tokens this process uses."""
    flow_calls: StoreCalls = attrs.field(factory=lambda: StoreCalls("flow store"))
    token_calls: StoreCalls = attrs.field(factory=lambda: StoreCalls("token store"))

    async def load(self, id_: str) -> StoredFlow | None:
        """Return a stored flow; raises `StoreError`."""
        return await self.flow_calls.of(self.flows.load(id_))

    async def has_token(self, flow: StoredFlow) -> bool:
        """Return whether the token of `flow` is stored; raises `StoreError`."""
        stored = await self.token_calls.of(self.tokens.load(flow.key))
        return stored is not None and stored.epoch == flow.epoch


class RunningFlow:
    """The state of one flow in this process, and the only one that changes it."""

    def __init__(self, life: FlowLife, shared: Shared, publish: Callable[[SignIn], None]) -> None:
        """Create it; nothing is sent.

        Args:
            life: of a flow that was just created or taken up.
            shared: what it is run with.
            publish: is called with the sign-in when its `problem` changes.
        """
        self.life: FlowLife = life
        self._publish = publish
        self.problem: str | None = None
        """Why the sign-in makes no progress, for the user."""
        self.is_polling: bool = False
        """A request was sent whose response may contain the token."""
        self._shared = shared
        self._poller = shared.flow.poller(life.flow.authorization, self._poll_was_sent)
        self._sleep: asyncio.Future[None] | None = None

    @property
    def id(self) -> str:
        """The id of the sign-in."""
        return self.life.flow.id

    @property
    def sign_in(self) -> SignIn:
        """The present state."""
        life = self.life
        if life.ending is None or not life.is_recorded:
            return SignIn.of(attrs.evolve(life.flow, state="pending"), self.problem)
        return SignIn.of(attrs.evolve(life.flow, state=life.ending.state, problem=life.ending.problem))

    @property
    def is_under_way(self) -> bool:
        """Whether something would be lost if this ended now: a poll, a token, or an end that is not recorded."""
        life = self.life
        return self.is_polling or life.token is not None or (life.ending is not None and not life.is_recorded)

    def tell(self, outcome: Outcome) -> None:
        """Advance the state by `outcome`."""
        self.life = advance(self.life, outcome, self._shared.leases.now())

    def stop(self) -> None:
        """Send no further poll, and end as soon as nothing is under way."""
        self.tell(Happening.STOPPING)
        self._wake()

    def end(self, ending: Ending) -> None:
        """Take in an end that the flow store has."""
        if not self.life.is_recorded:
            self.life = ended_as(self.life, ending)
            self._wake()

    async def run(self) -> None:
        """Perform steps until nothing is left to do for this process."""
        while True:
            step = decide(self.life, self._shared.leases.now())
            if step is Act.STOP:
                return
            if isinstance(step, Rest):
                await self._rest(step.at)
            else:
                await self.perform(step)

    async def revoke_unsaved(self) -> None:
        """Revoke a token that was received and cannot be kept, because the pool closes."""
        token = self.life.token
        if token is not None and not self.life.is_saved:
            await self._revoke(token)

    async def _rest(self, at: float) -> None:
        clock = self._shared.clock
        sleep = self._sleep = create_task(clock.sleep(max(0.0, at - clock.monotonic())))
        try:
            await asyncio.wait({sleep})
            if not sleep.cancelled():
                sleep.result()  # a clock that raises must not cause a loop without a wait
        finally:
            self._sleep = None
            if not sleep.done():
                sleep.cancel()
                await asyncio.wait({sleep})

    def _wake(self) -> None:
        if self._sleep is not None:
            self._sleep.cancel()

    async def perform(self, step: Act | End) -> None:
        """Perform one step, and advance the state by its outcome."""
        try:
            outcome = await self._outcome_of(step)
        except StoreError as error:
            kind = End if isinstance(step, End) else step
            self.tell(CallFailed(kind, error))
            if self.life.token is not None:
                self._show_problem(problem_of(error))
        else:
            self.tell(outcome)

    async def _outcome_of(self, step: Act | End) -> Outcome:
        if isinstance(step, End):
            return await self._end(step.ending)
        match step:
            case Act.LEASE:
                lease = await self._shared.leases.ask_with_others(self.id)
                return Happening.LOST if lease is None else Leased(lease)
            case Act.LOOK:
                return await self._look()
            case Act.POLL:
                return await self._poll()
            case Act.SAVE_STATE:
                return await self._save_state()
            case Act.GRANT:
                return await self._grant()
            case Act.SAVE_TOKEN:
                return await self._save_token()
            case Act.REVOKE:
                assert self.life.token is not None, "chosen while a token is held"
                await self._revoke(self.life.token)
                return Happening.REVOKED
            case Act.REMOVE:
                life, shared = self.life, self._shared
                removal = remove_sign_in(shared.tokens, shared.flow, life.flow.user, epoch=life.flow.epoch)
                await shared.token_calls.of(removal)
                return Happening.REMOVED
            case Act.STOP:
                raise AssertionError("run() ends then")

    async def _look(self) -> Outcome:
        is_first = self.life.looked_at == NEVER
        flow = await self._shared.load(self.id)
        may_be_saved = is_first or flow is None or flow.state == "granted"
        return Looked(flow, may_be_saved and await self._shared.has_token(flow or self.life.flow))

    async def _poll(self) -> Outcome:
        try:
            step = await self._poller.poll(self.life.flow.authorization)
        except TwilioOAuthError as error:
            # A session that is closed sends nothing. The flow is left to a process whose session is open.
            is_closed = isinstance(error, ConfigurationError) and not self._shared.flow.session.is_open
            return Happening.STOPPING if is_closed else PollFailed(error)
        finally:
            self.is_polling = False
        self._show_problem(problem_of(step.error) if isinstance(step, Unreachable) else None)
        return Polled(step)

    def _poll_was_sent(self) -> None:
        self.is_polling = True

    async def _save_state(self) -> Outcome:
        try:
            await self._shared.flow_calls.of(self._shared.flows.save(self.life.flow))
        except StoreConflict:
            return Happening.STATE_OUTDATED
        return Happening.STATE_SAVED

    async def _grant(self) -> Outcome:
        granting = self._shared.flows.grant(self.id, self._shared.leases.owner)
        return Happening.GRANTED if await self._shared.flow_calls.of(granting) else Happening.NOT_GRANTED

    async def _save_token(self) -> Outcome:
        life, shared = self.life, self._shared
        assert life.token is not None, "chosen while a token is held"
        assert life.received is not None, "there is a token"
        saving = save_sign_in(
            shared.tokens,
            shared.flow,
            life.flow.user,
            life.token,
            epoch=life.flow.epoch,
            signed_in_at=life.received.wall,
        )
        try:
            await shared.token_calls.of(saving)
            await self._give_to_manager(life.token, life.received.wall)
        except LoginRequired:
            return Happening.SIGNED_OUT
        return Happening.TOKEN_SAVED

    async def _give_to_manager(self, token: Token, signed_in_at: datetime) -> None:
        """Let the manager of the user, if there is one, use the new token instead of that of an earlier sign-in."""
        flow = self.life.flow
        manager = self._shared.managers.in_use(flow.user)
        if manager is not None:
            try:
                await manager.adopt(token, epoch=flow.epoch, signed_in_at=signed_in_at)
            except StoreError as error:
                _log.warning("a manager saves the token of a new sign-in once more: %s", error)

    async def _end(self, ending: Ending) -> Outcome:
        recording = self._shared.flows.end(self.id, ending.state, ending.problem)
        return Recorded(ending) if await self._shared.flow_calls.of(recording) else Happening.NOT_RECORDED

    async def _revoke(self, token: Token) -> None:
        try:
            await self._shared.flow.revoke(token)
        except TwilioOAuthError as error:
            _log.warning("the token of a sign-in that has ended could not be revoked: %s", error)

    def _show_problem(self, problem: str | None) -> None:
        if problem != self.problem:
            self.problem = problem
            self._publish(self.sign_in)
