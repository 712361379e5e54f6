import asyncio

import aiohttp
import pytest

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
        {"redirect_uri": "https://app.example/callback#x"},
        {"redirect_uri": "myapp:callback"},
    ],
)
def test_bad_use_is_told_at_once(arguments):
    with pytest.raises(ConfigurationError):
        AuthorizationCodeFlow(OAuthSession(), **{"client_sid": "OQ1", **arguments})


def test_a_flow_shows_no_secret():
    flow = AuthorizationCodeFlow(OAuthSession(), client_sid="OQ1", scopes=["openid"], client_secret="s3cr3t")
    assert repr(flow) == "AuthorizationCodeFlow(client_sid='OQ1', scopes=('openid',), api='v1')"


@GENERATIONS
@pytest.mark.asyncio
async def test_start_and_finish_in_another_process(api):
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
async def test_refused_by_the_person(api):
    async with emulated(auto=False) as world:
        flow = world.code_flow(api=api)
        pending = await flow.start()
        callback = await world.emulator.authorize(pending.url, approve=False)
        with pytest.raises(AuthorizationError, match="access_denied") as caught:
            await flow.finish(pending, callback)
        assert caught.value.error == "access_denied"


@GENERATIONS
@pytest.mark.asyncio
async def test_a_callback_is_good_once(api):
    async with emulated(auto=False) as world:
        flow = world.code_flow(api=api)
        pending = await flow.start()
        callback = await world.emulator.authorize(pending.url)
        await flow.finish(pending, callback)
        with pytest.raises(AuthorizationError, match="used before"):
            await flow.finish(pending, callback)
        assert len([request for request in world.emulator.requests if request.path.endswith("/token")]) == 1


@pytest.mark.asyncio
async def test_an_answer_to_somebody_else_s_request():
    async with emulated(auto=False) as world:
        flow = world.code_flow()
        mine, theirs = await flow.start(), await flow.start()
        callback = await world.emulator.authorize(theirs.url)
        with pytest.raises(AuthorizationError, match="another authorization request"):
            await flow.finish(mine, callback)
        await flow.finish(theirs, callback)


@pytest.mark.asyncio
async def test_a_stolen_code_without_its_verifier_is_worth_nothing():
    async with emulated(auto=False) as world:
        flow = world.code_flow()
        victim, thief = await flow.start(), await flow.start()
        callback = await world.emulator.authorize(victim.url)
        with pytest.raises(InvalidGrantError):
            await flow.finish(thief, callback.replace(victim.state, thief.state))


@pytest.mark.asyncio
async def test_a_flow_of_another_client_is_refused():
    async with emulated(auto=False) as world:
        flow = world.code_flow()
        other = AuthorizationCodeFlow(world.session, client_sid="OQ2")
        pending = await flow.start()
        with pytest.raises(ConfigurationError, match="another client_sid"):
            await other.finish(pending, CALLBACK)
        with pytest.raises(ConfigurationError, match="redirect_uri"):
            await other.start()


@pytest.mark.asyncio
async def test_discovery_that_was_tampered_with_sends_nobody_anywhere():
    async with emulated(auto=False) as world:
        flow = world.code_flow()
        world.emulator.faults.on("discovery").always().change(authorization_endpoint="https://evil.example/authorize")
        with pytest.raises(ProtocolError, match="authorization_endpoint"):
            await flow.start()
    async with emulated(auto=False) as world:
        flow = world.code_flow()
        world.emulator.faults.on("discovery").always().change(issuer="https://evil.example")
        with pytest.raises(ProtocolError, match="another issuer"):
            await flow.start()


@GENERATIONS
@pytest.mark.asyncio
async def test_as_a_grant_of_a_manager(api):
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
async def test_the_nonce_is_checked_by_a_verifier():
    class Verifier:
        async def verify(self, id_token, *, nonce=None, access_token=None):
            self.seen = (id_token, nonce, access_token)
            raise IdTokenError("no", claim="nonce")

    verifier = Verifier()
    async with emulated(auto=False) as world:
        flow = world.code_flow(verifier=verifier)
        pending = await flow.start()
        callback = await world.emulator.authorize(pending.url)
        with pytest.raises(IdTokenError):
            await flow.finish(pending, callback)
        assert verifier.seen[1] == pending.nonce
        assert verifier.seen[0].count(".") == 2


