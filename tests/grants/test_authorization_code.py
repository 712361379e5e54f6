import asyncio

import aiohttp
import pytest

from twilio_oauth_async import (
    AuthorizationError,
    ConfigurationError,
    IdTokenError,
    InvalidGrantError,
    OAuthSession,
    ProtocolError,
    VirtualClock,
)
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.grants.authorization_code import AuthorizationCodeFlow
from twilio_oauth_async.protocol.authorization_request import PendingAuthorization
from twilio_oauth_async.tokens.manager import TokenManager

CALLBACK = "http://127.0.0.1:8000/callback"
GENERATIONS = pytest.mark.parametrize("api", ["v1", "v2"])


class Setup:
    def __init__(self, **options):
        self.options = options
        self.clock = VirtualClock(auto=False)

    async def __aenter__(self):
        self.emulator = await Emulator(clock=self.clock).__aenter__()
        self.session = OAuthSession(
            self.emulator.account_sid, self.emulator.auth_token, base_url=self.emulator.base_url, clock=self.clock
        )
        await self.session.open()
        self.flow = AuthorizationCodeFlow(
            self.session,
            **{
                "client_sid": self.emulator.client_sid,
                "client_secret": self.emulator.client_secret,
                "redirect_uri": CALLBACK,
                "scopes": ["openid", "offline_access"],
                **self.options,
            },
        )
        return self

    async def __aexit__(self, *_):
        await self.session.close()
        await self.emulator.__aexit__(None, None, None)


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
    async with Setup(api=api) as setup:
        stored = (await setup.flow.start()).to_json()
        pending = PendingAuthorization.from_json(stored)
        callback = await setup.emulator.authorize(pending.url)
        assert callback.startswith(CALLBACK + "?")
        token = await setup.flow.finish(pending, callback)
        info = await setup.session.fetch_user_info(access_token=token.access_token)
        assert info.user_sid == setup.emulator.user.sid
        assert token.refresh_token is not None
        exchange = [request for request in setup.emulator.requests if request.path.endswith("/token")]
        assert [request.path for request in exchange] == [f"/{api}/token"]
        assert exchange[0].headers["Connection"] == "close"


@GENERATIONS
@pytest.mark.asyncio
async def test_refused_by_the_person(api):
    async with Setup(api=api) as setup:
        pending = await setup.flow.start()
        callback = await setup.emulator.authorize(pending.url, approve=False)
        with pytest.raises(AuthorizationError, match="access_denied") as caught:
            await setup.flow.finish(pending, callback)
        assert caught.value.error == "access_denied"


@GENERATIONS
@pytest.mark.asyncio
async def test_a_callback_is_good_once(api):
    async with Setup(api=api) as setup:
        pending = await setup.flow.start()
        callback = await setup.emulator.authorize(pending.url)
        await setup.flow.finish(pending, callback)
        with pytest.raises(AuthorizationError, match="used before"):
            await setup.flow.finish(pending, callback)
        assert len([request for request in setup.emulator.requests if request.path.endswith("/token")]) == 1


@pytest.mark.asyncio
async def test_an_answer_to_somebody_else_s_request():
    async with Setup() as setup:
        mine, theirs = await setup.flow.start(), await setup.flow.start()
        callback = await setup.emulator.authorize(theirs.url)
        with pytest.raises(AuthorizationError, match="somebody else"):
            await setup.flow.finish(mine, callback)
        await setup.flow.finish(theirs, callback)


@pytest.mark.asyncio
async def test_a_stolen_code_without_its_verifier_is_worth_nothing():
    async with Setup() as setup:
        victim, thief = await setup.flow.start(), await setup.flow.start()
        callback = await setup.emulator.authorize(victim.url)
        with pytest.raises(InvalidGrantError):
            await setup.flow.finish(thief, callback.replace(victim.state, thief.state))


@pytest.mark.asyncio
async def test_a_flow_of_another_client_is_refused():
    async with Setup() as setup:
        other = AuthorizationCodeFlow(setup.session, client_sid="OQ2")
        pending = await setup.flow.start()
        with pytest.raises(ConfigurationError, match="another client_sid"):
            await other.finish(pending, CALLBACK)
        with pytest.raises(ConfigurationError, match="redirect_uri"):
            await other.start()


