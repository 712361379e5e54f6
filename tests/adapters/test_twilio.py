"""Twilio's SDK sends requests with the token of a manager to a fake of api.twilio.com."""

import asyncio
import contextlib
import logging
import subprocess
import sys
import threading
import time

import aiohttp
import pytest
import requests
from twilio.base.exceptions import TwilioRestException
from twilio.credential.credential_provider import CredentialProvider
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from tests.helpers.http_clients import signed_in
from tests.helpers.resource_server import ResourceServer, ok, unauthorized
from tests.helpers.scripted_manager import ScriptedManager
from twilio_oauth_async import ConfigurationError, InvalidClientError, LoginRequired, TransportError
from twilio_oauth_async.adapters.aiohttp import BearerAuth
from twilio_oauth_async.adapters.twilio import BearerCredentials

ACCOUNT = "AC" + "0" * 32
FIRST, SECOND = "Bearer acc-canary-1", "Bearer acc-canary-2"
MESSAGE = {"sid": "SM1", "body": "Hi", "to": "+15005550006"}


@contextlib.contextmanager
def blocking_client(server, credentials):
    http = TwilioHttpClient()
    # An explicit environment, so that no account of the developer is used.
    client = Client(
        account_sid=ACCOUNT, http_client=http, credential_provider=credentials, environment={"none": ""}, region=None
    )
    client.api.base_url = server.base_url
    with http.session:
        yield client


@contextlib.asynccontextmanager
async def async_client(server, credentials):
    async with AsyncTwilioHttpClient() as http:
        client = Client(
            account_sid=ACCOUNT, http_client=http, credential_provider=credentials, environment={"none": ""}
        )
        client.api.base_url = server.base_url
        yield client


def send(client):
    return client.messages.create(to="+15005550006", from_="+15005550001", body="Hi").sid


async def send_async(client):
    return (await client.messages.create_async(to="+15005550006", from_="+15005550001", body="Hi")).sid


@pytest.mark.asyncio
async def test_call_from_another_thread_waits_for_a_refresh():
    async with ResourceServer(ok(MESSAGE)) as server:
        setup = await signed_in()
        with blocking_client(server, BearerCredentials(setup.manager)) as client:
            assert await asyncio.to_thread(send, client) == "SM1"
            # The thread waits for the refresh, which runs in this event loop.
            setup.manager.invalidate("acc-canary-1")
            assert await asyncio.to_thread(send, client) == "SM1"
    assert server.tokens == [[FIRST], [SECOND]]
    assert server.received[0].path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert server.received[0].body == b"To=%2B15005550006&From=%2B15005550001&Body=Hi"


@pytest.mark.asyncio
async def test_calls_from_many_threads_cause_one_refresh():
    async with ResourceServer(ok(MESSAGE)) as server:
        setup = await signed_in()
        setup.manager.invalidate("acc-canary-1")
        with blocking_client(server, BearerCredentials(setup.manager)) as client:
            assert set(await asyncio.gather(*(asyncio.to_thread(send, client) for _ in range(8)))) == {"SM1"}
        assert setup.grant.refreshed == ["ref-canary-1"]
    assert server.tokens == [[SECOND]] * 8


@pytest.mark.asyncio
async def test_call_in_the_event_loop_thread_uses_a_fresh_token():
    async with ResourceServer(ok(MESSAGE)) as server:
        setup = await signed_in()
        async with async_client(server, BearerCredentials(setup.manager)) as client:
            assert await send_async(client) == "SM1"
    assert server.tokens == [[FIRST]]


@pytest.mark.asyncio
async def test_call_in_the_event_loop_thread_without_token_raises_at_once():
    async with ResourceServer(ok(MESSAGE)) as server:
        setup = await signed_in()
        setup.grant.gate = asyncio.Event()
        setup.manager.invalidate("acc-canary-1")
        async with async_client(server, BearerCredentials(setup.manager)) as client:
            started = time.perf_counter()
            with pytest.raises(ConfigurationError, match="no token is ready"):
                await send_async(client)
            assert time.perf_counter() - started < 0.2
            assert server.received == []
            # The refresh goes on.
            setup.grant.gate.set()
            await setup.manager.token()
            assert await send_async(client) == "SM1"
        assert setup.grant.refreshed == ["ref-canary-1"]
    assert server.tokens == [[SECOND]]


