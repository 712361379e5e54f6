"""Fault 41 (docs/reliability.md): several OAuth apps, servers or sets of scopes on one store and user."""

import pytest

from tests.helpers.scripted_manager import ScriptedManager, login_required
from tests.helpers.world import emulated
from twilio_oauth_async import LoginRequired

pytestmark = pytest.mark.asyncio


async def test_two_apps_on_one_store_and_user_never_meet():
    async with emulated() as setup:
        app = setup.emulator.add_app("Another app")
        flow = setup.device_flow(client_sid=app.sid, client_secret=app.secret, scopes=["openid", "profile"])
        manager, other = setup.manager(), setup.manager(flow=flow)
        token = await manager.login()
        assert await login_required(other) == "never_signed_in"
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
        assert await login_required(setup.manager(flow=flow)) == "signed_out"
        stored = await setup.stored("me")
        assert (stored.client_sid, stored.server, stored.scopes) == (
            setup.emulator.client_sid,
            setup.emulator.base_url,
            ("openid",),
        )


async def test_two_servers_on_one_store_and_user_never_meet():
    async with emulated() as setup, emulated() as elsewhere:
        elsewhere.tokens = setup.tokens
        token = await setup.manager().login()
        assert await login_required(elsewhere.manager()) == "never_signed_in"
        other_token = await elsewhere.manager().login()
        assert await setup.manager().token() == token
        assert await elsewhere.manager().token() == other_token
        assert elsewhere.emulator.requests.to("refresh") == []


async def test_grant_without_identity_has_a_record_of_its_user_only():
    setup = ScriptedManager()
    await setup.manager.login()
    stored = await setup.store.load("me")
    assert (stored.client_sid, stored.server, stored.scopes) == ("", "", ())


async def test_more_scopes_than_stored_require_a_login_that_says_so():
    async with emulated() as setup:
        await setup.manager().login()
        wider = setup.manager(flow=setup.device_flow(scopes=["openid", "profile"]))
        with pytest.raises(LoginRequired, match="scopes") as caught:
            await wider.token()
        assert caught.value.reason == "scopes"
        assert setup.emulator.requests.to("refresh") == []
        token = await wider.token(login=True)
        assert (await setup.stored("me")).scopes == ("openid", "profile")
        # The process that needs fewer scopes uses the new token too, and keeps its scopes when it refreshes.
        narrower = setup.manager()
        assert await narrower.token() == token
        setup.clock.advance(3600)
        await narrower.token()
        assert (await setup.stored("me")).scopes == ("openid", "profile")
        assert await wider.token() == await narrower.token()


async def test_more_audiences_than_stored_require_a_login():
    async with emulated() as setup:
        await setup.manager().login()
        wider = setup.manager(flow=setup.device_flow(audiences=["https://api.example.com"]))
        assert await login_required(wider) == "scopes"


async def test_logout_with_more_scopes_than_stored_revokes_the_stored_token():
    async with emulated() as setup:
        await setup.manager().login()
        await setup.manager(flow=setup.device_flow(scopes=["openid", "profile"])).logout()
        assert len(setup.emulator.requests.to("revoke")) >= 1
        assert await login_required(setup.manager()) == "signed_out"
