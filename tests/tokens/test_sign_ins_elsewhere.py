"""Fault 42 (docs/reliability.md): sign-ins and logouts of other processes that do not share the lock."""

from datetime import timedelta

import attrs
import pytest

from tests.helpers.event_loop import run_turns
from tests.helpers.scripted_manager import ScriptedManager, login_required, scripted_manager_expired
from twilio_oauth_async import InvalidGrantError, LoginRequired, StoreError, TransportError
from twilio_oauth_async.stores.base import epoch_of

pytestmark = pytest.mark.asyncio


class TestLogoutElsewhere:
    async def test_late_refresh_does_not_undo_it(self):
        setup = await scripted_manager_expired()
        setup.during_refresh(setup.sign_out_elsewhere)
        with pytest.raises(LoginRequired, match="signed out"):
            await setup.manager.token()
        assert await setup.is_deleted()
        assert await login_required(setup.manager) == "signed_out"
        assert setup.grant.refreshed == ["ref-canary-1"]
        # A later sign-in passes.
        token = await setup.manager.login()
        assert (await setup.stored()).token == token
        assert not await setup.store.is_deleted("me")

    async def test_refresh_that_was_refused_does_not_undo_it(self):
        setup = await scripted_manager_expired(InvalidGrantError(status=400))
        setup.during_refresh(setup.sign_out_elsewhere)
        assert await login_required(setup.manager) == "signed_out"
        assert await setup.is_deleted()

    async def test_refresh_that_failed_does_not_undo_it(self):
        setup = await scripted_manager_expired(TransportError("not sent"))
        setup.during_refresh(setup.sign_out_elsewhere)
        assert await login_required(setup.manager) == "signed_out"
        assert await setup.is_deleted()

    async def test_between_load_and_mark_sends_no_refresh(self):
        setup = await scripted_manager_expired()
        setup.store.before("save", lambda *_: setup.sign_out_elsewhere(), times=1)
        assert await login_required(setup.manager) == "signed_out"
        assert setup.grant.refreshed == []
        assert await setup.is_deleted()

    async def test_refreshed_token_that_was_not_saved_yet_does_not_undo_it(self):
        setup = await scripted_manager_expired()
        setup.store.fail("save", when=lambda _, stored: stored.generation == 2)
        with pytest.raises(StoreError):
            await setup.manager.token()
        await setup.sign_out_elsewhere()
        setup.store.repair()
        await setup.pass_time(1)
        with pytest.raises(LoginRequired, match="signed out"):
            await setup.manager.token()
        assert await setup.is_deleted()

    async def test_older_sign_in_that_was_not_saved_yet_does_not_undo_it(self):
        setup = await scripted_manager_expired()
        setup.store.fail("save")
        with pytest.raises(StoreError):
            await setup.manager.login()
        await setup.sign_in_elsewhere(seconds=1)
        await setup.sign_out_elsewhere()
        setup.store.repair()
        await setup.pass_time(2)
        assert await login_required(setup.manager) == "signed_out"
        assert await setup.is_deleted()

    async def test_token_that_is_adopted_again_does_not_undo_it(self):
        setup = await scripted_manager_expired()
        token, at = setup.grant.token(), setup.clock.now()
        for _ in range(2):
            await setup.manager.adopt(token, epoch=epoch_of("code"), signed_in_at=at)
            setup.clock.advance(1)
        assert ((await setup.stored()).epoch, (await setup.stored()).signed_in_at) == (epoch_of("code"), at)
        await setup.sign_out_elsewhere()
        with pytest.raises(LoginRequired, match="signed out"):
            await setup.manager.adopt(token, epoch=epoch_of("code"), signed_in_at=at)
        assert await setup.is_deleted()


class TestSignInElsewhere:
    async def test_late_refresh_does_not_replace_it(self):
        setup = await scripted_manager_expired()
        setup.during_refresh(lambda: setup.sign_in_elsewhere(seconds=1))
        assert await setup.manager.access_token() == "theirs"
        assert (await setup.stored()).epoch == "theirs"
        assert setup.grant.refreshed == ["ref-canary-1"]

    async def test_refresh_that_was_refused_does_not_replace_it(self):
        setup = await scripted_manager_expired(InvalidGrantError(status=400))
        setup.during_refresh(lambda: setup.sign_in_elsewhere(seconds=0))
        assert await setup.manager.access_token() == "theirs"
        assert (await setup.stored()).token.refresh_token is not None

    async def test_between_load_and_mark_is_used_without_a_refresh(self):
        setup = await scripted_manager_expired()
        setup.store.before("save", lambda *_: setup.sign_in_elsewhere(seconds=1), times=1)
        assert await setup.manager.access_token() == "theirs"
        assert setup.grant.refreshed == []

    async def test_refreshed_token_that_was_not_saved_yet_yields_to_it(self):
        setup = await scripted_manager_expired()
        setup.store.fail("save", when=lambda _, stored: stored.generation == 2)
        with pytest.raises(StoreError):
            await setup.manager.token()
        theirs = await setup.sign_in_elsewhere(seconds=1)
        setup.store.repair()
        await setup.pass_time(1)
        assert await setup.manager.access_token() == "theirs"
        assert await setup.stored() == theirs

    @pytest.mark.parametrize(("seconds", "winner"), [(-1, "acc-canary-2"), (1, "theirs")])
    async def test_of_two_at_once_the_later_one_is_kept(self, seconds, winner):
        setup = await scripted_manager_expired()
        setup.store.before("save", lambda *_: setup.sign_in_elsewhere(seconds=seconds), times=1)
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

    async def test_is_noticed_after_login_required(self):
        setup = await scripted_manager_expired(InvalidGrantError(status=400))
        other = setup.another()
        assert await login_required(setup.manager) == "refused"
        token = await other.login()
        assert await setup.manager.token() == token

    async def test_is_noticed_by_a_background_that_waits_for_a_login(self):
        setup = ScriptedManager()
        async with setup.manager:
            await run_turns()
            await setup.sign_in_elsewhere(seconds=0)
            await setup.pass_time(60)
            setup.store.calls.clear()
            assert await setup.manager.access_token() == "theirs"
            assert setup.store.calls == []
            await setup.pass_time(3500)
            assert len(setup.grant.refreshed) == 1

    async def test_is_not_undone_by_a_background_save_of_an_earlier_sign_in(self):
        setup = await scripted_manager_expired()
        setup.store.fail("save")
        with pytest.raises(StoreError):
            await setup.manager.login()
        theirs = await setup.sign_in_elsewhere(seconds=1)
        setup.store.repair()
        await setup.pass_time(600)
        assert await setup.stored() == theirs
        assert await setup.manager.access_token() == "theirs"


async def test_refusal_of_an_older_refresh_token_elsewhere_does_not_take_away_the_newer_one():
    """At a server that does not revoke the whole sign-in: this process has refreshed, and its save has failed."""
    setup = await scripted_manager_expired()
    setup.store.fail("save", skip=1, times=3)  # the mark is saved, the new token is not
    with pytest.raises(StoreError):
        await setup.manager.token()
    assert await setup.manager.access_token() == "acc-canary-2"
    stored = await setup.stored()
    refused = attrs.evolve(
        stored, token=attrs.evolve(stored.token, refresh_token=None), generation=stored.generation + 1, unanswered=0
    )
    await setup.store.inner.save(setup.key, refused, replaces=stored.epoch)
    setup.store.repair()
    await setup.manager.close()
    assert await setup.manager.access_token() == "acc-canary-2"
    assert (await setup.stored()).token.refresh_token == "ref-canary-2"
