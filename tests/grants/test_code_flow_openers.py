"""Fault 56: the function that opens the browser blocks, returns False, raises, or is missing."""

import asyncio
import subprocess
import sys
import textwrap
import threading

import aiohttp
import pytest

from tests.helpers.code_flow_browser import Browser
from tests.helpers.event_loop import other_tasks
from tests.helpers.world import emulated
from twilio_oauth_async import AuthorizationError


class BlockingBrowser:
    """A browser in the terminal: `open` returns when its user leaves it, some time after the callback was sent."""

    def __init__(self, browser, kind):
        self.browser, self.kind = browser, kind
        self.left = threading.Event()
        self.loop = asyncio.get_running_loop()

    def function(self):
        return self.open if self.kind == "function" else self.open_later

    def open(self, url):
        asyncio.run_coroutine_threadsafe(self.browser(url), self.loop).result(10)
        self.left.wait(30)
        return True

    async def open_later(self, url):
        await self.browser(url)
        await asyncio.Event().wait()


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["function", "coroutine function"])
async def test_56_browser_that_blocks_does_not_delay_the_token(kind):
    async with emulated(auto=False) as world:
        browser = Browser()
        browser.emulator = world.emulator
        blocking = BlockingBrowser(browser, kind)
        flow = world.code_flow(redirect_uri=None, open_browser=blocking.function())
        async with asyncio.timeout(10):
            assert (await flow.run()).access_token
        blocking.left.set()


def test_56_browser_that_blocks_does_not_keep_the_program_from_ending():
    program = """
        import asyncio, threading
        from twilio_oauth_async import AuthorizationError, OAuthSession
        from twilio_oauth_async.grants.authorization_code import AuthorizationCodeFlow

        def block(url):
            print("opened", flush=True)
            threading.Event().wait()

        async def main():
            async with OAuthSession(base_url="http://127.0.0.1:1") as session:
                flow = AuthorizationCodeFlow(session, client_sid="OQ1", api="v2", open_browser=block, timeout=0.1)
                try:
                    await flow.run()
                except AuthorizationError as error:
                    print(error, flush=True)

        asyncio.run(main())
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.stdout.splitlines() == ["opened", "no callback from the browser within the time limit"]
    assert (ended.returncode, ended.stderr) == (0, "")


def returns_false(url):
    return False


async def returns_false_later(url):
    return False


def raises(url):
    raise FileNotFoundError("canary")


def raises_stop_iteration(url):
    raise StopIteration


OPENERS = {
    "returns False": (returns_false, "no browser could be opened"),
    "coroutine that returns False": (returns_false_later, "no browser could be opened"),
    "raises": (raises, r"the browser could not be opened \(FileNotFoundError\)"),
    "raises StopIteration": (raises_stop_iteration, r"the browser could not be opened \(\w+\)"),
}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", OPENERS)
async def test_56_no_browser_is_an_error_with_the_url_at_once(name):
    opener, message = OPENERS[name]
    async with emulated(auto=False) as world:
        flow = world.code_flow(redirect_uri=None, open_browser=opener)
        async with asyncio.timeout(10):  # the flow waits for 300 s
            with pytest.raises(AuthorizationError, match=message) as caught:
                await flow.run()
        assert caught.value.url.startswith(world.emulator._backend.base_url)
        assert caught.value.url in str(caught.value)
        assert "canary" not in str(caught.value)
        assert caught.value.__context__ is None
    assert await other_tasks() == set()


class Headless:
    """A user who opens the URL on another machine, and who may copy the URL of the page that cannot be shown."""

    def __init__(self, world, *, copies):
        self.world, self.copies = world, copies
        self.urls = []
        self.loop = asyncio.get_running_loop()

    async def __call__(self, url):
        self.urls.append(url)
        callback = await self.world.emulator.authorize(url)
        if self.copies:
            return f"  {callback}\n"
        async with aiohttp.ClientSession() as http, http.get(callback) as response:  # as through an SSH tunnel
            assert response.status == 200
        return None

    def block(self, url):
        return asyncio.run_coroutine_threadsafe(self(url), self.loop).result(10)


@pytest.mark.asyncio
@pytest.mark.parametrize("copies", [True, False], ids=["URL is copied", "callback arrives"])
@pytest.mark.parametrize(
    "opener", [None, returns_false, raises], ids=lambda opener: getattr(opener, "__name__", "none")
)
@pytest.mark.parametrize("kind", ["function", "coroutine function"])
async def test_56_without_a_browser_the_prompt_shows_the_url(kind, opener, copies):
    async with emulated(auto=False) as world:
        user = Headless(world, copies=copies)
        prompt = user.block if kind == "function" else user
        flow = world.code_flow(redirect_uri=None, open_browser=opener, prompt=prompt)
        async with asyncio.timeout(10):
            assert (await flow.run()).access_token
        assert len(user.urls) == 1


@pytest.mark.asyncio
async def test_prompt_is_not_called_if_the_browser_was_opened():
    async with emulated(auto=False) as world:
        browser = Browser()
        browser.emulator = world.emulator
        flow = world.code_flow(redirect_uri=None, open_browser=browser, prompt=lambda url: pytest.fail("called"))
        assert (await flow.run()).access_token


@pytest.mark.asyncio
@pytest.mark.parametrize("copied", ["", "  ", None], ids=["nothing", "spaces", "None"])
async def test_prompt_that_returns_nothing_leaves_the_callback_to_the_browser(copied):
    async with emulated(auto=False) as world:
        flow = world.code_flow(redirect_uri=None, prompt=lambda url: copied, timeout=0.1)
        with pytest.raises(AuthorizationError, match="no callback"):
            await flow.run()


@pytest.mark.asyncio
async def test_copied_text_that_is_no_callback_is_an_error():
    async with emulated(auto=False) as world:
        flow = world.code_flow(redirect_uri=None, prompt=lambda url: "http://127.0.0.1/callback?code=1&state=other")
        with pytest.raises(AuthorizationError, match="state does not match"):
            await flow.run()


@pytest.mark.asyncio
async def test_37_prompt_that_raises_ends_the_flow_with_its_exception():
    async with emulated(auto=False) as world:
        flow = world.code_flow(redirect_uri=None, prompt=raises)
        async with asyncio.timeout(10):
            with pytest.raises(FileNotFoundError):
                await flow.run()


@pytest.mark.asyncio
async def test_opener_runs_in_the_context_of_the_caller():
    import contextvars

    language = contextvars.ContextVar("language", default="en")
    language.set("sw")
    seen = []

    def open_browser(url):
        seen.append(language.get())
        return False

    async with emulated(auto=False) as world:
        with pytest.raises(AuthorizationError):
            await world.code_flow(redirect_uri=None, open_browser=open_browser).run()
    assert seen == ["sw"]
