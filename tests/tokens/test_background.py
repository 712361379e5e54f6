"""The refresh in the background, in an ``async with`` block: no caller waits, and no failure ends it."""

import asyncio
from datetime import timedelta

import pytest

from tests.helpers.event_loop import other_tasks, run_turns
from tests.helpers.scripted_manager import ScriptedManager
from twilio_oauth_async import (
    AnswerLostError,
    InvalidClientError,
    InvalidGrantError,
    ServerError,
    StoreError,
    TransportError,
)
from twilio_oauth_async.tokens import rounds

pytestmark = pytest.mark.asyncio

DUE = 3390.0
"""Seconds until the background refresh: the middle of the last tenth of the lifetime before the leeway."""


@pytest.fixture(autouse=True)
def middle(monkeypatch):
    """Let the refresh in the background be due in the middle of its range, which is random."""
    monkeypatch.setattr(rounds.random, "random", lambda: 0.5)


async def signed_in(*script, **options):
    """Return a `ScriptedManager` whose user has just signed in."""
    setup = ScriptedManager({}, *script, **options)
    await setup.manager.login()
    return setup


async def test_refreshes_before_callers_have_to_wait():
    setup = await signed_in()
    async with setup.manager:
        await run_turns()
        await setup.pass_time(DUE - 0.1)
        assert setup.grant.refreshed == []
        await setup.pass_time(0.2)
        assert setup.grant.refreshed == ["ref-canary-1"]
        assert (await setup.stored()).token.access_token == "acc-canary-2"
        setup.store.calls.clear()
        assert await setup.manager.access_token() == "acc-canary-2"
        assert setup.store.calls == []
        await setup.pass_time(DUE + 0.1)
        assert setup.grant.refreshed == ["ref-canary-1", "ref-canary-2"]
    assert "sleepers=0" in repr(setup.clock)
    assert await other_tasks() == set()


async def test_refreshes_of_many_processes_are_spread(monkeypatch):
    due = []
    for share in (0.0, 0.25, 1.0):
        monkeypatch.setattr(rounds.random, "random", lambda share=share: share)
        setup = await signed_in()
        async with setup.manager:
            await run_turns()
            while not setup.grant.refreshed:
                await setup.pass_time(5)
            due.append(setup.clock.monotonic())
    assert due == [3240, 3315, 3540]


async def test_first_sign_in_after_the_start_is_noticed():
    setup = ScriptedManager()
    async with setup.manager:
        await run_turns()
        await setup.manager.login()
        await run_turns()
        await setup.pass_time(DUE + 1)
        assert setup.grant.refreshed == ["ref-canary-1"]


async def test_store_is_read_at_the_start():
    setup = await signed_in()
    other = setup.another()
    async with other:
        await run_turns()
        setup.store.calls.clear()
        assert await other.access_token() == "acc-canary-1"
        assert setup.store.calls == []


async def test_refreshes_are_as_many_as_lifetimes_in_24_hours_with_one_503():
    setup = await signed_in(ServerError(status=503))
    async with setup.manager:
        await run_turns()
        expired = 0
        for _ in range(24 * 60):
            await setup.pass_time(60)
            expired += (await setup.stored()).token.access_token_expires_at <= setup.clock.now()
    # The response to the 503 may have been lost, so the next request is sent at the end of the lifetime.
    assert expired <= 2
    assert 24 <= len(setup.grant.refreshed) <= 27


@pytest.mark.parametrize("error", [TransportError("down"), InvalidClientError(status=401)], ids=["down", "refused"])
async def test_failures_are_tried_again_with_growing_waits(error):
    setup = await signed_in(*[error] * 20)
    async with setup.manager:
        await run_turns()
        await setup.pass_time(DUE + 0.1)
        assert len(setup.grant.refreshed) == 1
        for seconds, requests in ((0.9, 1), (0.1, 2), (1.9, 2), (0.1, 3), (4, 4), (8, 5), (16, 6)):
            await setup.pass_time(seconds)
            assert len(setup.grant.refreshed) == requests
        assert await setup.manager.access_token() == "acc-canary-1"
        setup.grant.script = []
        await setup.pass_time(32)
        assert await setup.manager.access_token() == "acc-canary-2"


async def test_lost_response_is_not_followed_by_a_request_while_the_token_is_valid():
    setup = await signed_in(AnswerLostError("lost"))
    async with setup.manager:
        await run_turns()
        for _ in range(59):
            await setup.pass_time(60)
        assert len(setup.grant.refreshed) == 1
        await setup.pass_time(60)
        assert len(setup.grant.refreshed) == 2
        assert await setup.manager.access_token() == "acc-canary-2"


