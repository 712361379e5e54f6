"""`TokenManagers`: one manager for each user, dropped when idle; and the users of a store."""

import asyncio
from datetime import timedelta

import pytest

from tests.helpers.event_loop import run_turns
from tests.helpers.faulty_store import FaultyStore
from tests.helpers.scripted_manager import ScriptedGrant, login_required
from twilio_oauth_async import ConfigurationError, InvalidGrantError, ServerError, StoreError, VirtualClock
from twilio_oauth_async.stores.base import StoredToken
from twilio_oauth_async.stores.memory import MemoryTokenStore
from twilio_oauth_async.tokens.managers import TokenManagers

pytestmark = pytest.mark.asyncio


class ScriptedManagers:
    """`TokenManagers` in `group`, with their `grant`, `store` and `clock`."""

    def __init__(self, *script, **options):
        self.clock = VirtualClock(auto=False)
        self.grant = ScriptedGrant(self.clock, *script)
        self.store = FaultyStore(MemoryTokenStore(clock=self.clock))
        self.group = TokenManagers(self.grant, store=self.store, clock=self.clock, **options)

    async def users(self):
        return {user async for user in self.group.users()}


class TestGet:
    async def test_each_user_has_one_manager(self):
        group = ScriptedManagers().group
        assert group.get("a") is group.get("a")
        assert group.get("a") is not group.get("b")
        await group.get("a").login()
        await group.get("b").login()
        assert await group.get("a").access_token() == "acc-canary-1"
        assert await group.get("b").access_token() == "acc-canary-2"

    async def test_idle_manager_is_dropped_and_its_token_read_from_the_store(self):
        setup = ScriptedManagers(max_idle=100)
        first = setup.group.get("a")
        await first.login()
        setup.clock.advance(60)
        setup.group.get("b")
        setup.clock.advance(60)
        setup.group.get("b")
        assert len(setup.group) == 1
        again = setup.group.get("a")
        assert again is not first
        assert await again.access_token() == "acc-canary-1"

    async def test_manager_that_is_asked_for_is_kept(self):
        setup = ScriptedManagers(max_idle=100)
        first = setup.group.get("a")
        for _ in range(10):
            setup.clock.advance(60)
            assert setup.group.get("a") is first

    async def test_manager_that_refreshes_is_kept(self):
        setup = ScriptedManagers(max_idle=100)
        first = setup.group.get("a")
        await first.login()
        setup.grant.gate = asyncio.Event()
        setup.clock.advance(3600)
        waiting = asyncio.create_task(first.token())
        await run_turns()
        setup.group.get("b")
        setup.clock.advance(3600)
        setup.group.get("c")
        assert setup.group.get("a") is first
        setup.grant.gate.set()
        await waiting

    async def test_manager_with_an_unsaved_token_is_kept(self):
        setup = ScriptedManagers(max_idle=100)
        first = setup.group.get("a")
        setup.store.fail("save")
        with pytest.raises(StoreError):
            await first.login()
        for _ in range(5):
            setup.clock.advance(60)
            await run_turns()
            setup.group.get("b")
        assert setup.group.get("a") is first
        await setup.group.close()

    async def test_manager_with_an_unsaved_token_that_is_of_no_use_any_more_is_dropped(self):
        setup = ScriptedManagers({"refresh_token": None}, max_idle=100)
        first = setup.group.get("a")
        setup.store.fail("save")
        with pytest.raises(StoreError):
            await first.login()
        setup.clock.advance(3600)
        await run_turns()
        setup.group.get("b")
        assert setup.group.get("a") is not first
        await setup.group.close()

    async def test_thousands_of_idle_managers_are_dropped_step_by_step(self):
        setup = ScriptedManagers(max_idle=100)
        for number in range(1000):
            setup.group.get(f"user {number}")
        setup.clock.advance(101)
        for _ in range(600):
            setup.group.get("one")
        assert len(setup.group) == 1

    async def test_invalid_arguments_raise(self):
        with pytest.raises(ConfigurationError):
            ScriptedManagers(max_idle=0)
        with pytest.raises(ConfigurationError):
            ScriptedManagers().group.get("")


