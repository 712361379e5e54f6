"""`DeviceFlowQueue` does what each `DeviceFlowRunner` does, in the process that is asked and in others."""

import asyncio

import pytest

from tests.helpers.event_loop import collect, other_tasks
from tests.helpers.nats_server import until
from tests.helpers.queue_world import queue_world
from twilio_oauth_async import (
    AccessDeniedError,
    ConfigurationError,
    DeviceCodeExpiredError,
    DeviceFlowError,
    SignInNotFound,
    TransportError,
)
from twilio_oauth_async.sign_in.nats import DeviceFlowQueue
from twilio_oauth_async.stores.base import epoch_of

pytestmark = pytest.mark.asyncio

WEB, WORKER = {"concurrency": 0}, {}


async def test_sign_in_from_start_to_end(world):
    async with world.queues({}) as [queue]:
        sign_in = await queue.submit("ada")
        assert (sign_in.user, sign_in.state, sign_in.scopes) == ("ada", "pending", ("openid",))
        listening = asyncio.create_task(collect(queue.events(sign_in.id)))
        await world.emulator.approve(sign_in.user_code)
        await queue.result(sign_in.id)
        stored = await world.stored("ada")
        assert [event.state for event in await listening] == ["pending", "approved"]
        assert await queue.manager("ada").access_token() == stored.token.access_token
        assert (stored.client_sid, stored.server) == (world.emulator.client_sid, world.emulator.base_url)
        assert (await queue.find(sign_in.id)).state == "approved"
        assert await queue.find_user("ada") is None
    assert world.polls() == [201]


async def test_double_click_that_reaches_both_processes_gives_one_code(world):
    async with world.queues() as [first, second]:
        sign_ins = await asyncio.gather(*(queue.submit("ada") for queue in (first, second, first)))
        assert len({sign_in.id for sign_in in sign_ins}) == 1
        assert await second.find(sign_ins[0].id) == await second.find_user("ada") == sign_ins[0]
        assert (await second.submit("bob")).id != sign_ins[0].id
        await world.emulator.approve(sign_ins[0].user_code)
        await asyncio.gather(*(queue.result(sign_ins[0].id) for queue in (first, second)))
        assert world.polls().count(201) == 1


async def test_web_process_starts_and_worker_process_polls(world):
    async with world.queues(WEB, WORKER) as [web, worker]:
        sign_in = await web.submit("ada", context={"chat": "7"})
        listening = asyncio.create_task(collect(web.events(sign_in.id)))
        assert (await worker.submit("ada", context={"chat": "8"})).context == {"chat": "7"}
        await world.emulator.approve(sign_in.user_code)
        await asyncio.gather(web.result(sign_in.id), worker.result(sign_in.id))
        events = await listening
        assert [event.state for event in events] == ["pending", "approved"]
        assert all(event.context == {"chat": "7"} for event in events)


ENDS = {
    "denied": AccessDeniedError,
    "expired": DeviceCodeExpiredError,
    "cancelled": DeviceFlowError,
    "failed": DeviceFlowError,
}


@pytest.mark.parametrize("how", ENDS)
async def test_end_is_seen_by_those_who_wait_and_by_those_who_come_late(world, how):
    async with world.queues(WEB, WORKER) as [web, worker]:
        sign_in = await web.submit("ada")
        listening, waiting = (
            asyncio.create_task(call) for call in (collect(web.events(sign_in.id)), web.result(sign_in.id))
        )
        await until(lambda: len(web._watching._watches) == 1)
        if how == "denied":
            await world.emulator.deny(sign_in.user_code)
        elif how == "expired":
            await world.emulator.expire(sign_in.user_code)
        elif how == "cancelled":
            await worker.cancel(sign_in.id)
        else:
            world.emulator.faults.on("poll").error("invalid_client")
        [error] = await asyncio.gather(waiting, return_exceptions=True)
        last = (await listening)[-1]
        assert last.state == how
        assert last.problem
        for queue in (web, worker):
            assert await queue.find(sign_in.id) == last
            assert await collect(queue.events(sign_in.id)) == [last]
            [late] = await asyncio.gather(queue.result(sign_in.id), return_exceptions=True)
            assert (type(late), str(late)) == (type(error), str(error)) == (ENDS[how], last.problem)
        assert await world.stored("ada") is None
        world.emulator.faults.clear()
        assert (await web.submit("ada")).id != sign_in.id


async def test_code_that_expires_before_the_user_decides(nats_server, tmp_path):
    async with queue_world(nats_server, tmp_path, expires_in=2) as world, world.queues({}) as [queue]:
        sign_in = await queue.submit("ada")
        with pytest.raises(DeviceCodeExpiredError):
            await queue.result(sign_in.id)
        assert (await queue.find(sign_in.id)).state == "expired"