class Browser:
    """A person's browser: asks the person's decision of the emulator, and goes where it is sent."""

    def __init__(self, *, approve=True, before=None):
        self.approve, self.before = approve, before
        self.emulator = None
        self.page = None

    async def __call__(self, url):
        callback = await self.emulator.authorize(url, approve=self.approve)
        async with aiohttp.ClientSession() as http:
            if self.before is not None:
                await self.before(http, callback)
            async with http.get(callback) as response:
                self.page = (response.status, dict(response.headers), await response.text())


class TestRun:
    @GENERATIONS
    @pytest.mark.asyncio
    @pytest.mark.parametrize("redirect_uri", [None, "http://127.0.0.1/app/back", "http://127.0.0.1:0"])
    async def test_on_a_free_port_of_loopback(self, redirect_uri, api):
        browser = Browser()
        async with emulated(auto=False) as world:
            flow = world.code_flow(api=api, redirect_uri=redirect_uri, open_browser=browser)
            browser.emulator = world.emulator
            token = await flow.run()
        assert token.access_token
        status, headers, text = browser.page
        assert (status, headers["Referrer-Policy"], headers["Cache-Control"]) == (200, "no-referrer", "no-store")
        assert "You can close this window" in text

    @pytest.mark.asyncio
    async def test_only_the_right_answer_counts(self):
        async def strays(http, callback):
            for url in (
                callback.replace("state=", "state=x"),
                callback.split("?")[0],
                callback.split("?")[0] + "?error=x",
            ):
                async with http.get(url) as response:
                    assert response.status == 400
            async with http.get(callback.split("/callback")[0] + "/favicon.ico") as response:
                assert response.status == 404
            async with http.post(callback) as response:
                assert response.status == 405

        browser = Browser(before=strays)
        async with emulated(auto=False) as world:
            flow = world.code_flow(redirect_uri=None, open_browser=browser)
            browser.emulator = world.emulator
            assert (await flow.run()).access_token

    @pytest.mark.asyncio
    async def test_refused(self):
        browser = Browser(approve=False)
        async with emulated(auto=False) as world:
            flow = world.code_flow(redirect_uri=None, open_browser=browser)
            browser.emulator = world.emulator
            with pytest.raises(AuthorizationError, match="access_denied"):
                await flow.run()

    @pytest.mark.asyncio
    async def test_a_plain_function_is_called_in_a_thread(self):
        seen = []
        async with emulated(auto=False) as world:
            flow = world.code_flow(redirect_uri=None, open_browser=seen.append, timeout=0.1)
            with pytest.raises(AuthorizationError, match="no callback from the browser") as caught:
                await flow.run()
        assert seen[0].startswith(world.emulator._backend.base_url)
        assert caught.value.__context__ is None

    @pytest.mark.asyncio
    async def test_nothing_is_opened_unasked(self):
        async with emulated(auto=False) as world:
            flow = world.code_flow(redirect_uri=None)
            with pytest.raises(ConfigurationError, match="open_browser"):
                await flow.run()
            assert list(world.emulator.requests) == []

    @pytest.mark.asyncio
    @pytest.mark.parametrize("redirect_uri", ["https://app.example/callback", "http://localhost:1/x"])
    async def test_it_listens_on_loopback_only(self, redirect_uri):
        async with emulated(auto=False) as world:
            flow = world.code_flow(redirect_uri=redirect_uri, open_browser=print)
            with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1"):
                await flow.run()

    @pytest.mark.asyncio
    async def test_cancelling_closes_the_listener(self):
        shown = asyncio.Event()
        urls = []

        async def show(url):
            urls.append(url)
            shown.set()

        async with emulated(auto=False) as world:
            flow = world.code_flow(redirect_uri=None, open_browser=show)
            running = asyncio.create_task(flow.run())
            await shown.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            callback = await world.emulator.authorize(urls[0])
            async with aiohttp.ClientSession() as http:
                with pytest.raises(aiohttp.ClientConnectorError):
                    await http.get(callback)