async def test_close_waits_for_what_is_under_way():
    setup = ScriptedManagers()
    async with setup.group:
        manager = setup.group.get("a")
        await manager.login()
        setup.clock.advance(3600)
        setup.grant.gate = asyncio.Event()
        waiting = asyncio.create_task(manager.token())
        await run_turns()
        asyncio.get_running_loop().call_soon(setup.grant.gate.set)
    await run_turns(3)
    assert waiting.done()
    assert len(setup.group) == 0


async def test_on_login_required_is_called_with_the_user_and_the_reason():
    calls = []
    setup = ScriptedManagers(
        {}, {}, InvalidGrantError(status=400), on_login_required=lambda user, reason: calls.append((user, reason))
    )
    for user in ("ada", "bob"):
        await setup.group.get(user).login()
    setup.clock.advance(3600)
    for _ in range(2):
        assert await login_required(setup.group.get("ada")) == "refused"
    await run_turns()
    assert calls == [("ada", "refused")]


class TestUsers:
    async def test_users_are_those_with_a_stored_token(self):
        setup = ScriptedManagers()
        for user in ("ada", "bob"):
            await setup.group.get(user).login()
        setup.group.get("eve")
        assert await setup.users() == {"ada", "bob"}
        await setup.group.get("ada").logout()
        assert await setup.users() == {"bob"}

    async def test_store_that_fails_raises(self):
        setup = ScriptedManagers()
        setup.store.fail("users")
        with pytest.raises(StoreError):
            await setup.users()


class TestErase:
    async def test_token_is_revoked_and_every_record_removed(self):
        setup = ScriptedManagers()
        token = await setup.group.get("ada").login()
        await setup.group.erase("ada")
        assert setup.grant.revoked == [token]
        assert await setup.users() == set()
        assert not await setup.store.is_deleted("ada")  # no tombstone is left either
        assert await login_required(setup.group.get("ada")) is not None

    async def test_token_that_could_not_be_revoked_is_kept(self):
        setup = ScriptedManagers()
        token = await setup.group.get("ada").login()
        setup.grant.script = [ServerError(status=503)]
        with pytest.raises(ServerError):
            await setup.group.erase("ada")
        assert (await setup.store.load("ada")).token == token

    async def test_sign_in_after_the_logout_is_revoked_too(self):
        setup = ScriptedManagers()
        first = await setup.group.get("ada").login()
        new = setup.grant.token()
        delete = setup.store.inner.delete

        async def delete_and_sign_in_elsewhere(key):
            setup.store.inner.delete = delete
            await delete(key)
            later = setup.clock.now() + timedelta(seconds=1)
            theirs = StoredToken(token=new, epoch="theirs", signed_in_at=later, obtained_at=later)
            await setup.store.inner.save(key, theirs, replaces=None)

        setup.store.inner.delete = delete_and_sign_in_elsewhere
        await setup.group.erase("ada")
        assert setup.grant.revoked == [first, new]
        assert await setup.users() == set()

    async def test_sign_in_between_the_look_and_the_removal_waits_for_the_lock(self):
        """Without the lock, it would be removed and not revoked."""
        setup = ScriptedManagers()
        first = await setup.group.get("ada").login()
        erase, signing_in = setup.store.inner.erase, []

        async def sign_in_and_erase(user):
            other = TokenManagers(setup.grant, store=setup.store, clock=setup.clock)
            setup.clock.advance(1)
            signing_in.append(asyncio.create_task(other.get("ada").login()))
            await run_turns()
            await erase(user)

        setup.store.inner.erase = sign_in_and_erase
        await setup.group.erase("ada")
        second = await signing_in[0]
        assert setup.grant.revoked == [first]
        assert (await setup.store.load("ada")).token == second

    async def test_user_without_a_token(self):
        setup = ScriptedManagers()
        await setup.group.erase("ada")
        assert setup.grant.revoked == []


async def test_managers_are_limited_in_number_and_those_asked_for_last_are_kept(monkeypatch):
    monkeypatch.setattr("twilio_oauth_async.tokens.managers.MAX_MANAGERS", 3)
    group = ScriptedManagers().group
    first = group.get("0")
    for number in range(1, 10):
        group.get(str(number))
        assert len(group) <= 3
    assert group.in_use("9") is not None
    assert group.in_use("0") is None
    assert group.get("0") is not first
