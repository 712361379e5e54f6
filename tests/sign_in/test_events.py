"""What those who wait for a sign-in get: `events`, `result`, `find` and `all_events`."""

import asyncio
import json

import attrs
import pytest

from tests.helpers.event_loop import collect, run_turns
from tests.helpers.flow_states import flow
from tests.helpers.world import emulated
from twilio_oauth_async import (
    AccessDeniedError,
    DeviceCodeExpiredError,
    DeviceFlowError,
    SignIn,
    SignInNotFound,
    StoreError,
)
from twilio_oauth_async.sign_in import listeners
from twilio_oauth_async.sign_in.base import NOT_POLLED
from twilio_oauth_async.sign_in.flow_life import KEPT
from twilio_oauth_async.sign_in.listeners import AllEvents, Watch

pytestmark = pytest.mark.asyncio

ENDS = [("deny", "denied", AccessDeniedError), ("expire", "expired", DeviceCodeExpiredError)]


async def test_token_is_stored_before_the_approval_is_reported():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        async for event in pool.events(sign_in.id):
            assert (await setup.stored("ada") is not None) or event.state == "pending"
        assert event.state == "approved"


@pytest.mark.parametrize("is_other", [False, True], ids=["same process", "other process"])
@pytest.mark.parametrize(("end", "state", "kind"), ENDS)
async def test_denied_and_expired(end, state, kind, is_other):
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        asked = other if is_other else pool
        waiting = asyncio.gather(*(asked.result(sign_in.id) for _ in range(2)), return_exceptions=True)
        await asyncio.sleep(0)
        await getattr(setup.emulator, end)(sign_in.user_code)
        errors = await waiting
        assert {type(error) for error in errors} == {kind}
        assert errors[0] is not errors[1], "each caller gets an exception of its own"
        [last] = await collect(asked.events(sign_in.id))
        assert (last.state, last.is_over, last.seconds_left(setup.clock.now())) == (state, True, 0.0)
        assert last.problem
        assert (await pool.submit("ada")).user_code != sign_in.user_code


async def test_late_listeners_get_the_end_for_five_minutes_after_it_was_reported():
    async with emulated() as setup, setup.pool(on_end=lambda _: None) as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        await pool.result(sign_in.id)
        await setup.clock.sleep(KEPT - 10)
        for asked in (pool, other):
            assert [event.state for event in await collect(asked.events(sign_in.id))] == ["approved"]
            assert (await asked.find(sign_in.id)).state == "approved"
            await asked.result(sign_in.id)
        await setup.clock.sleep(30)
        assert await pool.find(sign_in.id) is None
        with pytest.raises(SignInNotFound):
            await pool.result(sign_in.id)


@pytest.mark.parametrize("call", ["result", "cancel", "events"])
async def test_unknown_id(call):
    async with emulated() as setup, setup.pool() as pool:
        with pytest.raises(SignInNotFound) as caught:
            await (anext(pool.events("x")) if call == "events" else getattr(pool, call)("x"))
        assert isinstance(caught.value, LookupError)
        assert await pool.find("x") is None


async def test_unreachable_server_is_reported_once_and_so_is_its_return():
    async with emulated() as setup, setup.pool() as pool:
        setup.emulator.faults.on("poll").times(3).hang_up()
        sign_in = await pool.submit("ada")
        listening = asyncio.create_task(collect(pool.events(sign_in.id)))
        while len(setup.polls()) < 4:
            await asyncio.sleep(0)
        await setup.emulator.approve(sign_in.user_code)
        events = await listening
        assert [(event.state, bool(event.problem)) for event in events] == [
            ("pending", False),
            ("pending", True),
            ("pending", False),
            ("approved", False),
        ]


