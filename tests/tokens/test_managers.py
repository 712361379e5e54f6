import asyncio

import pytest

from tests.helpers.event_loop import run_turns
from tests.helpers.scripted_manager import ScriptedGrant
from twilio_oauth_async import ConfigurationError, VirtualClock
from twilio_oauth_async.stores.memory import MemoryTokenStore
from twilio_oauth_async.tokens.managers import TokenManagers

pytestmark = pytest.mark.asyncio


def managers(**options):
    clock = VirtualClock(auto=False)
    return TokenManagers(ScriptedGrant(clock), store=MemoryTokenStore(), clock=clock, **options), clock


async def test_one_manager_a_key():
    group, _ = managers()
    assert group.get("a") is group.get("a")
    assert group.get("a") is not group.get("b")
    await group.get("a").login()
    await group.get("b").login()
    assert await group.get("a").access_token() == "acc-canary-1"
    assert await group.get("b").access_token() == "acc-canary-2"


async def test_idle_ones_are_let_go_and_come_back_from_the_store():
    group, clock = managers(max_idle=100)
    first = group.get("a")
    await first.login()
    clock.advance(60)
    group.get("b")
    clock.advance(60)
    group.get("b")
    assert len(group) == 1
    again = group.get("a")
    assert again is not first
    assert await again.access_token() == "acc-canary-1"


async def test_one_in_use_is_kept():
    group, clock = managers(max_idle=100)
    first = group.get("a")
    for _ in range(10):
        clock.advance(60)
        assert group.get("a") is first


async def test_one_that_is_refreshing_is_never_let_go():
    group, clock = managers(max_idle=100)
    first = group.get("a")
    await first.login()
    group._grant.gate = asyncio.Event()
    clock.advance(3600)
    waiting = asyncio.create_task(first.token())
    await run_turns()
    group.get("b")
    clock.advance(3600)
    group.get("c")
    assert group.get("a") is first
    group._grant.gate.set()
    await waiting


async def test_thousands_are_let_go_bit_by_bit():
    group, clock = managers(max_idle=100)
    for number in range(1000):
        group.get(f"user {number}")
    clock.advance(101)
    for _ in range(600):
        group.get("one")
    assert len(group) == 1


async def test_closing_waits_for_what_is_under_way():
    group, clock = managers()
    async with group:
        manager = group.get("a")
        await manager.login()
        clock.advance(3600)
        group._grant.gate = asyncio.Event()
        waiting = asyncio.create_task(manager.token())
        await run_turns()
        asyncio.get_running_loop().call_soon(group._grant.gate.set)
    await run_turns(3)
    assert waiting.done()
    assert len(group) == 0


async def test_bad_use():
    with pytest.raises(ConfigurationError):
        managers(max_idle=0)
    with pytest.raises(ConfigurationError):
        managers()[0].get("")
