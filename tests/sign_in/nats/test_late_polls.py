"""A worker that was suspended or cut off for longer than `ack_wait`, while it had a poll under way.

Its poll is held where the process would be suspended, and its message is not kept from going to another worker.
"""

import asyncio
import contextlib
import logging

import pytest
import pytest_asyncio

from tests.helpers.nats_server import until
from tests.helpers.queue_world import INTERVAL
from twilio_oauth_async import DeviceFlowError, OAuthSession, RetryPolicy
from twilio_oauth_async.sign_in.nats.pulling import Delivery

pytestmark = pytest.mark.asyncio

ACK_WAIT = 1.0


class HeldPoll:
    """Holds the next request of a session, before or after it, until `resume`."""

    def __init__(self, session, where):
        self.stopped, self._resumed = asyncio.Event(), asyncio.Event()
        exchange = session.exchange

        async def hold(request, parse, **options):
            session.exchange = exchange
            if where == "before":
                await self._stop()
            response = await exchange(request, parse, **options)
            if where == "after":
                await self._stop()
            return response

        session.exchange = hold

    async def _stop(self):
        self.stopped.set()
        await self._resumed.wait()

    def resume(self):
        self._resumed.set()


@pytest_asyncio.fixture
async def start(world, monkeypatch):
    """Return a function that starts a sign-in in a queue with a session of its own, and holds its first poll."""

    hold, suspended = Delivery.hold, []

    async def hold_unless_suspended(delivery, seconds):
        """A process that is suspended does not keep its messages."""
        if not any(
            queue._connection is delivery._puller._connection and poll.stopped.is_set() for queue, poll in suspended
        ):
            await hold(delivery, seconds)

    monkeypatch.setattr(Delivery, "hold", hold_unless_suspended)
    emulator = world.emulator
    async with contextlib.AsyncExitStack() as stack:

        async def start(where):
            session = await stack.enter_async_context(
                OAuthSession(
                    emulator.account_sid,
                    emulator.auth_token,
                    base_url=emulator.base_url,
                    clock=world.clock,
                    retry=RetryPolicy.none(),
                )
            )
            flow = world.device_flow(session=session)
            queue = await stack.enter_async_context(await world.queue(flow=flow, ack_wait=ACK_WAIT))
            sign_in = await queue.submit("ada")
            poll = HeldPoll(session, where)
            suspended.append((queue, poll))
            stack.callback(poll.resume)  # a queue waits for its polls when it is closed
            return queue, sign_in, poll

        yield start


async def is_claimed(queue, id_):
    return (await queue._states.read(id_)).state.claims > 0


async def is_contested(queue, id_):
    return (await queue._states.read(id_)).state.contested_at is not None


async def state_is(queue, id_, state):
    return (await queue.find(id_)).state == state


async def test_poll_that_is_sent_after_the_approval_of_another_worker_takes_it_back(world, start, caplog):
    """Its code is exchanged twice, and the server revokes the token that the other worker has saved."""
    caplog.set_level(logging.ERROR, "twilio_oauth_async")
    ends = []
    first, sign_in, poll = await start("before")
    await asyncio.wait_for(poll.stopped.wait(), 30)
    await world.emulator.approve(sign_in.user_code)
    async with world.queues({"on_end": ends.append, "ack_wait": ACK_WAIT}) as [second]:
        await asyncio.wait_for(second.result(sign_in.id), 30)
        assert await world.stored("ada") is not None
        await until(lambda: [end.state for end in ends] == ["approved"])
        world.clock.advance(INTERVAL)  # the late poll is no early one
        poll.resume()
        await until(lambda: state_is(second, sign_in.id, "failed"))
        await until(lambda: [end.state for end in ends] == ["approved", "failed"])
        for queue in (first, second):
            with pytest.raises(DeviceFlowError, match="sent twice"):
                await queue.result(sign_in.id)
        assert await world.stored("ada") is None
        assert "sent twice" in caplog.text
        assert world.polls() == [201, 400]


async def test_late_token_is_saved_if_no_other_worker_has_polled_since(world, start):
    _, sign_in, poll = await start("after")
    await world.emulator.approve(sign_in.user_code)
    await asyncio.wait_for(poll.stopped.wait(), 30)
    async with world.queues({"ack_wait": ACK_WAIT}) as [second]:
        await until(lambda: is_contested(second, sign_in.id))
        poll.resume()
        await asyncio.wait_for(second.result(sign_in.id), 30)
        assert await world.stored("ada") is not None
        assert world.polls() == [201], "the code was exchanged once"
        assert world.revocations() == []


async def test_late_token_is_refused_if_another_worker_has_polled_since(world, start):
    """The poll of the other worker was the second exchange, so that the token is revoked."""
    first, sign_in, poll = await start("after")
    await world.emulator.approve(sign_in.user_code)
    await asyncio.wait_for(poll.stopped.wait(), 30)
    async with world.queues({"ack_wait": ACK_WAIT}) as [second]:
        await until(lambda: is_claimed(second, sign_in.id))
        with pytest.raises(DeviceFlowError):
            await asyncio.wait_for(second.result(sign_in.id), 30)
        poll.resume()
        await until(lambda: not first._turns.running)
        assert (await first.find(sign_in.id)).state == "failed"
        assert await world.stored("ada") is None
        assert "save" not in world.tokens.calls
        assert world.polls() == [201, 400]


async def test_late_pending_response_changes_nothing(world, start):
    first, sign_in, poll = await start("after")
    await asyncio.wait_for(poll.stopped.wait(), 30)
    async with world.queues({"ack_wait": ACK_WAIT}) as [second]:
        await until(lambda: is_claimed(second, sign_in.id))
        poll.resume()
        await until(lambda: not first._turns.running)
        assert (await second.find(sign_in.id)).state == "pending"
        await world.emulator.approve(sign_in.user_code)
        await asyncio.wait_for(first.result(sign_in.id), 30)
        assert await world.stored("ada") is not None
