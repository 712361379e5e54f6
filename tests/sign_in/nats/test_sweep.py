"""What a sweep repairs: a sign-in is submitted in two writes, and an operator may delete what he should not."""

import asyncio

import pytest

from tests.helpers.nats_server import until
from twilio_oauth_async import StoreError
from twilio_oauth_async.sign_in.nats.sweep import Messages

pytestmark = pytest.mark.asyncio

SWEEPING = {"sweep_every": 0.3}


async def count(queue, stream):
    return (await queue._connection.js.stream_info(stream)).state.messages


async def test_sign_in_whose_message_was_never_published_is_polled(world, monkeypatch):
    """The process that has submitted it was killed between its two writes."""
    publish = Messages.publish
    monkeypatch.setattr(Messages, "publish", lambda *_: asyncio.Event().wait())
    async with world.queues({"concurrency": 0, **SWEEPING}) as [web]:
        submitting = asyncio.create_task(web.submit("ada"))
        await until(lambda: is_pending(web, "ada"))
        sign_in = await web.find_user("ada")
        submitting.cancel()
        await asyncio.wait({submitting})
        monkeypatch.setattr(Messages, "publish", publish)
        async with world.queues(SWEEPING) as [worker]:
            await world.emulator.approve(sign_in.user_code)
            await asyncio.wait_for(worker.result(sign_in.id), 30)
    assert await world.stored("ada") is not None


async def is_pending(queue, user):
    return await queue.find_user(user) is not None


async def test_second_submit_publishes_the_message_of_the_first_without_a_sweep(world, monkeypatch):
    publish = Messages.publish
    monkeypatch.setattr(Messages, "publish", lambda *_: asyncio.Event().wait())
    async with world.queues({}, {}) as [first, second]:
        submitting = asyncio.create_task(first.submit("ada"))
        await until(lambda: is_pending(second, "ada"))
        monkeypatch.setattr(Messages, "publish", publish)
        sign_in = await second.submit("ada")
        submitting.cancel()
        await asyncio.wait({submitting})
        await world.emulator.approve(sign_in.user_code)
        await asyncio.wait_for(second.result(sign_in.id), 30)
    assert world.codes() == 1


async def test_messages_that_were_purged_are_published_again(world):
    async with world.queues(SWEEPING) as [queue]:
        sign_in = await queue.submit("ada")
        await queue._connection.js.purge_stream("twilio-oauth-flows")
        await world.emulator.approve(sign_in.user_code)
        await asyncio.wait_for(queue.result(sign_in.id), 30)
    assert world.polls().count(201) == 1


async def test_end_whose_message_was_purged_is_reported(world, monkeypatch):
    ends = []
    async with world.queues({"on_end": ends.append}):
        pass
    async with world.queues({}) as [worker]:
        sign_in = await worker.submit("ada")
        await world.emulator.approve(sign_in.user_code)
        await worker.result(sign_in.id)
        await until(lambda: has_messages(worker))
        await worker._connection.js.purge_stream("twilio-oauth-ends")
    async with world.queues({"on_end": ends.append, **SWEEPING}):
        await until(lambda: [end.id for end in ends] == [sign_in.id])


async def has_messages(queue):
    return await count(queue, "twilio-oauth-ends") == 1


async def test_message_without_a_state_is_removed(world):
    async with world.queues({"concurrency": 0}) as [web]:
        sign_in = await web.submit("ada")
        await web._states.delete(await web._states.read(sign_in.id))
        assert await count(web, "twilio-oauth-flows") == 1
        async with world.queues({}):
            await until(lambda: has_no_flows(web))
        assert await web.submit("ada") != sign_in, "the user can start again"
    assert world.polls() == []


async def has_no_flows(queue):
    return await count(queue, "twilio-oauth-flows") == 0


async def test_one_process_at_a_time_sweeps(world):
    async with world.queues({"sweep_every": 60.0}, {"sweep_every": 60.0}) as queues:
        now = world.clock.now()
        started = [await queue._states.start_sweep(now, lambda _: False) for queue in queues]
    assert started == [True, False]


async def test_sweep_while_nats_is_down_is_tried_again(world, nats_server):
    async with world.queues({**SWEEPING}) as [queue]:
        sign_in = await queue.submit("ada")
        await queue._connection.js.purge_stream("twilio-oauth-flows")
        nats_server.stop()
        with pytest.raises(StoreError):
            await queue._sweep.run()
        nats_server.start()
        await world.emulator.approve(sign_in.user_code)
        await asyncio.wait_for(queue.result(sign_in.id), 30)
