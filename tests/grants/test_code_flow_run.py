"""`AuthorizationCodeFlow.run`: a browser sends the callback to a listener on loopback."""

import asyncio

import aiohttp
import pytest

from tests.helpers.code_flow_browser import Browser
from tests.helpers.world import emulated
from twilio_oauth_async import AuthorizationError, ConfigurationError

pytestmark = pytest.mark.asyncio
GENERATIONS = pytest.mark.parametrize("api", ["v1", "v2"])


@GENERATIONS
@pytest.mark.parametrize("redirect_uri", [None, "http://127.0.0.1/app/back", "http://127.0.0.1:0"])
async def test_run_on_free_loopback_port_returns_token(redirect_uri, api):
    browser = Browser()
    async with emulated(auto=False) as world:
        flow = world.code_flow(api=api, redirect_uri=redirect_uri, open_browser=browser)
        browser.emulator = world.emulator
        token = await flow.run()
    assert token.access_token
    status, headers, text = browser.page
    assert (status, headers["Referrer-Policy"], headers["Cache-Control"]) == (200, "no-referrer", "no-store")
    assert "You can close this window" in text


async def test_run_ignores_requests_other_than_its_callback():
    async def send_unexpected_requests(http, callback):
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

    browser = Browser(before=send_unexpected_requests)
    async with emulated(auto=False) as world:
        flow = world.code_flow(redirect_uri=None, open_browser=browser)
        browser.emulator = world.emulator
        assert (await flow.run()).access_token


async def test_run_after_user_denied_raises():
    browser = Browser(approve=False)
    async with emulated(auto=False) as world:
        flow = world.code_flow(redirect_uri=None, open_browser=browser)
        browser.emulator = world.emulator
        with pytest.raises(AuthorizationError, match="access_denied"):
            await flow.run()


async def test_run_with_plain_function_and_no_callback_raises_after_timeout():
    urls = []
    async with emulated(auto=False) as world:
        flow = world.code_flow(redirect_uri=None, open_browser=urls.append, timeout=0.1)
        with pytest.raises(AuthorizationError, match="no callback from the browser") as caught:
            await flow.run()
    assert urls[0].startswith(world.emulator._backend.base_url)
    assert caught.value.__context__ is None


async def test_run_without_open_browser_raises_and_sends_nothing():
    async with emulated(auto=False) as world:
        flow = world.code_flow(redirect_uri=None)
        with pytest.raises(ConfigurationError, match="open_browser"):
            await flow.run()
        assert list(world.emulator.requests) == []


@pytest.mark.parametrize("redirect_uri", ["https://app.example/callback", "http://localhost:1/x"])
async def test_run_with_redirect_uri_not_on_127_0_0_1_raises(redirect_uri):
    async with emulated(auto=False) as world:
        flow = world.code_flow(redirect_uri=redirect_uri, open_browser=print)
        with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1"):
            await flow.run()


async def test_run_cancelled_closes_the_listener():
    opened = asyncio.Event()
    urls = []

    async def open_browser(url):
        urls.append(url)
        opened.set()

    async with emulated(auto=False) as world:
        flow = world.code_flow(redirect_uri=None, open_browser=open_browser)
        running = asyncio.create_task(flow.run())
        await opened.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        callback = await world.emulator.authorize(urls[0])
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.ClientConnectorError):
                await http.get(callback)


REDIRECT_URIS = [
    "http://127.0.0.1",
    "http://127.0.0.1/",
    "http://127.0.0.1/callback/",
    "http://127.0.0.1?app=1",
    "http://127.0.0.1/callback?app=1&b=%20",
    "http://127.0.0.1/a%20b/%7e/{app}/zur\u00fcck",
]


@pytest.mark.parametrize("uri", REDIRECT_URIS)
async def test_56_redirect_uri_is_sent_as_given_but_for_the_port(uri):
    browser = Browser()
    async with emulated(auto=False) as world:
        flow = world.code_flow(api="v2", redirect_uri=uri, open_browser=browser)
        browser.emulator = world.emulator
        assert (await flow.run()).access_token
        [exchange] = [request for request in world.emulator.requests if request.path == "/v2/token"]
    given, host = exchange.form["redirect_uri"], "http://127.0.0.1"
    port = given.removeprefix(host + ":")
    digits = port[: len(port) - len(uri.removeprefix(host))]
    assert (given, digits.isdigit()) == (f"{host}:{digits}{uri.removeprefix(host)}", True)