async def test_cancel_wins_over_a_later_approval(world):
    async with world.queues(WEB, WORKER) as [web, worker]:
        sign_in = await web.submit("ada")
        await web.cancel(sign_in.id)
        assert (await worker.find(sign_in.id)).state == "cancelled"
        await world.emulator.approve(sign_in.user_code)
        stream = worker._connection.js
        await until(lambda: no_messages(stream, "twilio-oauth-flows"))
        await web.cancel(sign_in.id)
        assert world.polls() == []
        assert await world.stored("ada") is None


async def no_messages(js, stream):
    return (await js.stream_info(stream)).state.messages == 0


async def test_cancel_while_the_response_with_the_token_is_under_way(world):
    async with world.queues(WEB, WORKER) as [web, _]:
        sign_in = await web.submit("ada")
        await world.emulator.approve(sign_in.user_code)
        exchange, arrived, may_go_on = world.session.exchange, asyncio.Event(), asyncio.Event()

        async def hold(request, parse, **options):
            response = await exchange(request, parse, **options)
            arrived.set()
            await may_go_on.wait()
            return response

        world.session.exchange = hold
        await arrived.wait()
        world.session.exchange = exchange
        await web.cancel(sign_in.id)
        may_go_on.set()
        with pytest.raises(DeviceFlowError, match="cancelled"):
            await web.result(sign_in.id)
        await until(lambda: world.revocations() == [200])
        assert "save" not in world.tokens.calls, "the token is not stored for a moment either"


@pytest.mark.parametrize("call", ["result", "cancel", "events"])
@pytest.mark.parametrize("id_", ["x", "*", ">", "a.b", "", "x y", "\ud800"])
async def test_unknown_id(world, call, id_):
    async with world.queues({}) as [queue]:
        await queue.submit("ada")
        with pytest.raises(SignInNotFound):
            await (anext(queue.events(id_)) if call == "events" else getattr(queue, call)(id_))
        assert await queue.find(id_) is None


async def test_unreachable_server_is_seen_in_each_process(world):
    async with world.queues(WEB, WORKER) as [web, worker]:
        changes = asyncio.create_task(collect(worker.all_events()))
        world.emulator.faults.on("poll").times(1).hang_up()
        sign_in = await web.submit("ada")
        events = web.events(sign_in.id)
        assert (await anext(events)).problem is None
        assert (await anext(events)).problem is not None
        await world.emulator.approve(sign_in.user_code)
        assert (await collect(events))[-1].state == "approved"
        # The watch on the bucket can be faster than the worker, whose own readers end when its queue is closed.
        await until(lambda: not worker._turns.running)
        await asyncio.sleep(0.1)
    assert [(change.state, change.problem is None) for change in await changes] == [
        ("pending", False),
        ("approved", True),
    ]


async def test_slow_down_is_obeyed_by_the_next_worker(world):
    async with world.queues({}) as [first]:
        world.emulator.faults.on("poll").times(1).error("slow_down")
        sign_in = await first.submit("ada")
        await until(lambda: len(world.polls()) == 1)
        await until(lambda: interval_is(first, sign_in.id, 6.0))
    async with world.queues({}) as [second]:
        entry = await second._states.read(sign_in.id)
        assert (entry.state.flow.authorization.next_poll_at - world.clock.now()).total_seconds() > 4
        assert (await second.find(sign_in.id)).state == "pending"


async def interval_is(queue, id_, seconds):
    return (await queue._states.read(id_)).state.flow.authorization.interval == seconds


async def test_next_process_goes_on_with_the_sign_ins_of_one_that_closes(world):
    async with world.queues(WEB) as [web]:
        async with world.queues({}) as [first]:
            sign_in = await first.submit("ada")
            waiting = asyncio.create_task(first.result(sign_in.id))
            await until(world.polls)
        with pytest.raises(DeviceFlowError, match="closed"):
            await waiting
        async with world.queues({}):
            await world.emulator.approve(sign_in.user_code)
            await web.result(sign_in.id)
    assert (await world.stored("ada")).epoch
    assert world.polls().count(201) == 1


async def test_worker_of_an_open_queue_runs_until_it_is_cancelled(world):
    async with world.queues(WEB) as [queue]:
        sign_in = await queue.submit("ada")
        with pytest.raises(ConfigurationError):
            await queue.run_worker(concurrency=0)
        worker = asyncio.create_task(queue.run_worker(concurrency=2))
        await until(world.polls)
        await world.emulator.approve(sign_in.user_code)
        await queue.result(sign_in.id)
        worker.cancel()
        with pytest.raises(asyncio.CancelledError):
            await worker
        await queue.submit("bob")
        worker = asyncio.create_task(queue.run_worker())
    await asyncio.wait({worker})


