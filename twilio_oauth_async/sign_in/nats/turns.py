"""`Turns`: what a worker does with one message: it polls once, saves the state, and lets the message come again.

The order that survives a crash at any point is: read the state, poll, save the state by compare-and-set, let the server
deliver the message again at the time of the next poll. After an approval: record that the token was received, save it,
record the end, publish it, acknowledge the message.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

import attrs

from twilio_oauth_async import telemetry
from twilio_oauth_async.clock import spread
from twilio_oauth_async.errors import InvalidGrantError, StoreConflict, StoreError
from twilio_oauth_async.protocol import polling
from twilio_oauth_async.sign_in.base import SignIn
from twilio_oauth_async.sign_in.endings import APPROVED, TOKEN_LOST, TOKEN_REVOKED, Ending, ending_of_error
from twilio_oauth_async.sign_in.flow_life import FOLLOW_EVERY, pause
from twilio_oauth_async.sign_in.flow_steps import Act, FlowLife
from twilio_oauth_async.sign_in.nats.pulling import Delivery
from twilio_oauth_async.sign_in.nats.records import (
    Choice,
    QueuedFlow,
    after_turn,
    choose,
    claimed,
    seconds_to_turn,
    taken_over,
    with_revoked_token,
)
from twilio_oauth_async.sign_in.nats.states import Entry, States
from twilio_oauth_async.sign_in.running import RunningFlow, Shared
from twilio_oauth_async.tokens.saving import remove_sign_in

T = TypeVar("T")

SHORT_WAIT = 2.0
"""Seconds for which a worker waits with a message in its hands. A message often comes a little before its time."""

MAX_SAVE_PAUSE = 5.0
"""Seconds. After each failure the pause before the state is saved again doubles, up to this."""

CLOSED_PAUSE = 10.0
"""Seconds until a message comes again that a worker could not use because its session is closed."""

_log = logging.getLogger(__name__)


class Turns:
    """Runs the turns of all workers of one process."""

    def __init__(self, shared: Shared, states: States, publish: Callable[[SignIn, RunningFlow | None], None]) -> None:
        """Create it.

        Args:
            shared: what the flows are run with; its flow store is `states`.
            states: the states in the bucket.
            publish: is called with each sign-in that has changed for users, and the flow that knows why it has ended.
        """
        self.running: dict[str, RunningFlow] = {}
        """The sign-ins that are polled or saved now."""
        self._shared = shared
        self._states = states
        self._publish = publish

    async def take(self, delivery: Delivery) -> None:
        """Do what is due with the sign-in of a message; raises `StoreError`."""
        while True:
            entry = await self._states.read(delivery.id)
            if entry is None:
                # The end was reported some time ago, or the code was never shown to the user.
                await delivery.acknowledge()
                return
            choice = choose(entry.state, delivery.number, self._shared.clock.now())
            seconds = seconds_to_turn(entry.state, self._shared.clock.now())
            if choice is not Choice.WAIT or seconds > SHORT_WAIT:
                break
            await self._shared.clock.sleep(seconds)
        try:
            await self._perform(choice, entry, delivery, seconds)
        except StoreConflict:
            # The sign-in was cancelled, or another worker has it now: it is left to that, or comes again.
            _log.debug("a sign-in has changed during its turn, and is left")

    async def close(self) -> None:
        """Revoke the tokens that were received and could not be saved."""
        for running in list(self.running.values()):
            await running.revoke_unsaved()

    async def _perform(self, choice: Choice, entry: Entry, delivery: Delivery, seconds: float) -> None:
        state, now = entry.state, self._shared.clock.now()
        if telemetry.observer is not None and choice is Choice.TAKE_OVER:
            telemetry.observer.count("twilio_oauth.queue.redeliveries", {})
        match choice:
            case Choice.DROP:
                await delivery.acknowledge()
            case Choice.FINISH:
                await self._finish(state, delivery)
            case Choice.LOOK:
                if await self._shared.has_token(state.flow):
                    await self._end(state, delivery, APPROVED)
                else:
                    await delivery.give_back(FOLLOW_EVERY)
            case Choice.LOSE:
                is_saved = await self._shared.has_token(state.flow)
                await self._end(state, delivery, APPROVED if is_saved else TOKEN_LOST)
            case Choice.TAKE_OVER:
                await self._take_over(entry, delivery)
            case Choice.EXPIRE:
                await self._end(state, delivery, ending_of_error(polling.expired(state.flow.authorization)))
            case Choice.WAIT:
                await self._leave(entry, after_turn(state, delivery.number, self._owner, now), delivery, seconds)
            case Choice.CLAIM:
                claim = await self._states.write(entry, claimed(state, self._owner))
                await self._poll(claim, delivery)
            case Choice.POLL:
                await self._poll(entry, delivery)

    @property
    def _owner(self) -> str:
        return self._shared.leases.owner

    async def _finish(self, state: QueuedFlow, delivery: Delivery) -> None:
        if not state.flow.delivered and self._states.publish_end is not None:
            await self._states.publish_end(state.flow)
        await delivery.acknowledge()

    async def _take_over(self, entry: Entry, delivery: Delivery) -> None:
        if await self._shared.has_token(entry.state.flow):
            # The server of NATS has lost the last write. A second exchange of the code would revoke the token.
            self._states.claims[delivery.id] = entry.state.claims
            try:
                is_granted = await self._states.grant(delivery.id, self._owner)
            finally:
                self._states.claims.pop(delivery.id, None)
            if is_granted:
                await self._end(entry.state, delivery, APPROVED)
            return
        now = self._shared.clock.now()
        state = taken_over(entry.state, delivery.number, self._owner, now, spread(self._shared.clock))
        await self._leave(entry, state, delivery, seconds_to_turn(state, now))

    async def _leave(self, entry: Entry, state: QueuedFlow, delivery: Delivery, seconds: float) -> None:
        """Save the state, and let the message come again in `seconds`."""
        await self._states.write(entry, state)
        await delivery.give_back(seconds)

    async def _poll(self, entry: Entry, delivery: Delivery) -> None:
        if not self._shared.flow.session.is_open:
            await delivery.give_back(CLOSED_PAUSE)
            return
        if not delivery.is_ours or delivery.id in self.running:
            return  # the process was suspended, or it has lost the connection
        running = self._running(entry.state, delivery)
        if telemetry.observer is not None:
            late = (self._shared.clock.now() - entry.state.flow.authorization.next_poll_at).total_seconds()
            telemetry.observer.record("twilio_oauth.queue.lateness", max(0.0, late), {})
        self.running[running.id] = running
        self._states.claims[running.id] = entry.state.claims
        try:
            await running.perform(Act.POLL)
            if running.life.is_stopping:
                await delivery.give_back(CLOSED_PAUSE)
            elif running.life.token is not None or running.life.ending is not None:
                await self._take_back_approval(running)
                await self._run_to_end(running, delivery)
            else:
                await self._save(entry, running, delivery)
        finally:
            if running.life.token is None or running.life.is_saved:
                self._forget(running.id)

    async def _take_back_approval(self, running: RunningFlow) -> None:
        """If this poll has exchanged the code a second time, end the sign-in as failed: its token is revoked.

        That happens to a worker that was suspended or cut off just before it sent the poll: meanwhile another one got
        the token.
        """
        ending, shared = running.life.ending, self._shared
        if ending is None or not isinstance(ending.error, InvalidGrantError):
            return
        now = shared.clock.now()
        state = await self._until_stored(
            lambda: self._states.change(running.id, lambda state: with_revoked_token(state, now))
        )
        if state is None:
            return
        _log.error("the device code of a sign-in was sent twice: the sign-in has failed, and its token is removed")
        running.end(TOKEN_REVOKED)
        flow = state.flow
        removal = partial(remove_sign_in, shared.tokens, shared.flow, flow.user, epoch=flow.epoch)
        await self._until_stored(lambda: shared.token_calls.of(removal()))
        if self._states.publish_end is not None:
            await self._until_stored(partial(self._states.publish_end, flow))

    async def _until_stored(self, call: Callable[[], Awaitable[T]], until: datetime | None = None) -> T:
        """Repeat `call` until it works, or raises another error than that a store is down, or `until` is over."""
        failures = 0
        while True:
            try:
                return await call()
            except StoreConflict:
                raise
            except StoreError:
                failures += 1
                if until is not None and self._shared.clock.now() >= until:
                    raise
                await self._shared.clock.sleep(min(pause(failures), MAX_SAVE_PAUSE))

    def _forget(self, id_: str) -> None:
        self.running.pop(id_, None)
        self._states.claims.pop(id_, None)

    def _running(self, state: QueuedFlow, delivery: Delivery, ending: Ending | None = None) -> RunningFlow:
        now = self._shared.leases.now()
        life = FlowLife(
            flow=attrs.evolve(state.flow, owner=self._owner),
            start=now,
            known=now,
            stored=state.flow.authorization,
            lease=delivery.lease,
            looked_at=now.monotonic,
            ending=ending,
        )
        running = RunningFlow(life, self._shared, lambda _: None)
        if state.flow.state == "pending":
            running.problem = state.flow.problem
        return running

    async def _save(self, entry: Entry, running: RunningFlow, delivery: Delivery) -> None:
        """Save the state after a poll. While NATS is down, the state is kept here: a later interval must not be lost.

        Raises:
            StoreConflict: the sign-in was cancelled, or another worker has it.
        """
        shared = self._shared
        authorization = running.life.flow.authorization
        flow = attrs.evolve(entry.state.flow, authorization=authorization, problem=running.problem)
        state = after_turn(attrs.evolve(entry.state, flow=flow), delivery.number, self._owner, shared.clock.now())
        await self._until_stored(lambda: self._states.write(entry, state), until=authorization.expires_at)
        now = shared.clock.now()
        await delivery.give_back(seconds_to_turn(state, now))
        if flow.problem != entry.state.flow.problem:
            self._publish(state.seen(now), running)

    async def _end(self, state: QueuedFlow, delivery: Delivery, ending: Ending) -> None:
        await self._run_to_end(self._running(state, delivery, ending), delivery)

    async def _run_to_end(self, running: RunningFlow, delivery: Delivery) -> None:
        """Save the token, and record and publish the end. It goes on while a store fails."""
        await running.run()
        if not running.life.is_recorded:
            return
        self._publish(running.sign_in, running)
        _log.info("a sign-in ended: %s", running.sign_in.state)
        await delivery.acknowledge()
