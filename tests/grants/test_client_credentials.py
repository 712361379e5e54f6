import asyncio

import pytest

from tests.helpers.raw_server import RawServer, http
from tests.helpers.scripted_server import scripted
from tests.helpers.world import emulated
from twilio_oauth_async import (
    ConfigurationError,
    InvalidClientError,
    OAuthSession,
    ProtocolError,
    TransportError,
)
from twilio_oauth_async.grants.client_credentials import ClientCredentials
from twilio_oauth_async.tokens.manager import TokenManager


@pytest.mark.parametrize(
    "arguments", [{"client_id": ""}, {"client_secret": ""}, {"scope": ""}, {"audience": "\n"}, {"account_sid": "ü"}]
)
def test_client_credentials_with_invalid_argument_raises(arguments):
    with pytest.raises(ConfigurationError):
        ClientCredentials(OAuthSession(), **{"client_id": "OQ1", "client_secret": "s", **arguments})


def test_client_credentials_repr_shows_no_secret():
    assert "secret-canary" not in repr(
        ClientCredentials(OAuthSession(), client_id="OQ1", client_secret="secret-canary")
    )


@pytest.mark.asyncio
async def test_token_manager_obtains_a_new_token_only_after_expiry():
    async with emulated(auto=False) as world:
        grant = world.client_credentials()
        manager = TokenManager(grant)
        first = await manager.token()
        # The token is reused until it expires (expires_in); there is no request for each call.
        for _ in range(50):
            assert await manager.token() is first
        world.clock.advance(3600)
        assert (await manager.token()).access_token != first.access_token
        assert [request.path for request in world.emulator.requests] == ["/v2/token", "/v2/token"]
        assert (await grant.refresh(first)).access_token


@pytest.mark.asyncio
async def test_obtain_sends_all_parameters_without_session_credentials():
    async with scripted(http(200, {"access_token": "a", "expires_in": 60})) as (server, session):
        await ClientCredentials(
            session, client_id="OQ1", client_secret="s", scope="a b", audience="api", account_sid="AC2"
        ).obtain()
    [request] = server.requests
    assert request.target == "/v2/token?account_sid=AC2"
    assert request.body == b"grant_type=client_credentials&client_id=OQ1&client_secret=s&audience=api&scope=a+b"
    assert "authorization" not in request.headers


@pytest.mark.asyncio
async def test_obtain_with_wrong_secret_raises_invalid_client_error():
    async with emulated() as world:
        manager = TokenManager(world.client_credentials(client_secret="wrong"))
        with pytest.raises(InvalidClientError):
            await manager.token()


@pytest.mark.asyncio
async def test_obtain_does_not_block_the_event_loop():
    """In Twilio's own SDK the token request blocks the event loop until the response arrives."""
    received, respond = asyncio.Event(), asyncio.Event()

    async def slow(writer):
        received.set()
        await respond.wait()
        writer.write(http(200, {"access_token": "a", "expires_in": 60}))

    async with scripted(slow, credentials=()) as (server, session):
        manager = TokenManager(ClientCredentials(session, client_id="OQ1", client_secret="s"))
        waiting = [asyncio.create_task(manager.token()) for _ in range(3)]
        await received.wait()
        respond.set()  # this line runs only if the event loop is not blocked
        await asyncio.gather(*waiting)
        assert len(server.requests) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "response", [http(200, {"access_token": None}), http(200, b"null"), http(200, {"access_token": ""})]
)
async def test_response_without_usable_access_token_raises_protocol_error(response):
    """The header must never be ``Bearer None``."""
    async with scripted(response, credentials=()) as (_, session):
        manager = TokenManager(ClientCredentials(session, client_id="OQ1", client_secret="s"))
        with pytest.raises(ProtocolError, match=r"access_token|not a JSON object"):
            await manager.access_token()


@pytest.mark.asyncio
async def test_obtain_uses_proxy_and_timeout_of_the_session():
    async with RawServer(http(200, {"access_token": "a"})) as proxy:
        async with OAuthSession(base_url="http://127.0.0.1:9", proxy=proxy.base_url) as session:
            await ClientCredentials(session, client_id="OQ1", client_secret="s").obtain()
    assert proxy.requests[0].target == "http://127.0.0.1:9/v2/token"

    async def never_respond(writer):
        await asyncio.Event().wait()

    async with scripted(never_respond, credentials=(), timeout=0.05) as (_, session):
        with pytest.raises(TransportError, match="time limit"):
            await ClientCredentials(session, client_id="OQ1", client_secret="s").obtain()


def test_client_credentials_uses_region_and_edge_of_the_session():
    grant = ClientCredentials(OAuthSession(region="ie1", edge="dublin"), client_id="OQ1", client_secret="s")
    assert grant.session.base_url == "https://oauth.dublin.ie1.twilio.com"