async def test_listener_of_another_process_sees_the_end_of_a_flow_that_a_killed_process_polled():
    async with emulated() as setup:
        first = setup.pool()
        await first.open()
        sign_in = await first.submit("ada")
        async with setup.pool() as other:
            listening = asyncio.create_task(collect(other.events(sign_in.id)))
            await run_turns(10)
            await setup.kill(first)
            await setup.emulator.approve(sign_in.user_code)
            assert [(event.state, event.problem) for event in await listening] == [
                ("pending", None),
                ("pending", NOT_POLLED),  # before the lease of the killed process ends
                ("pending", None),
                ("approved", None),
            ]
            assert setup.polls().count(201) == 1


async def test_listener_survives_a_store_that_is_down_for_a_while():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        listening = asyncio.create_task(collect(other.events(sign_in.id)))
        await run_turns(10)
        setup.flows.fail("load", times=3)
        await setup.emulator.approve(sign_in.user_code)
        assert [event.state for event in await listening] == ["pending", "approved"]


@pytest.mark.parametrize("call", ["result", "events", "find", "cancel", "find_user"])
async def test_store_that_is_down_raises_an_error_for_those_who_ask(call):
    async with emulated() as setup, setup.pool() as pool:
        setup.flows.fail("load", "find_user")
        with pytest.raises(StoreError):
            await (anext(pool.events("x")) if call == "events" else getattr(pool, call)("x"))
        setup.flows.repair()


async def test_sign_ins_can_be_found_without_an_open_pool():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        closed = setup.pool()
        assert await closed.find(sign_in.id) == await closed.find_user("ada") == sign_in


async def test_listener_of_a_flow_that_the_store_has_lost_is_not_left_waiting():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        waiting = asyncio.create_task(other.result(sign_in.id))
        await run_turns(10)
        await setup.flows.inner.delete(sign_in.id)
        with pytest.raises(DeviceFlowError):
            await waiting


async def test_follower_ends_when_the_last_listener_has_gone():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        stream = other.events(sign_in.id)
        await anext(stream)
        assert other._members._followers
        await stream.aclose()
        await setup.clock.sleep(10)
        assert not other._members._followers
        assert not other._members._watches


async def test_process_that_takes_up_a_followed_flow_goes_on_with_its_listeners():
    async with emulated() as setup:
        async with setup.pool() as other:
            async with setup.pool() as pool:
                sign_in = await pool.submit("ada")
                listening = asyncio.create_task(collect(other.events(sign_in.id)))
                await run_turns(10)
            await setup.clock.sleep(20)
            assert sign_in.id in other._members.running
            await setup.emulator.approve(sign_in.user_code)
            assert (await listening)[-1].state == "approved"


async def test_listener_of_a_process_that_loses_the_lease_sees_the_end():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        listening = asyncio.create_task(collect(pool.events(sign_in.id)))
        await asyncio.sleep(0)
        await setup.take_over(sign_in.id)
        await setup.clock.sleep(60)
        assert sign_in.id not in pool._members.running
        assert await setup.flows.inner.end(sign_in.id, "denied", "no")
        assert [(event.state, event.problem) for event in await listening] == [("pending", None), ("denied", "no")]


async def test_find_user():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        assert await pool.find_user("ada") is None
        sign_in = await pool.submit("ada")
        assert (await pool.find_user("ada")).id == (await other.find_user("ada")).id == sign_in.id
        await pool.cancel(sign_in.id)
        assert await pool.find_user("ada") is None
        assert await other.find_user("ada") is None


async def test_all_events_has_every_change_of_this_process():
    async with emulated() as setup:
        async with setup.pool() as pool:
            reading = asyncio.create_task(collect(pool.all_events()))
            await asyncio.sleep(0)
            ada, bob = await pool.submit("ada"), await pool.submit("bob")
            await asyncio.sleep(0)
            await setup.emulator.approve(ada.user_code)
            await setup.emulator.deny(bob.user_code)
            await asyncio.gather(pool.result(ada.id), pool.result(bob.id), return_exceptions=True)
        seen = [(event.user, event.state) for event in await reading]
        assert seen == [("ada", "pending"), ("bob", "pending"), ("ada", "approved"), ("bob", "denied")]


