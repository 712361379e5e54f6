"""`DeviceFlow.poll` and `events`, and a flow that moves from one process to another."""

import asyncio

import attrs
import pytest

from tests.helpers.raw_server import hang_up, http
from tests.helpers.scripted_server import CODE_BODY, PENDING, SLOW_DOWN, TOKEN, scripted_device_flow
from twilio_oauth_async import (
    AccessDeniedError,
    Approved,
    CodeIssued,
    ConfigurationError,
    DeviceAuthorization,
    DeviceCodeExpiredError,
    Pending,
    ServerError,
    SlowedDown,
    Token,
    Unreachable,
)


class TestAcrossProcesses:
    @pytest.mark.asyncio
    async def test_wait_in_another_process_keeps_the_longer_interval(self):
        async with scripted_device_flow(SLOW_DOWN, hang_up, PENDING, TOKEN) as setup:
            state = await setup.flow.start()
            for _ in range(2):
                await setup.clock.sleep((state.next_poll_at - setup.clock.now()).total_seconds())
                state = (await setup.flow.poll(state)).authorization
            stored = DeviceAuthorization.from_json(state.to_json())
            other = setup.another()
            assert (stored.interval, stored.faults, stored.answer_lost) == (10.0, 1, True)
            assert (await other.wait(stored)).access_token == "acc-canary"
            assert setup.gaps == pytest.approx([5.05, 10.1, 20.2, 10.1])

    @pytest.mark.asyncio
    async def test_stored_flow_expires_by_the_wall_clock(self):
        async with scripted_device_flow(TOKEN) as setup:
            state = await setup.flow.start()
            setup.clock.shift_wall(301)
            with pytest.raises(DeviceCodeExpiredError):
                await setup.flow.wait(state)
            with pytest.raises(DeviceCodeExpiredError):
                await setup.flow.poll(state)
            assert setup.times == []

    @pytest.mark.asyncio
    async def test_flow_of_another_client_raises_and_sends_nothing(self):
        async with scripted_device_flow(TOKEN) as setup:
            state = attrs.evolve(await setup.flow.start(), client_sid="OQ2")
            for call in (setup.flow.wait(state), setup.flow.poll(state), anext(setup.flow.events(state))):
                with pytest.raises(ConfigurationError, match="another client_sid"):
                    await call
            assert setup.times == []


class TestPoll:
    @pytest.mark.asyncio
    async def test_poll_before_it_is_due_sends_nothing(self):
        async with scripted_device_flow(TOKEN) as setup:
            state = await setup.flow.start()
            assert await setup.flow.poll(state) == Pending(state)
            setup.clock.advance(5.04)
            assert await setup.flow.poll(state) == Pending(state)
            assert setup.times == []
            setup.clock.advance(0.01)
            assert (await setup.flow.poll(state)).token.access_token == "acc-canary"

    @pytest.mark.asyncio
    async def test_poll_returns_a_step_for_each_response_or_raises(self):
        async with scripted_device_flow(
            PENDING, SLOW_DOWN, http(500, b""), http(400, {"error": "access_denied"})
        ) as setup:
            state, kinds = await setup.flow.start(), []
            for _ in range(3):
                setup.clock.advance(60)
                step = await setup.flow.poll(state)
                kinds.append(type(step))
                state = step.authorization
            assert kinds == [Pending, SlowedDown, Unreachable]
            assert type(step.error) is ServerError
            setup.clock.advance(60)
            with pytest.raises(AccessDeniedError):
                await setup.flow.poll(state)


class TestEvents:
    @pytest.mark.asyncio
    async def test_events_yields_the_code_and_each_poll_result_in_order(self):
        async with scripted_device_flow(PENDING, SLOW_DOWN, hang_up, TOKEN) as setup:
            events = [event async for event in setup.flow.events()]
        assert [type(event) for event in events] == [CodeIssued, Pending, SlowedDown, Unreachable, Approved]
        assert events[0].authorization.user_code == "ABCD"
        assert events[-1].token == Token(access_token="acc-canary")
        assert setup.gaps == pytest.approx([5.05, 5.05, 10.1, 20.2])
        assert "canary" not in repr(events)

    @pytest.mark.asyncio
    async def test_events_of_pending_flow_continues_it(self):
        async with scripted_device_flow(TOKEN) as setup:
            state = await setup.flow.start()
            events = [event async for event in setup.flow.events(state)]
        assert events == [CodeIssued(state), Approved(Token(access_token="acc-canary"))]

    @pytest.mark.asyncio
    async def test_events_raises_at_expiry(self):
        async with scripted_device_flow(PENDING, code={**CODE_BODY, "expires_in": 7}) as setup:
            events = setup.flow.events()
            assert [type(await anext(events)) for _ in range(2)] == [CodeIssued, Pending]
            with pytest.raises(DeviceCodeExpiredError):
                await anext(events)

    @pytest.mark.asyncio
    async def test_events_closed_early_leaves_no_task_or_sleeper(self):
        async with scripted_device_flow(PENDING) as setup:
            events = setup.flow.events()
            async for event in events:
                if isinstance(event, Pending):
                    break
            await events.aclose()
            assert "sleepers=0" in repr(setup.clock)
        assert asyncio.all_tasks() == {asyncio.current_task()}
