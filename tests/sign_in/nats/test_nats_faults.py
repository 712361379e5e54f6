"""NATS that is full, down or restarted, and parts of a queue that an operator deletes. Nothing stored is lost."""

import asyncio

import pytest
from nats.js.api import StreamConfig

from tests.helpers.nats_server import NatsServer, until
from tests.helpers.queue_world import queue_world
from twilio_oauth_async import ConfigurationError, StoreError, TooManySignIns
from twilio_oauth_async.sign_in.nats import DeviceFlowQueue

pytestmark = pytest.mark.asyncio

WEB = {"concurrency": 0}


async def test_limit_of_flows_is_too_many_sign_ins(world):
    async with world.queues({"max_flows": 2, **WEB}) as [web]:
        sign_ins = [await web.submit(user) for user in ("ada", "bob")]
        with pytest.raises(TooManySignIns) as raised:
            await web.submit("eve")
        assert raised.value.retry_after > 0
        assert await web.find_user("eve") is None
        assert await web.submit("ada") == sign_ins[0], "one that is pending can be joined"
        async with world.queues({}) as [worker]:
            await world.emulator.approve(sign_ins[0].user_code)
            await asyncio.wait_for(worker.result(sign_ins[0].id), 30)
            await until(lambda: can_submit(web, "eve"))


async def can_submit(queue, user):
    try:
        return await queue.submit(user)
    except TooManySignIns:
        return None


async def test_full_bucket_is_a_store_error_and_pending_sign_ins_go_on_when_there_is_room(world):
    async with world.queues({}) as [queue]:
        sign_in = await queue.submit("ada")
        js = queue._connection.js
        info = await js.stream_info("KV_twilio-oauth-sign-ins")
        await js.update_stream(full(info, info.state.bytes))
        with pytest.raises(StoreError, match="room"):
            await queue.submit("bob")
        await world.emulator.approve(sign_in.user_code)
        await until(lambda: 201 in world.polls())
        await js.update_stream(full(info, -1))
        await asyncio.wait_for(queue.result(sign_in.id), 30)
        assert world.polls().count(201) == 1
        assert (await queue.submit("bob")).state == "pending"


def full(info, max_bytes):
    config = info.config
    config.max_bytes = max_bytes
    return config


async def test_nats_that_is_down_at_the_start(world, nats_server):
    client = await world.connect()
    nats_server.stop()
    await until(lambda: not client.is_connected)
    queue = await world.queue(client=client)
    with pytest.raises(StoreError, match="cannot be reached"):
        await queue.open()
    with pytest.raises(ConfigurationError, match="not open"):
        await queue.submit("ada")
    nats_server.start()
    await until(lambda: client.is_connected)
    async with queue:
        assert (await queue.submit("ada")).state == "pending"


async def test_server_without_jetstream(world):
    server = NatsServer(None).start()
    try:
        queue = await world.queue(client=await world.connect(server.url))
        with pytest.raises(StoreError):
            await queue.open()
    finally:
        server.stop()


@pytest.mark.parametrize("call", ["submit", "find", "cancel"])
async def test_calls_while_nats_is_down_raise_and_work_again_later(world, nats_server, call):
    async with world.queues({}) as [queue]:
        sign_in = await queue.submit("ada")
        nats_server.stop()
        with pytest.raises(StoreError):
            await (queue.submit("bob") if call == "submit" else getattr(queue, call)(sign_in.id))
        assert not queue.is_ready
        nats_server.start()
        await until(lambda: queue.is_ready)
        assert (await queue.find(sign_in.id)).state == "pending"
        assert (await queue.submit("bob")).state == "pending"


async def test_approval_while_nats_is_down_is_not_lost(world, nats_server):
    """The worker has the token, and records it when NATS is there again."""
    async with world.queues({}) as [queue]:
        sign_in = await queue.submit("ada")
        await world.emulator.approve(sign_in.user_code)
        world.emulator.faults.on("poll").on_success().when(lambda _: nats_server.stop() or True).delay(0.01)
        await until(lambda: 201 in world.polls())
        nats_server.start()
        await until(lambda: is_approved(queue, sign_in.id), 20)
        assert await world.stored("ada") is not None
        assert world.polls().count(201) == 1


async def is_approved(queue, id_):
    try:
        return (await queue.find(id_)).state == "approved"
    except StoreError:
        return False


@pytest.mark.parametrize("stream", ["twilio-oauth-flows", "twilio-oauth-ends"])
async def test_stream_that_is_deleted_by_hand_is_created_again(world, stream):
    ends = []
    async with world.queues({"on_end": ends.append, "sweep_every": 0.3}) as [queue]:
        sign_in = await queue.submit("ada")
        await queue._connection.js.delete_stream(stream)
        await world.emulator.approve(sign_in.user_code)
        await until(lambda: [end.id for end in ends] == [sign_in.id], 20)
        assert await world.stored("ada") is not None


async def test_bucket_that_is_deleted_by_hand_ends_its_sign_ins_and_is_created_again(world):
    async with world.queues({"concurrency": 0}, {}) as [web, _]:
        sign_in = await web.submit("ada")
        waiting = asyncio.create_task(web.result(sign_in.id))
        await until(lambda: web._watching._watches)
        await web._connection.js.delete_key_value("twilio-oauth-sign-ins")
        with pytest.raises(StoreError):
            await web.submit("bob")
        await until(lambda: can_store(web, "bob"), 15)
        assert await web.find(sign_in.id) is None
        waiting.cancel()
        await asyncio.wait({waiting})
        second = await web.find_user("bob")
        await world.emulator.approve(second.user_code)
        await asyncio.wait_for(web.result(second.id), 30)


async def can_store(queue, user):
    try:
        return await queue.submit(user)
    except StoreError:
        return None


async def test_stream_of_another_program_is_not_used(world):
    js = (await world.connect()).jetstream()
    await js.add_stream(StreamConfig(name="other-flows", subjects=["other.flows.>"]))
    queue = await world.queue(name="other")
    with pytest.raises(ConfigurationError, match="exists and is not one of this package"):
        await queue.open()


async def test_limits_that_an_operator_has_set_are_kept(world):
    async with world.queues({"max_flows": 5}, {"max_flows": 50, "ack_wait": 7.0}) as [first, second]:
        js = first._connection.js
        assert (await js.stream_info("twilio-oauth-flows")).config.max_msgs == 5
        assert second._background._ack_wait == 2.0, "each process uses the time that the consumer has"


async def test_url_of_nats_with_a_password_is_not_shown(nats_server, tmp_path, caplog):
    async with queue_world(nats_server, tmp_path) as world:
        client = await world.connect(nats_server.url.replace("//", "//ada:password-of-nats@"))
        async with await world.queue(client=client) as queue:
            assert isinstance(queue, DeviceFlowQueue)
            nats_server.stop()
            with pytest.raises(StoreError) as raised:
                await queue.submit("ada")
            assert "password-of-nats" not in repr(raised.value) + repr(raised.value.__context__) + caplog.text