async def test_two_apps_and_other_scopes_on_one_server(world):
    app = world.emulator.add_app("Another app")
    another = world.device_flow(client_sid=app.sid, client_secret=app.secret)
    wider = world.device_flow(scopes=["openid", "profile"])
    async with world.queues({}, {"flow": another}, {"flow": wider}) as [queue, other, more]:
        first, second = await queue.submit("ada"), await other.submit("ada")
        assert first.id != second.id
        with pytest.raises(DeviceFlowError, match="other scopes"):
            await more.submit("ada")
        await world.emulator.approve(second.user_code)
        await other.result(second.id)
        assert (await queue.find(first.id)).state == "pending"
        assert await other.find(first.id) is None


async def test_no_code_is_issued(world):
    async with world.queues({}) as [queue]:
        world.emulator.faults.on("device_code").times(1).hang_up()
        callers = await asyncio.gather(queue.submit("ada"), queue.submit("ada"), return_exceptions=True)
        assert all(isinstance(error, TransportError) for error in callers)
        assert callers[0] is not callers[1], "each caller gets an exception of its own"
        await queue.submit("ada")


async def test_invalid_use(world):
    client = await world.connect()
    for options in (
        *({"max_flows": 0}, {"ack_wait": 0}, {"close_timeout": 0}, {"on_end": "x"}, {"concurrency": -1}),
        *({"name": "a b"}, {"name": ""}, {"replicas": 0}, {"encryption": "x"}, {"encryption": []}, {"sweep_every": 0}),
    ):
        with pytest.raises(ConfigurationError):
            await world.queue(client=client, **options)
    with pytest.raises(ConfigurationError, match="js"):
        DeviceFlowQueue(client, world.flow, tokens=world.tokens)
    queue = await world.queue(client=client)
    calls = (queue.submit("ada"), queue.result("x"), queue.cancel("x"), anext(queue.events("x")), queue.run_worker())
    for call in (*calls, anext(queue.all_events())):
        with pytest.raises(ConfigurationError, match="not open"):
            await call
    async with queue:
        for user, context in (("", {}), ("ada", {"chat": 7}), ("ada", {7: "chat"}), ("\ud800", {})):
            with pytest.raises(ConfigurationError):
                await queue.submit(user, context=context)
        with pytest.raises(ConfigurationError, match="until the queue is opened"):
            queue.on_end = print
        await queue.open()
    await queue.close()


async def test_lent_objects_are_neither_changed_nor_closed(world):
    client = await world.connect()
    before = dict(vars(js := client.jetstream()))
    queue = DeviceFlowQueue(js, world.flow, tokens=world.tokens)
    for _ in range(2):
        async with queue:
            sign_in = await queue.submit("ada")
            events = queue.events(sign_in.id)
            await anext(events)
            await events.aclose()
    assert vars(js) == before
    assert client.is_connected
    assert world.session.is_open
    left = await other_tasks()
    own = [task for task in left if "twilio_oauth_async.sign_in" in repr(task)]
    assert own == []


async def test_secrets_are_neither_shown_nor_logged_nor_stored_in_plain_text(world, caplog, tmp_path):
    from cryptography.fernet import Fernet

    caplog.set_level(0, "twilio_oauth_async")
    old, new = Fernet.generate_key(), Fernet.generate_key()
    async with world.queues({"encryption": old, **WEB}, {"encryption": [new, old]}) as [web, worker]:
        sign_in = await web.submit("ada", context={"chat": "quite private"})
        flow = (await web._states.read(sign_in.id)).state.flow
        await until(world.polls)
        await asyncio.sleep(0.1)
        with_new_key = (await worker._states.read(sign_in.id)).state
        assert with_new_key.delivery == 1
        await world.emulator.approve(sign_in.user_code)
        await worker.result(sign_in.id)
        token = (await world.stored("ada")).token
        shown = repr(web) + repr(with_new_key) + repr(sign_in) + caplog.text
    world.server.stop()
    written = b"".join(path.read_bytes() for path in (tmp_path / "nats").rglob("*") if path.is_file())
    assert sign_in.id.encode() in written
    for secret in (flow.authorization.device_code, token.access_token, token.refresh_token, "quite private"):
        assert secret.encode() not in written
        if secret != "quite private":  # the context is a secret of the application, and encrypted only
            assert secret not in shown
    assert epoch_of(flow.authorization.device_code) == (await world.stored("ada")).epoch