@pytest.mark.asyncio
async def test_background_refresh_keeps_a_token_ready():
    async with ResourceServer(ok(MESSAGE)) as server:
        setup = await signed_in()
        async with setup.manager, async_client(server, BearerCredentials(setup.manager)) as client:
            for _ in range(5):
                await send_async(client)
                for _ in range(40):
                    setup.clock.advance(100)
                    for _ in range(30):
                        await asyncio.sleep(0)
    assert len({token for [token] in server.tokens}) == 5


@pytest.mark.asyncio
@pytest.mark.parametrize("in_thread", [False, True])
async def test_login_required_sends_nothing(in_thread):
    async with ResourceServer(ok(MESSAGE)) as server:
        credentials = BearerCredentials(ScriptedManager().manager)
        if in_thread:
            with blocking_client(server, credentials) as client, pytest.raises(LoginRequired):
                await asyncio.to_thread(send, client)
        else:
            async with async_client(server, credentials) as client:
                # ConfigurationError if the manager must load its store first, which would be a wait.
                with pytest.raises((LoginRequired, ConfigurationError)):
                    await send_async(client)
    assert server.received == []


@pytest.mark.asyncio
async def test_failed_refresh_is_raised_and_sends_nothing():
    async with ResourceServer(ok(MESSAGE)) as server:
        setup = await signed_in(InvalidClientError(status=401))
        setup.manager.invalidate("acc-canary-1")
        with blocking_client(server, BearerCredentials(setup.manager)) as client, pytest.raises(InvalidClientError):
            await asyncio.to_thread(send, client)
    assert server.received == []


@pytest.mark.asyncio
async def test_call_from_another_thread_times_out_while_the_refresh_goes_on():
    setup = await signed_in()
    setup.grant.gate = asyncio.Event()
    setup.manager.invalidate("acc-canary-1")
    strategy = BearerCredentials(setup.manager, timeout=0.05).to_auth_strategy()
    started = time.perf_counter()
    with pytest.raises(TransportError, match=r"no token within 0\.05 s"):
        await asyncio.to_thread(strategy.get_auth_string)
    assert 0.05 <= time.perf_counter() - started < 2
    # No thread waits any more; the refresh finishes nevertheless.
    setup.grant.gate.set()
    assert (await setup.manager.token()).access_token == "acc-canary-2"


@pytest.mark.asyncio
async def test_timeout_error_of_the_token_source_is_raised_unchanged():
    class Slow:
        async def access_token(self):
            raise TimeoutError("from the source")

    strategy = BearerCredentials(Slow()).to_auth_strategy()
    with pytest.raises(TimeoutError, match="from the source"):
        await asyncio.to_thread(strategy.get_auth_string)


@pytest.mark.asyncio
async def test_thread_with_another_event_loop_waits_for_the_token():
    setup = await signed_in()
    setup.manager.invalidate("acc-canary-1")
    strategy = BearerCredentials(setup.manager).to_auth_strategy()

    async def in_other_loop():
        return strategy.get_auth_string()

    assert await asyncio.to_thread(lambda: asyncio.run(in_other_loop())) == SECOND


def test_event_loop_that_is_not_running_raises_configuration_error():
    loop = asyncio.new_event_loop()
    strategy = BearerCredentials(ScriptedManager().manager, loop=loop).to_auth_strategy()
    with pytest.raises(ConfigurationError, match="not running"):
        strategy.get_auth_string()
    loop.close()
    with pytest.raises(ConfigurationError, match="not running"):
        strategy.get_auth_string()


def test_event_loop_that_stops_while_a_thread_waits_raises_transport_error():
    called, errors = threading.Event(), []

    class NeverReady:
        async def access_token(self):
            called.set()
            await asyncio.Event().wait()

    def get_token(strategy):
        try:
            strategy.get_auth_string()
        except TransportError as error:
            errors.append(str(error))

    async def main():
        strategy = BearerCredentials(NeverReady()).to_auth_strategy()
        thread = threading.Thread(target=get_token, args=(strategy,))
        thread.start()
        while not called.is_set():
            await asyncio.sleep(0.001)
        return thread

    thread = asyncio.run(main())
    thread.join(5)
    assert errors == ["no token: the event loop stopped before there was one"]