async def test_all_events_has_nothing_of_other_processes():
    async with emulated() as setup, setup.pool() as pool:
        async with setup.pool() as other:
            reading = asyncio.create_task(collect(other.all_events()))
            await asyncio.sleep(0)
            ada, bob = await pool.submit("ada"), await pool.submit("bob")
            listening = asyncio.create_task(collect(other.events(ada.id)))
            await setup.emulator.approve(ada.user_code)
            await other.cancel(bob.id)
            await listening
        assert await reading == []


async def test_slow_reader_gets_the_latest_state_of_each_sign_in(monkeypatch, caplog):
    monkeypatch.setattr(listeners, "MAX_BEHIND", 2)
    events = AllEvents()
    reader = events.read()
    reading = asyncio.create_task(anext(reader))
    await asyncio.sleep(0)
    async with emulated() as setup, setup.pool() as pool:
        [a, b, c] = [await pool.submit(user) for user in "abc"]
    events.tell(a)
    assert await reading == a
    for sign_in in (a, b, a, c):
        events.tell(sign_in)
    events.close()
    assert [sign_in.user async for sign_in in reader] == ["b", "c"]
    assert caplog.text.count("behind") == 1


async def test_slow_reader_does_not_miss_the_end_and_is_forgotten_when_it_has_gone():
    events, pending = AllEvents(), SignIn.of(flow())
    reader = events.read()
    reading = asyncio.create_task(anext(reader))
    await asyncio.sleep(0)
    events.tell(pending)
    assert await reading == pending
    ended = attrs.evolve(pending, state="denied")
    events.tell(attrs.evolve(pending, problem="unreachable"))
    events.tell(ended)
    assert await anext(reader) == ended
    await reader.aclose()
    assert not events._readers


async def test_watch_yields_the_present_state_first_and_nothing_after_the_end():
    sign_in = SignIn.of(flow())
    ended, later = attrs.evolve(sign_in, state="denied"), attrs.evolve(sign_in, state="failed")
    watch = Watch(sign_in)
    assert not watch.tell(sign_in), "no change"
    listening = [asyncio.create_task(collect(watch.events())) for _ in range(2)]
    await asyncio.sleep(0)
    assert watch.listeners == 2
    assert watch.tell(ended)
    assert not watch.tell(later), "it has ended"
    assert await asyncio.gather(*listening) == [[sign_in, ended]] * 2
    assert watch.listeners == 0
    assert await collect(watch.events()) == [ended]


async def test_watch_that_is_closed_ends_its_streams_although_the_sign_in_goes_on():
    watch = Watch(SignIn.of(flow()))
    listening = asyncio.create_task(collect(watch.events()))
    await asyncio.sleep(0)
    watch.close()
    assert await listening == await collect(watch.events()) == [watch.present]


async def test_slow_listener_misses_what_a_later_state_has_replaced():
    sign_in = SignIn.of(flow())
    watch = Watch(sign_in)
    stream = watch.events()
    assert await anext(stream) == sign_in
    states = [attrs.evolve(sign_in, problem=str(number)) for number in range(3)]
    for state in states:
        assert watch.tell(state)
    assert await anext(stream) == states[-1]
    watch.close()
    assert await collect(stream) == []


async def test_sign_in_as_a_dictionary_is_json_without_the_context():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada", context={"a": "b"})
        values = json.loads(json.dumps(sign_in.to_dict()))
        assert values["user_code"] == sign_in.user_code
        assert values["expires_at"] == sign_in.expires_at.isoformat()
        assert set(values) == {
            *("id", "user", "client_sid", "scopes", "user_code", "verification_uri", "verification_uri_complete"),
            *("expires_at", "state", "problem", "audiences"),
        }
        assert sign_in.seconds_left(setup.clock.now()) > 0
