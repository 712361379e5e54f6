"""Faults 41 and 42 (docs/reliability.md): sign-ins and logouts of several processes that do not share a lock."""

from datetime import timedelta

import attrs
import pytest

from tests.helpers.scripted_manager import ScriptedManager, login_required, scripted_manager_near_expiry
from tests.helpers.world import emulated
from twilio_oauth_async import InvalidGrantError, LoginRequired, StoreConflict, StoreError
from twilio_oauth_async.stores.base import epoch_of

pytestmark = pytest.mark.asyncio


async def sign_in_elsewhere(setup, *, seconds):
    """Save the token of another sign-in past the lock, `seconds` after now; return it."""
    present = await setup.stored()
    theirs = attrs.evolve(
        setup.sample,
        token=setup.grant.token(access_token="theirs"),
        epoch="theirs",
        signed_in_at=setup.clock.now() + timedelta(seconds=seconds),
        obtained_at=setup.clock.now(),
    )
    await setup.store.inner.save("me", theirs, replaces=present and present.epoch)
    return theirs


async def sign_out_elsewhere(setup):
    await setup.store.inner.delete("me")


def during_refresh(setup, action):
    """Run `action` after the next refresh request was sent, before its response."""
    refresh = setup.grant.refresh

    async def act_and_refresh(token):
        setup.grant.refresh = refresh
        await action(setup)
        return await refresh(token)

    setup.grant.refresh = act_and_refresh


async def signed_in(*script):
    """Return a `ScriptedManager` whose stored token has expired. It is also in `sample`."""
    setup = await scripted_manager_near_expiry(*script)
    setup.clock.advance(50)
    setup.sample = await setup.stored()
    return setup


async def is_deleted(setup):
    return await setup.stored() is None and await setup.store.is_deleted("me")


class TestLogoutElsewhere:
    async def test_late_refresh_does_not_undo_it(self):
        setup = await signed_in()
        during_refresh(setup, sign_out_elsewhere)
        with pytest.raises(LoginRequired, match="signed out"):
            await setup.manager.token()
        assert await is_deleted(setup)
        assert await login_required(setup.manager)
        assert setup.grant.refreshed == ["ref-canary-1"]
        # A later sign-in passes.
        token = await setup.manager.login()
        assert (await setup.stored()).token == token
        assert not await setup.store.is_deleted("me")

    async def test_refresh_that_was_refused_does_not_undo_it(self):
        setup = await signed_in(InvalidGrantError(status=400))
        during_refresh(setup, sign_out_elsewhere)
        assert await login_required(setup.manager)
        assert await is_deleted(setup)

    async def test_refresh_that_failed_does_not_undo_it(self):
        setup = await signed_in(StoreError("not sent"))
        during_refresh(setup, sign_out_elsewhere)
        with pytest.raises(StoreError):
            await setup.manager.token()
        assert await is_deleted(setup)

    async def test_between_load_and_mark_sends_no_refresh(self):
        setup = await signed_in()
        setup.store.before("save", lambda *_: sign_out_elsewhere(setup), times=1)
        assert await login_required(setup.manager)
        assert setup.grant.refreshed == []
        assert await is_deleted(setup)

    async def test_refreshed_token_that_was_not_saved_yet_does_not_undo_it(self):
        setup = await signed_in()
        setup.store.fail("save", when=lambda _, stored: stored.generation == 2)
        with pytest.raises(StoreError):
            await setup.manager.token()
        await sign_out_elsewhere(setup)
        setup.store.repair()
        setup.clock.advance(1)
        with pytest.raises(LoginRequired, match="signed out"):
            await setup.manager.token()
        assert await is_deleted(setup)

    async def test_older_sign_in_that_was_not_saved_yet_does_not_undo_it(self):
        setup = await signed_in()
        setup.store.fail("save")
        with pytest.raises(StoreError):
            await setup.manager.login()
        await sign_in_elsewhere(setup, seconds=1)
        await sign_out_elsewhere(setup)
        setup.store.repair()
        setup.clock.advance(2)
        assert await login_required(setup.manager)
        assert await is_deleted(setup)

    async def test_token_that_is_adopted_again_does_not_undo_it(self):
        setup = await signed_in()
        token, at = setup.grant.token(), setup.clock.now()
        for _ in range(2):
            await setup.manager.adopt(token, epoch=epoch_of("code"), signed_in_at=at)
            setup.clock.advance(1)
        assert ((await setup.stored()).epoch, (await setup.stored()).signed_in_at) == (epoch_of("code"), at)
        await sign_out_elsewhere(setup)
        with pytest.raises(LoginRequired, match="signed out"):
            await setup.manager.adopt(token, epoch=epoch_of("code"), signed_in_at=at)
        assert await is_deleted(setup)