@pytest.mark.asyncio
async def test_credentials_implement_the_interface_of_the_sdk():
    setup = await signed_in()
    credentials = BearerCredentials(setup.manager)
    assert isinstance(credentials, CredentialProvider)
    assert credentials.to_auth_strategy() is credentials.to_auth_strategy()
    assert credentials.to_auth_strategy().requires_authentication()
    assert str(credentials.auth_type) == "client_credentials"
    assert "canary" not in repr(credentials) + repr(credentials.to_auth_strategy())


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_invalid_arguments_raise_configuration_error(timeout):
    with pytest.raises(ConfigurationError, match="loop"):
        BearerCredentials(ScriptedManager().manager)
    with pytest.raises(ConfigurationError, match="timeout"):
        BearerCredentials(ScriptedManager().manager, timeout=timeout)


@pytest.mark.asyncio
async def test_401_raises_the_exception_of_the_sdk_without_the_token():
    async with ResourceServer(unauthorized()) as server:
        setup = await signed_in()
        with blocking_client(server, BearerCredentials(setup.manager)) as client:
            with pytest.raises(TwilioRestException) as caught:
                await asyncio.to_thread(send, client)
    assert (caught.value.status, caught.value.code) == (401, 20003)
    assert "canary" not in repr(caught.value) + str(caught.value)
    assert server.tokens == [[FIRST]]


@pytest.mark.asyncio
async def test_sdk_async_methods_with_aiohttp_bearer_auth():
    """The code in the docstring of the module."""
    async with ResourceServer(unauthorized(), ok(MESSAGE)) as server:
        setup = await signed_in()
        auth = BearerAuth(setup.manager, origins=[server.base_url])
        http = AsyncTwilioHttpClient(pool_connections=False)
        http.session = aiohttp.ClientSession(middlewares=(auth,))
        async with http:
            client = Client(account_sid=ACCOUNT, http_client=http, environment={"none": ""})
            client.api.base_url = server.base_url
            assert await send_async(client) == "SM1"
            client.api.base_url = "https://twilio.com.evil.example"
            with pytest.raises(ConfigurationError):
                await send_async(client)
    assert server.tokens == [[FIRST], [SECOND]]


def run(code):
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)


def test_missing_sdk_raises_an_error_that_says_what_to_install():
    result = run("import sys; sys.modules['twilio'] = None; import twilio_oauth_async.adapters.twilio")
    assert result.stderr.splitlines()[-1].endswith("pip install 'twilio>=9.13'")
    assert "twilio.auth_strategy" not in result.stderr.splitlines()[-1]


def test_import_error_inside_the_sdk_is_not_reported_as_missing_package(tmp_path):
    (tmp_path / "twilio").mkdir()
    (tmp_path / "twilio" / "__init__.py").write_text("import no_such_thing")
    result = run(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import twilio_oauth_async.adapters.twilio")
    assert "No module named 'no_such_thing'" in result.stderr.splitlines()[-1]


def test_blocking_client_and_logging_setup_of_the_sdk_are_not_imported():
    """`token_auth_strategy` of the SDK configures logging for the whole program."""
    result = run(
        "import sys, logging, twilio_oauth_async.adapters.twilio\n"
        "print('requests' in sys.modules, 'twilio.auth_strategy.token_auth_strategy' in sys.modules, "
        "logging.getLogger().handlers)"
    )
    assert (result.stdout, result.stderr) == ("False False []\n", "")
    assert logging.getLogger("twilio_oauth_async").handlers


@pytest.mark.parametrize(("trust_env", "scheme"), [(True, "Basic"), (False, "Bearer")])
def test_netrc_entry_replaces_the_token_unless_the_client_of_the_sdk_ignores_the_environment(
    trust_env, scheme, tmp_path, monkeypatch
):
    """What the docstring of the module says about requests."""
    (tmp_path / "netrc").write_text("machine api.twilio.com login me password netrc-canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    client = TwilioHttpClient()
    if not trust_env:
        client.session.trust_env = False
    request = requests.Request("GET", "https://api.twilio.com/", headers={"Authorization": "Bearer acc-canary"})
    assert client.session.prepare_request(request).headers["Authorization"].split()[0] == scheme
