"""Fault 37: the `prompt` of a `DeviceFlow` raises, blocks, or calls back into the object that called it."""

import asyncio
import contextlib

import pytest

from tests.helpers.event_loop import other_tasks
from tests.helpers.scripted_server import PENDING, TOKEN, scripted_device_flow
from tests.helpers.world import emulated
from twilio_oauth_async import AccessDeniedError

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("kind", ["function", "coroutine function"])
async def test_prompt_that_raises_ends_the_flow_with_its_exception(kind):
    def fail(_):
        raise ZeroDivisionError

    async def fail_later(_):
        await asyncio.sleep(0)
        raise ZeroDivisionError

    async with scripted_device_flow(TOKEN, prompt=fail if kind == "function" else fail_later) as setup:
        with pytest.raises(ZeroDivisionError):
            await setup.flow.run()
        assert setup.times == []
    assert await other_tasks() == set()


async def test_prompt_that_blocks_delays_no_poll_and_is_cancelled_when_the_token_arrives():
    ended = []

    async def block(_):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async with scripted_device_flow(PENDING, TOKEN, prompt=block) as setup:
        assert (await setup.flow.run()).access_token == "acc-canary"
        assert setup.times == pytest.approx([5.05, 10.1])
        assert ended == [True]
    assert await other_tasks() == set()


async def test_prompt_that_does_not_end_when_it_is_cancelled_is_left():
    end = asyncio.Event()

    async def stay(_):
        while not end.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await end.wait()

    async with scripted_device_flow(TOKEN, prompt=stay) as setup:
        assert (await setup.flow.run()).access_token == "acc-canary"
    end.set()
    assert await other_tasks() == set()


async def test_prompt_that_raises_after_the_token_has_arrived_loses_no_token(caplog):
    caplog.set_level("INFO", logger="twilio_oauth_async")

    async def fail_when_cancelled(_):
        try:
            await asyncio.Event().wait()
        finally:
            raise ZeroDivisionError("canary")

    async with scripted_device_flow(TOKEN, prompt=fail_when_cancelled) as setup:
        assert (await setup.flow.run()).access_token == "acc-canary"
    assert "the prompt of a device flow raised ZeroDivisionError" in caplog.messages
    assert "canary" not in caplog.text


async def test_cancelled_run_cancels_the_prompt():
    ended, started = [], asyncio.Event()

    async def block(_):
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async with scripted_device_flow(PENDING, prompt=block) as setup:
        running = asyncio.create_task(setup.flow.run())
        await started.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert ended == [True]
    assert await other_tasks() == set()


@pytest.mark.parametrize("method", ["token", "login", "close"])
async def test_prompt_may_call_any_method_of_the_manager(method):
    async with emulated() as setup:

        async def prompt(authorization):
            await setup.emulator.approve(authorization.user_code)
            calls = {
                "token": lambda: manager.token(login=True),
                "login": manager.login,
                "close": manager.close,
            }
            await calls[method]()

        manager = setup.manager(flow=setup.device_flow(prompt=prompt))
        assert (await manager.login()).access_token == await manager.access_token()
        assert setup.codes() == 1
        await manager.close()


async def test_denied_while_the_prompt_blocks():
    async with emulated() as setup:

        async def prompt(authorization):
            await setup.emulator.deny(authorization.user_code)
            await asyncio.Event().wait()

        with pytest.raises(AccessDeniedError):
            await setup.device_flow(prompt=prompt).run()
