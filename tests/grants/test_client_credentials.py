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
    "given", [{"client_id": ""}, {"client_secret": ""}, {"scope": ""}, {"audience": "\n"}, {"account_sid": "ü"}]
)
def test_bad_use_is_told_at_once(given):
    with pytest.raises(ConfigurationError):
        ClientCredentials(OAuthSession(), **{"client_id": "OQ1", "client_secret": "s", **given})


def test_it_shows_no_secret():
    assert "s3cr3t" not in repr(ClientCredentials(OAuthSession(), client_id="OQ1", client_secret="s3cr3t"))


@pytest.mark.asyncio
async def test_a_manager_renews_by_itself():
    async with emulated(auto=False) as world:
        grant = world.client_credentials()
        manager = TokenManager(grant)
        first = await manager.token()
        # Opaque or not, it is kept until expires_in says otherwise: not asked for anew with every request.
        for _ in range(50):
            assert await manager.token() is first
        world.clock.advance(3600)
        assert (await manager.token()).access_token != first.access_token
        assert [request.path for request in world.emulator.requests] == ["/v2/token", "/v2/token"]
        assert (await grant.refresh(first)).access_token


@pytest.mark.asyncio
async def test_what_is_sent():
    async with scripted(http(200, {"access_token": "a", "expires_in": 60})) as (server, session):
        await ClientCredentials(
            session, client_id="OQ1", client_secret="s", scope="a b", audience="api", account_sid="AC2"
        ).obtain()
    [request] = server.requests
    assert request.target == "/v2/token?account_sid=AC2"
    assert request.body == b"grant_type=client_credentials&client_id=OQ1&client_secret=s&audience=api&scope=a+b"
    assert "authorization" not in request.headers


@pytest.mark.asyncio
async def test_wrong_credentials():
    async with emulated() as world:
        manager = TokenManager(world.client_credentials(client_secret="wrong"))
        with pytest.raises(InvalidClientError):
            await manager.token()


@pytest.mark.asyncio
async def test_the_loop_goes_on_while_the_token_is_fetched():
    """The official SDK's fetch stops the loop for as long as the endpoint takes."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(writer):
        asked.set()
        await go_on.wait()
        writer.write(http(200, {"access_token": "a", "expires_in": 60}))

    async with scripted(slow, credentials=()) as (server, session):
        manager = TokenManager(ClientCredentials(session, client_id="OQ1", client_secret="s"))
        waiting = [asyncio.create_task(manager.token()) for _ in range(3)]
        await asked.wait()
        go_on.set()  # we are here: the loop is ours
        await asyncio.gather(*waiting)
        assert len(server.requests) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "answer", [http(200, {"access_token": None}), http(200, b"null"), http(200, {"access_token": ""})]
)
async def test_never_a_bearer_none(answer):
    async with scripted(answer, credentials=()) as (_, session):
        manager = TokenManager(ClientCredentials(session, client_id="OQ1", client_secret="s"))
        with pytest.raises(ProtocolError, match=r"access_token|not a JSON object"):
            await manager.access_token()


@pytest.mark.asyncio
async def test_proxy_and_timeout_hold_for_the_token_call():
    async with RawServer(http(200, {"access_token": "a"})) as proxy:
        async with OAuthSession(base_url="http://127.0.0.1:9", proxy=proxy.base_url) as session:
            await ClientCredentials(session, client_id="OQ1", client_secret="s").obtain()
    assert proxy.requests[0].target == "http://127.0.0.1:9/v2/token"

    async def never(writer):
        await asyncio.Event().wait()

    async with scripted(never, credentials=(), timeout=0.05) as (_, session):
        with pytest.raises(TransportError, match="time limit"):
            await ClientCredentials(session, client_id="OQ1", client_secret="s").obtain()


def test_region_and_edge_hold_for_the_token_call():
    session = OAuthSession(region="ie1", edge="dublin")
    assert (
        ClientCredentials(session, client_id="OQ1", client_secret="s").session.base_url
        == "https://oauth.dublin.ie1.twilio.com"
    )