@pytest.mark.parametrize(("length", "status"), [(16_000, 200), (20_000, 414), (300_000, 400)])
async def test_56_long_callback_is_accepted_up_to_16_kib(length, status, caplog):
    statuses = []

    async def send_longer_callback(http, callback):
        async with http.get(callback + "&x=" + (length - len(callback)) * "x") as response:
            statuses.append(response.status)

    browser = Browser(before=send_longer_callback)
    async with emulated(auto=False) as world:
        flow = world.code_flow(redirect_uri=None, open_browser=browser)
        browser.emulator = world.emulator
        assert (await flow.run()).access_token
    assert statuses == [status]
    assert caplog.records == []


async def test_many_cookies_of_other_applications_on_this_host_do_not_matter():
    statuses = []

    async def send_cookies(http, callback):
        async with http.get(callback, headers={"Cookie": "a=" + 30_000 * "x"}) as response:
            statuses.append(response.status)

    browser = Browser(before=send_cookies)
    async with emulated(auto=False) as world:
        flow = world.code_flow(redirect_uri=None, open_browser=browser)
        browser.emulator = world.emulator
        assert (await flow.run()).access_token
    assert statuses == [200]


async def test_56_port_that_is_taken_is_an_error_of_the_library(unused_tcp_port):
    async with emulated(auto=False) as world:
        urls = []
        flow = world.code_flow(
            redirect_uri=f"http://127.0.0.1:{unused_tcp_port}/callback", open_browser=urls.append, timeout=5
        )
        first = asyncio.create_task(flow.run())
        while not urls:
            await asyncio.sleep(0)
        with pytest.raises(AuthorizationError, match=f"port {unused_tcp_port} .* cannot be opened") as caught:
            await flow.run()
        assert caught.value.__context__ is None
        async with aiohttp.ClientSession() as http, http.get(await world.emulator.authorize(urls[0])) as response:
            assert response.status == 200
        assert (await first).access_token


@pytest.mark.parametrize("header", [{"Sec-Purpose": "prefetch;prerender"}, {"Purpose": "prefetch"}])
async def test_page_that_is_fetched_in_advance_and_head_do_not_use_up_the_callback(header):
    statuses = []

    async def send_early(http, callback):
        async with http.get(callback, headers=header) as response:
            statuses.append(response.status)
        async with http.head(callback) as response:
            statuses.append(response.status)

    browser = Browser(before=send_early)
    async with emulated(auto=False) as world:
        flow = world.code_flow(redirect_uri=None, open_browser=browser)
        browser.emulator = world.emulator
        assert (await flow.run()).access_token
    assert statuses == [503, 405]
    assert browser.page[0] == 200


async def test_second_callback_of_the_same_sign_in_gets_the_same_page():
    pages = []

    async def send(http, callback):
        async with http.get(callback) as response:
            pages.append((response.status, await response.text()))

    async def send_twice(http, callback):
        await asyncio.gather(send(http, callback), send(http, callback))

    browser = Browser(before=send_twice)
    async with emulated(auto=False) as world:
        flow = world.code_flow(redirect_uri=None, open_browser=browser)
        browser.emulator = world.emulator
        assert (await flow.run()).access_token
    assert pages[0] == pages[1]
    assert pages[0][0] == 200


async def test_callback_of_an_earlier_run_does_not_end_the_present_one(unused_tcp_port):
    async with emulated(auto=False) as world:
        urls = []
        flow = world.code_flow(
            redirect_uri=f"http://127.0.0.1:{unused_tcp_port}/callback", open_browser=urls.append, timeout=5
        )
        earlier = asyncio.create_task(flow.run())
        while not urls:
            await asyncio.sleep(0)
        earlier.cancel()
        await asyncio.wait({earlier})
        present = asyncio.create_task(flow.run())
        while len(urls) < 2:
            await asyncio.sleep(0)
        async with aiohttp.ClientSession() as http:
            async with http.get(await world.emulator.authorize(urls[0])) as response:
                assert response.status == 400
                assert "earlier sign-in" in await response.text()
            async with http.get(await world.emulator.authorize(urls[1])) as response:
                assert response.status == 200
        assert (await present).access_token