class TestSignInElsewhere:
    async def test_late_refresh_does_not_replace_it(self, caplog):
        setup = await signed_in()
        during_refresh(setup, lambda setup: sign_in_elsewhere(setup, seconds=1))
        assert await setup.manager.access_token() == "theirs"
        assert (await setup.stored()).epoch == "theirs"
        assert setup.grant.refreshed == ["ref-canary-1"]
        assert "was saved meanwhile and is used instead" in caplog.text

    async def test_refresh_that_was_refused_does_not_replace_it(self):
        setup = await signed_in(InvalidGrantError(status=400))
        during_refresh(setup, lambda setup: sign_in_elsewhere(setup, seconds=0))
        assert await setup.manager.access_token() == "theirs"
        assert (await setup.stored()).token.refresh_token is not None

    async def test_between_load_and_mark_is_used_without_a_refresh(self):
        setup = await signed_in()
        setup.store.before("save", lambda *_: sign_in_elsewhere(setup, seconds=1), times=1)
        assert await setup.manager.access_token() == "theirs"
        assert setup.grant.refreshed == []

    async def test_refreshed_token_that_was_not_saved_yet_gives_way(self):
        setup = await signed_in()
        setup.store.fail("save", when=lambda _, stored: stored.generation == 2)
        with pytest.raises(StoreError):
            await setup.manager.token()
        theirs = await sign_in_elsewhere(setup, seconds=1)
        setup.store.repair()
        setup.clock.advance(1)
        assert await setup.manager.access_token() == "theirs"
        assert await setup.stored() == theirs

    @pytest.mark.parametrize(("seconds", "winner"), [(-1, "acc-canary-2"), (1, "theirs")])
    async def test_of_two_at_once_the_later_one_is_kept(self, seconds, winner):
        setup = await signed_in()
        setup.store.before("save", lambda *_: sign_in_elsewhere(setup, seconds=seconds), times=1)
        await setup.manager.login()
        assert (await setup.stored()).token.access_token == winner
        assert await setup.manager.access_token() == winner

    async def test_token_of_a_host_whose_clock_is_ahead_can_be_replaced(self):
        """By a grant that needs no user: what it obtains after a token was loaded is later than that token."""
        setup = ScriptedManager(interactive=False)
        await setup.manager.token()
        ahead = attrs.evolve(
            await setup.stored(),
            token=setup.grant.token(access_token="ahead", refresh_token=None),
            epoch="ahead",
            signed_in_at=setup.clock.now() + timedelta(seconds=5),
        )
        await setup.store.inner.save("me", ahead, replaces=(await setup.stored()).epoch)
        setup.manager = setup.another()
        assert (await setup.manager.token()).access_token == "ahead"
        setup.manager.invalidate("ahead")
        token = await setup.manager.token()
        assert token.access_token != "ahead"
        assert (await setup.stored()).token == token

    async def test_store_that_contradicts_itself_is_not_asked_for_ever(self):
        setup = await signed_in()
        setup.store.fail("save", error=StoreConflict("odd"))
        await setup.manager.login()
        assert setup.store.calls.count("save") < 5


class TestLostData:
    async def test_another_process_requires_a_login(self):
        setup = await signed_in()
        await setup.store.erase("me")
        assert await login_required(setup.another())
        assert not await setup.store.is_deleted("me")

    async def test_sign_in_is_saved_again(self):
        setup = await signed_in()
        await setup.store.erase("me")
        token = await setup.manager.token(login=True)
        assert (await setup.stored()).token == token

    async def test_during_refresh_the_new_token_is_saved_again(self):
        setup = await signed_in()
        during_refresh(setup, lambda setup: setup.store.erase("me"))
        token = await setup.manager.token()
        assert (await setup.stored()).token == token
        assert ((await setup.stored()).epoch, (await setup.stored()).generation) == (setup.sample.epoch, 2)


class TestApps:
    async def test_two_apps_on_one_store_and_user_never_meet(self):
        async with emulated() as setup:
            app = setup.emulator.add_app("Another app")
            flow = setup.device_flow(client_sid=app.sid, client_secret=app.secret, scopes=["openid", "profile"])
            manager, other = setup.manager(), setup.manager(flow=flow)
            token = await manager.login()
            assert await login_required(other)
            other_token = await other.login()
            assert other_token != token
            for _ in range(2):  # neither refresh is sent for the other app
                setup.clock.advance(3600)
                token, other_token = await manager.token(), await other.token()
            assert [entry.form["ClientSid"] for entry in setup.emulator.requests.to("refresh")] == [
                setup.emulator.client_sid,
                app.sid,
            ] * 2
            await other.logout()
            assert await setup.manager().token() == token
            assert await login_required(setup.manager(flow=flow))
            stored = await setup.stored("me")
            assert (stored.client_sid, stored.server, stored.scopes) == (
                setup.emulator.client_sid,
                setup.emulator.base_url,
                ("openid",),
            )

    async def test_two_servers_on_one_store_and_user_never_meet(self):
        async with emulated() as setup, emulated() as elsewhere:
            elsewhere.tokens = setup.tokens
            token = await setup.manager().login()
            assert await login_required(elsewhere.manager())
            other_token = await elsewhere.manager().login()
            assert await setup.manager().token() == token
            assert await elsewhere.manager().token() == other_token
            assert elsewhere.emulator.requests.to("refresh") == []

    async def test_grant_without_identity_has_a_record_of_its_user_only(self):
        setup = ScriptedManager()
        await setup.manager.login()
        stored = await setup.store.load("me")
        assert (stored.client_sid, stored.server, stored.scopes) == ("", "", ())
