"""Rows 24 and 30: the store or its lock fails, before the request or after it."""

import pytest

from tests.helpers.scripted_manager import ScriptedManager, scripted_manager_near_expiry
from twilio_oauth_async import StoreError, TransportError

pytestmark = pytest.mark.asyncio


def is_second(_, stored):
    return stored.generation == 2


class TestSavingFails:
    async def test_told_once_usable_in_memory_and_no_refresh_until_it_is_saved(self, caplog):
        setup = await scripted_manager_near_expiry()
        setup.store.fail("save", when=is_second, error=StoreError("disk full"))
        with pytest.raises(StoreError, match="disk full"):
            await setup.manager.token()
        assert "could not be saved" in caplog.text
        assert await setup.manager.access_token() == "acc-canary-2"
        assert (await setup.stored()).token.access_token == "acc-canary-1"
        # Near the next end: still full, so no refresh; the token is used on.
        setup.clock.advance(3550)
        assert await setup.manager.access_token() == "acc-canary-2"
        setup.clock.advance(100)
        with pytest.raises(StoreError):
            await setup.manager.token()
        assert len(setup.grant.refreshed) == 1
        setup.store.repair("save")
        setup.clock.advance(1)
        assert await setup.manager.access_token() == "acc-canary-3"
        assert (await setup.stored()).generation == 3

    async def test_saved_soon_after_the_store_is_back(self):
        setup = await scripted_manager_near_expiry()
        setup.store.fail("save", when=is_second)
        with pytest.raises(StoreError):
            await setup.manager.token()
        setup.store.repair("save")
        setup.clock.advance(1)
        await setup.manager.token()
        assert (await setup.stored()).token.access_token == "acc-canary-2"
        assert len(setup.grant.refreshed) == 1

    @pytest.mark.parametrize("failing", ["lock", "load", "save"])
    async def test_a_login_is_not_in_vain(self, failing):
        setup = ScriptedManager()
        setup.store.fail(failing)
        with pytest.raises(StoreError):
            await setup.manager.login()
        assert await setup.manager.access_token() == "acc-canary-1"
        setup.store.repair()
        setup.clock.advance(1)
        await setup.manager.token()
        assert (await setup.stored()).token.access_token == "acc-canary-1"

    async def test_a_newer_one_of_a_sibling_goes_before_what_was_not_saved(self):
        setup = await scripted_manager_near_expiry()
        setup.store.fail("save")
        setup.clock.advance(100)
        with pytest.raises(StoreError):
            await setup.manager.token()
        assert setup.grant.refreshed == []  # the mark could not be made, so nothing was sent


class TestStoreFails:
    @pytest.mark.parametrize("failing", ["lock", "load", "save"])
    async def test_never_a_refresh_without_lock_and_mark(self, failing):
        setup = await scripted_manager_near_expiry()
        setup.store.fail(failing)
        assert await setup.manager.access_token() == "acc-canary-1"
        setup.clock.advance(60)
        with pytest.raises(StoreError):
            await setup.manager.token()
        assert setup.grant.refreshed == []
        setup.store.repair()
        setup.clock.advance(1)
        assert await setup.manager.access_token() == "acc-canary-2"

    async def test_a_lock_that_cannot_be_given_back_costs_nothing(self, caplog):
        setup = await scripted_manager_near_expiry()
        setup.store.fail("unlock")
        assert await setup.manager.access_token() == "acc-canary-2"
        assert "could not be released" in caplog.text

    async def test_a_mark_that_cannot_be_taken_back_stays(self, caplog):
        setup = await scripted_manager_near_expiry()

        async def refuse(token):
            setup.store.fail("save")
            raise TransportError("never sent")

        setup.grant.refresh = refuse
        await setup.manager.token()
        assert (await setup.stored()).unanswered == 1
        assert "could not be taken back" in caplog.text
