"""Each end is reported at least once, in one of the processes that have an `on_end`."""

import asyncio

import pytest

from tests.helpers.nats_server import until
from twilio_oauth_async import ConfigurationError
from twilio_oauth_async.sign_in.flow_life import KEPT

pytestmark = pytest.mark.asyncio

WEB = {"concurrency": 0}


async def approved(world, queue, user="ada", **options):
    """Start a sign-in, approve it, and return its id."""
    sign_in = await queue.submit(user, **options)
    await world.emulator.approve(sign_in.user_code)
    return sign_in.id


async def test_one_process_of_those_with_a_callback_is_called(world):
    first, second = [], []
    async with world.queues(WEB, {"on_end": first.append}, {"on_end": second.append}) as [web, *_]:
        ids = [await approved(world, web, user, context={"chat": user}) for user in ("ada", "bob", "eve")]
        for id_ in ids:
            await web.result(id_)
        await until(lambda: len(first + second) == 3)
        assert {(end.id, end.state, end.context["chat"]) for end in first + second} == {
            (id_, "approved", user) for id_, user in zip(ids, ("ada", "bob", "eve"), strict=True)
        }
        assert await world.stored("ada") is not None, "the token is stored before the end is reported"


async def test_end_is_kept_for_a_process_that_opens_later(world):
    ends = []
    async with world.queues({"on_end": ends.append}):
        pass  # from now on, ends are kept
    async with world.queues({}) as [worker]:
        id_ = await approved(world, worker)
        await worker.result(id_)
    async with world.queues({"on_end": ends.append, "concurrency": 0}):
        await until(lambda: [end.id for end in ends] == [id_])


async def test_end_is_not_kept_where_no_process_has_a_callback(world):
    async with world.queues({}) as [worker]:
        await worker.result(await approved(world, worker))
        stream = await worker._connection.js.stream_info("twilio-oauth-ends")
        assert stream.state.messages == 0


@pytest.mark.parametrize("is_coroutine", [False, True])
async def test_callback_that_raises_is_called_again(world, is_coroutine, caplog):
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    calls = []

    def on_end(sign_in):
        calls.append(sign_in.id)
        if len(calls) < 2:
            raise ValueError("the database of the application is down")

    async def on_end_later(sign_in):
        await asyncio.sleep(0)
        on_end(sign_in)

    async with world.queues({"on_end": on_end_later if is_coroutine else on_end}) as [queue]:
        id_ = await approved(world, queue)
        await until(lambda: calls == [id_, id_])
        await until(lambda: is_delivered(queue, id_))
    assert "the callback on_end raised ValueError" in caplog.text
    assert "database" not in caplog.text


async def is_delivered(queue, id_):
    return (await queue._states.read(id_)).state.flow.delivered


async def test_callback_that_is_interrupted_is_called_in_another_process(world):
    started, ends = asyncio.Event(), []

    async def never(sign_in):
        started.set()
        await asyncio.Event().wait()

    async with world.queues(WEB) as [web]:
        async with world.queues({"on_end": never, "close_timeout": 0.1}) as [first]:
            id_ = await approved(world, first)
            await asyncio.wait_for(started.wait(), 10)
        async with world.queues({"on_end": ends.append}):
            await until(lambda: [end.id for end in ends] == [id_])
        assert (await web.find(id_)).state == "approved"


async def test_state_is_kept_for_a_while_after_the_report(world):
    ends = []
    async with world.queues({"on_end": ends.append, "sweep_every": 0.2}) as [queue]:
        id_ = await approved(world, queue)
        await until(lambda: is_delivered(queue, id_))
        assert (await queue.find(id_)).state == "approved"
        world.clock.advance(2 * KEPT + 1)
        await until(lambda: is_gone(queue, id_))
        assert await queue.find_user("ada") is None
        assert [end.id for end in ends] == [id_]


async def is_gone(queue, id_):
    return await queue.find(id_) is None


async def test_callback_is_set_until_the_queue_is_opened(world):
    queue, ends = await world.queue(), []
    with pytest.raises(ConfigurationError, match="on_end"):
        queue.on_end = "no function"
    queue.on_end = ends.append
    async with queue:
        with pytest.raises(ConfigurationError, match="until the queue is opened"):
            queue.on_end = None
        id_ = await approved(world, queue)
        await until(lambda: [end.id for end in ends] == [id_])