@pytest.mark.asyncio
async def test_discovery_that_was_tampered_with_sends_nobody_anywhere():
    async with Setup() as setup:
        setup.emulator.faults.on("discovery").always().change(authorization_endpoint="https://evil.example/authorize")
        with pytest.raises(ProtocolError, match="authorization_endpoint"):
            await setup.flow.start()
    async with Setup() as setup:
        setup.emulator.faults.on("discovery").always().change(issuer="https://evil.example")
        with pytest.raises(ProtocolError, match="another issuer"):
            await setup.flow.start()


@GENERATIONS
@pytest.mark.asyncio
async def test_as_a_grant_of_a_manager(api):
    browser = Browser()
    async with Setup(api=api, redirect_uri=None, open_browser=browser) as setup:
        browser.emulator = setup.emulator
        manager = TokenManager(setup.flow)
        first = await manager.token(login=True)
        setup.clock.advance(4000)
        second = await manager.token()
        assert second.access_token != first.access_token
        assert setup.flow.interactive
        await manager.logout()
        with pytest.raises(InvalidGrantError):
            await setup.flow.refresh(second)


@pytest.mark.asyncio
async def test_the_nonce_is_checked_by_a_verifier():
    class Verifier:
        async def verify(self, id_token, *, nonce=None, access_token=None):
            self.seen = (id_token, nonce, access_token)
            raise IdTokenError("no", claim="nonce")

    verifier = Verifier()
    async with Setup(verifier=verifier) as setup:
        pending = await setup.flow.start()
        callback = await setup.emulator.authorize(pending.url)
        with pytest.raises(IdTokenError):
            await setup.flow.finish(pending, callback)
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
        async with Setup(api=api, redirect_uri=redirect_uri, open_browser=browser) as setup:
            browser.emulator = setup.emulator
            token = await setup.flow.run()
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
        async with Setup(redirect_uri=None, open_browser=browser) as setup:
            browser.emulator = setup.emulator
            assert (await setup.flow.run()).access_token

    @pytest.mark.asyncio
    async def test_refused(self):
        browser = Browser(approve=False)
        async with Setup(redirect_uri=None, open_browser=browser) as setup:
            browser.emulator = setup.emulator
            with pytest.raises(AuthorizationError, match="access_denied"):
                await setup.flow.run()

    @pytest.mark.asyncio
    async def test_a_plain_function_is_called_in_a_thread(self):
        seen = []
        async with Setup(redirect_uri=None, open_browser=seen.append, timeout=0.1) as setup:
            with pytest.raises(
                AuthorizationError, match="no callback from the browser within the time limit"
            ) as caught:
                await setup.flow.run()
        assert seen[0].startswith(setup.emulator._backend.base_url)
        assert caught.value.__context__ is None

    @pytest.mark.asyncio
    async def test_nothing_is_opened_unasked(self):
        async with Setup(redirect_uri=None) as setup:
            with pytest.raises(ConfigurationError, match="open_browser"):
                await setup.flow.run()
            assert list(setup.emulator.requests) == []

    @pytest.mark.asyncio
    @pytest.mark.parametrize("redirect_uri", ["https://app.example/callback", "http://localhost:1/x"])
    async def test_it_listens_on_loopback_only(self, redirect_uri):
        async with Setup(redirect_uri=redirect_uri, open_browser=print) as setup:
            with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1"):
                await setup.flow.run()

    @pytest.mark.asyncio
    async def test_cancelling_closes_the_listener(self):
        shown = asyncio.Event()
        urls = []

        async def show(url):
            urls.append(url)
            shown.set()

        async with Setup(redirect_uri=None, open_browser=show) as setup:
            running = asyncio.create_task(setup.flow.run())
            await shown.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            callback = await setup.emulator.authorize(urls[0])
            async with aiohttp.ClientSession() as http:
                with pytest.raises(aiohttp.ClientConnectorError):
                    await http.get(callback)