@pytest.mark.parametrize("method", ["lock", "load", "save", "unlock"])
@pytest.mark.parametrize("error", [StoreError("down"), KeyError("key")], ids=["StoreError", "KeyError"])
async def test_store_that_fails_for_a_while_does_not_end_it(method, error):
    setup = await signed_in()
    setup.manager = setup.another()  # so that the store is read at the start
    async with setup.manager:
        setup.store.fail(method, error=error)
        await run_turns()
        await setup.pass_time(600)
        setup.store.repair()
        await setup.pass_time(60)
        for _ in range(60):
            await setup.pass_time(60)
        assert len(setup.grant.refreshed) == 1
        assert await setup.manager.access_token() == "acc-canary-2"


async def test_grant_that_raises_something_unexpected_does_not_end_it():
    setup = await signed_in(KeyError("key"))
    async with setup.manager:
        await run_turns()
        for _ in range(60):
            await setup.pass_time(60)
        assert len(setup.grant.refreshed) == 2
        assert await setup.manager.access_token() == "acc-canary-2"


@pytest.mark.parametrize("method", ["monotonic", "now", "sleep"])
async def test_clock_that_fails_for_a_while_does_not_end_it(method, monkeypatch, caplog):
    monkeypatch.setattr(rounds, "PAUSE_AFTER_MISTAKE", 0.001)
    setup = await signed_in()
    async with setup.manager:
        await run_turns()

        def fail(*_):
            raise KeyError("acc-canary")

        original = getattr(setup.clock, method)
        setattr(setup.clock, method, fail)
        setup.clock.advance(DUE + 1)
        await asyncio.sleep(0.02)
        setattr(setup.clock, method, original)
        await asyncio.sleep(0.02)
        await setup.pass_time(60)
        assert setup.grant.refreshed == ["ref-canary-1"]
    assert "canary" not in caplog.text
    assert await other_tasks() == set()


async def test_start_while_another_process_refreshes():
    setup = await signed_in()
    setup.clock.advance(3600)
    setup.grant.gate = asyncio.Event()
    first = asyncio.create_task(setup.manager.token())
    await run_turns()
    other = setup.another()
    async with other:
        await run_turns()
        await setup.pass_time(30)
        setup.grant.gate.set()
        assert await first == await other.token()
        for _ in range(60):
            await setup.pass_time(60)
        assert setup.grant.refreshed == ["ref-canary-1", "ref-canary-2"]


async def test_start_while_the_lock_cannot_be_acquired():
    """Another process holds it for longer than the store waits."""
    setup = await signed_in()
    setup.clock.advance(3600)
    setup.store.fail("lock", error=StoreError("held by another process"))
    async with setup.manager:
        await run_turns()
        for _ in range(10):
            await setup.pass_time(60)
        assert setup.grant.refreshed == []
        setup.store.repair()
        await setup.pass_time(60)
        assert await setup.manager.access_token() == "acc-canary-2"


async def test_waits_for_a_sign_in_after_invalid_grant():
    setup = await signed_in(InvalidGrantError(status=400))
    async with setup.manager:
        await run_turns()
        for _ in range(100):
            await setup.pass_time(60)
        assert len(setup.grant.refreshed) == 1
        await setup.manager.login()
        for _ in range(60):
            await setup.pass_time(60)
        assert len(setup.grant.refreshed) == 2


async def test_grant_without_user_is_run_again():
    setup = ScriptedManager(interactive=False)
    async with setup.manager:
        await run_turns()
        assert setup.grant.obtained == 1
        await setup.pass_time(DUE + 1)
        assert setup.grant.obtained == 2


async def test_token_without_expiry_is_not_refreshed():
    setup = ScriptedManager({"access_token_expires_at": None})
    await setup.manager.login()
    async with setup.manager:
        await run_turns()
        await setup.pass_time(10**7)
    assert setup.grant.refreshed == []


async def test_token_that_another_process_has_refreshed_is_used():
    setup = await signed_in()
    async with setup.manager:
        await run_turns()
        await setup.pass_time(3000)
        theirs = await setup.refresh_elsewhere()
        assert theirs.token.access_token_expires_at == setup.clock.now() + timedelta(seconds=3600)
        await setup.pass_time(DUE - 3000 + 1)
        assert await setup.manager.access_token() == "theirs"
        assert setup.grant.refreshed == []
