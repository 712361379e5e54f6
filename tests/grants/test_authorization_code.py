import re

import pytest

from tests.helpers.code_flow_browser import Browser
from tests.helpers.world import CALLBACK, emulated
from twilio_oauth_async import (
    AuthorizationError,
    ConfigurationError,
    IdTokenError,
    InvalidGrantError,
    OAuthSession,
    ProtocolError,
)
from twilio_oauth_async.grants.authorization_code import AuthorizationCodeFlow
from twilio_oauth_async.protocol.authorization_request import PendingAuthorization
from twilio_oauth_async.tokens.manager import TokenManager

GENERATIONS = pytest.mark.parametrize("api", ["v1", "v2"])


@pytest.mark.parametrize(
    "arguments",
    [
        {"client_sid": ""},
        {"scopes": "openid"},
        {"scopes": ["a b"]},
        {"api": "v3"},
        {"timeout": 0},
        {"redirect_uri": "http://app.example/callback"},
        {"redirect_uri": "https://app.example/callback#fragment"},
        {"redirect_uri": "myapp:callback"},
    ],
)
def test_authorization_code_flow_with_invalid_argument_raises(arguments):
    with pytest.raises(ConfigurationError):
        AuthorizationCodeFlow(OAuthSession(), **{"client_sid": "OQ1", **arguments})


def test_authorization_code_flow_repr_shows_no_secret():
    flow = AuthorizationCodeFlow(OAuthSession(), client_sid="OQ1", scopes=["openid"], client_secret="secret-canary")
    assert repr(flow) == "AuthorizationCodeFlow(client_sid='OQ1', scopes=('openid',), api='v1')"


@GENERATIONS
@pytest.mark.asyncio
async def test_finish_of_authorization_started_in_another_process_returns_token(api):
    async with emulated(auto=False) as world:
        flow = world.code_flow(api=api)
        stored = (await flow.start()).to_json()
        pending = PendingAuthorization.from_json(stored)
        callback = await world.emulator.authorize(pending.url)
        assert callback.startswith(CALLBACK + "?")
        token = await flow.finish(pending, callback)
        info = await world.session.fetch_user_info(access_token=token.access_token)
        assert info.user_sid == world.emulator.user.sid
        assert token.refresh_token is not None
        exchange = [request for request in world.emulator.requests if request.path.endswith("/token")]
        assert [request.path for request in exchange] == [f"/{api}/token"]
        assert exchange[0].headers["Connection"] == "close"


@GENERATIONS
@pytest.mark.asyncio
async def test_finish_after_user_denied_raises(api):
    async with emulated(auto=False) as world:
        flow = world.code_flow(api=api)
        pending = await flow.start()
        callback = await world.emulator.authorize(pending.url, approve=False)
        with pytest.raises(AuthorizationError, match="access_denied") as caught:
            await flow.finish(pending, callback)
        assert caught.value.error == "access_denied"


@GENERATIONS
@pytest.mark.asyncio
async def test_finish_with_used_callback_raises_and_sends_nothing(api):
    async with emulated(auto=False) as world:
        flow = world.code_flow(api=api)
        pending = await flow.start()
        callback = await world.emulator.authorize(pending.url)
        await flow.finish(pending, callback)
        with pytest.raises(AuthorizationError, match="used before"):
            await flow.finish(pending, callback)
        assert len([request for request in world.emulator.requests if request.path.endswith("/token")]) == 1


@pytest.mark.asyncio
async def test_finish_with_callback_of_another_request_raises():
    async with emulated(auto=False) as world:
        flow = world.code_flow()
        first, second = await flow.start(), await flow.start()
        callback = await world.emulator.authorize(second.url)
        with pytest.raises(AuthorizationError, match="another authorization request"):
            await flow.finish(first, callback)
        await flow.finish(second, callback)


@pytest.mark.asyncio
async def test_finish_with_stolen_code_without_its_verifier_raises():
    """RFC 7636 1: the attack that PKCE prevents."""
    async with emulated(auto=False) as world:
        flow = world.code_flow()
        victim, attacker = await flow.start(), await flow.start()
        callback = await world.emulator.authorize(victim.url)
        with pytest.raises(InvalidGrantError):
            await flow.finish(attacker, callback.replace(victim.state, attacker.state))


@pytest.mark.asyncio
async def test_finish_with_authorization_of_another_client_raises():
    async with emulated(auto=False) as world:
        flow = world.code_flow()
        other = AuthorizationCodeFlow(world.session, client_sid="OQ2")
        pending = await flow.start()
        with pytest.raises(ConfigurationError, match="another client_sid"):
            await other.finish(pending, CALLBACK)


@pytest.mark.asyncio
async def test_start_without_redirect_uri_raises():
    flow = AuthorizationCodeFlow(OAuthSession(), client_sid="OQ1")
    with pytest.raises(ConfigurationError, match="redirect_uri"):
        await flow.start()


@pytest.mark.asyncio
async def test_start_with_tampered_discovery_document_raises():
    async with emulated(auto=False) as world:
        flow = world.code_flow()
        world.emulator.faults.on("discovery").always().change(
            authorization_endpoint="https://attacker.example/authorize"
        )
        with pytest.raises(ProtocolError, match="authorization_endpoint"):
            await flow.start()
    async with emulated(auto=False) as world:
        flow = world.code_flow()
        world.emulator.faults.on("discovery").always().change(issuer="https://attacker.example")
        with pytest.raises(ProtocolError, match="not the issuer of the session"):
            await flow.start()


@pytest.mark.asyncio
async def test_callback_without_iss_is_refused_if_the_server_announces_it():
    """RFC 9207 2.4."""
    async with emulated(auto=False) as world:
        flow = world.code_flow()
        world.emulator.faults.on("discovery").always().change(authorization_response_iss_parameter_supported=True)
        pending = PendingAuthorization.from_json((await flow.start()).to_json())
        callback = await world.emulator.authorize(pending.url)
        with pytest.raises(AuthorizationError, match="no iss"):
            await flow.finish(pending, re.sub("&iss=[^&]*", "", callback))
        assert (await flow.finish(pending, callback)).access_token


@GENERATIONS
@pytest.mark.asyncio
async def test_token_manager_with_authorization_code_flow_refreshes_and_revokes(api):
    browser = Browser()
    async with emulated(auto=False) as world:
        flow = world.code_flow(api=api, redirect_uri=None, open_browser=browser)
        browser.emulator = world.emulator
        manager = TokenManager(flow)
        first = await manager.token(login=True)
        world.clock.advance(4000)
        second = await manager.token()
        assert second.access_token != first.access_token
        assert flow.interactive
        await manager.logout()
        with pytest.raises(InvalidGrantError):
            await flow.refresh(second)


@pytest.mark.asyncio
async def test_finish_passes_the_nonce_to_the_verifier():
    class RejectingVerifier:
        async def verify(self, id_token, *, nonce=None, access_token=None):
            self.arguments = (id_token, nonce, access_token)
            raise IdTokenError("the nonce is wrong", claim="nonce")

    verifier = RejectingVerifier()
    async with emulated(auto=False) as world:
        flow = world.code_flow(verifier=verifier)
        pending = await flow.start()
        callback = await world.emulator.authorize(pending.url)
        with pytest.raises(IdTokenError):
            await flow.finish(pending, callback)
        assert verifier.arguments[1] == pending.nonce
        assert verifier.arguments[0].count(".") == 2
