"""Rule 20 (docs/reliability.md), for each client: the token is sent in the header only, to allowed origins only."""

import contextlib

import pytest

from tests.helpers.http_clients import client_for, signed_in
from tests.helpers.resource_server import INVALID_TOKEN, UNAUTHORIZED_BODY, ResourceServer, ok, redirect, unauthorized
from tests.helpers.scripted_manager import ScriptedManager
from twilio_oauth_async import ConfigurationError, LoginRequired

pytestmark = pytest.mark.asyncio
FIRST = "Bearer acc-canary-1"


async def test_token_is_sent_in_the_header_only(kind):
    async with ResourceServer(accepted="acc-canary-1") as server, client_for(kind, server) as client:
        response = await client.send("POST", f"{server.base_url}/2010-04-01/Accounts.json?q=1", form={"To": "+1"})
        assert response.status == 200
    [received] = server.received
    assert received.authorization == [FIRST]
    assert "canary" not in received.path + received.query + received.body.decode()


async def test_foreign_origin_is_refused_before_anything_is_sent(kind):
    async with ResourceServer() as server, ResourceServer() as other, client_for(kind, server) as client:
        for url in (
            other.base_url,
            f"http://localhost:{server.port}/",
            f"http://127.0.0.1:{server.port}@localhost:{other.port}/",
            f"http://localhost:{other.port}#@127.0.0.1:{server.port}/",
            "http://127.0.0.1/",
            f"https://127.0.0.1:{server.port}/",
            "https://api.twilio.com/",
        ):
            with pytest.raises(ConfigurationError, match="not an allowed origin"):
                await client.send("GET", url)
    assert server.received == other.received == []


async def test_url_with_backslash_sends_no_token_to_another_host(kind):
    """Browsers read a backslash as a slash, RFC 3986 does not; what counts is where the client connects to."""
    async with ResourceServer(ok()) as server, ResourceServer(ok()) as other, client_for(kind, server) as client:
        for url in (
            f"http://localhost:{other.port}\\@127.0.0.1:{server.port}/",
            f"http://127.0.0.1:{server.port}\\@localhost:{other.port}/",
        ):
            with contextlib.suppress(ConfigurationError, ValueError):
                await client.send("GET", url)
    assert other.received == []


async def test_default_origins_are_hosts_below_twilio_com_only(kind):
    async with kind(kind.BearerAuth(ScriptedManager().manager)) as client:
        for url in ("https://twilio.com", "https://eviltwilio.com", "https://api.twilio.com.evil.example"):
            with pytest.raises(ConfigurationError, match="not an allowed origin"):
                await client.send("GET", url)
        with pytest.raises(LoginRequired):  # the manager was asked for a token: the origin is allowed
            await client.send("GET", "https://api.dublin.ie1.twilio.com/")


async def test_foreign_origin_error_does_not_quote_secrets_of_the_url(kind):
    async with ResourceServer() as server, client_for(kind, server) as client:
        with pytest.raises(ConfigurationError, match=f"http://localhost:{server.port} is not") as caught:
            await client.send("GET", f"http://user:canary@localhost:{server.port}/canary?canary#canary")
    assert "canary" not in str(caught.value)


async def test_foreign_origin_error_shows_an_ipv6_address_in_brackets(kind):
    async with ResourceServer() as server, client_for(kind, server) as client:
        with pytest.raises(ConfigurationError, match=r"^the request was not sent: http://\[::1\]:9 is not"):
            await client.send("GET", "http://[::1]:9/")


async def test_foreign_skip_sends_without_token_and_ignores_a_401(kind):
    async with ResourceServer(unauthorized(INVALID_TOKEN)) as other, ResourceServer(ok()) as server:
        async with client_for(kind, server, foreign="skip") as client:
            assert (await client.send("GET", other.base_url)).status == 401
            assert (await client.send("GET", server.base_url)).status == 200
            assert client.setup.grant.refreshed == []
    assert (server.tokens, other.tokens) == ([[FIRST]], [[]])


@pytest.mark.parametrize("foreign", ["refuse", "skip"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_to_foreign_origin_goes_without_the_token(kind, status, foreign):
    async with ResourceServer() as other, ResourceServer() as server:
        server.handlers = [redirect("/next", 307), redirect(f"{other.base_url}/x", status)]
        other.handlers = [redirect("/again", 307), ok()]
        async with client_for(kind, server, foreign=foreign) as client:
            response = await client.send("POST", server.base_url, content=b"1")
            assert (response.status, response.hops) == (200, 3)
    # A redirect within the origin keeps the token.
    assert server.tokens == [[FIRST], [FIRST]]
    assert other.tokens == [[], []]


async def test_redirect_to_another_allowed_origin_and_back_goes_without_the_token(kind):
    async with ResourceServer() as other, ResourceServer() as server:
        server.handlers = [redirect(f"{other.base_url}/x"), ok()]
        other.handlers = [redirect(f"{server.base_url}/back"), ok()]
        async with client_for(kind, server, other) as client:
            assert (await client.send("GET", server.base_url)).status == 200
            assert (server.tokens, other.tokens) == ([[FIRST], []], [[]])
            # Requests of the caller to both origins have the token.
            assert (await client.send("GET", server.base_url)).status == 200
            assert (await client.send("GET", other.base_url)).status == 200
    assert (server.tokens, other.tokens) == ([[FIRST], [], [FIRST]], [[], [FIRST]])


async def test_401_after_redirect_to_another_origin_does_not_refresh(kind):
    async with ResourceServer(unauthorized(INVALID_TOKEN)) as other, ResourceServer() as server:
        server.handlers = [redirect(other.base_url)]
        async with client_for(kind, server, other) as client:
            assert (await client.send("GET", server.base_url)).status == 401
            assert client.setup.grant.refreshed == []
    assert (server.tokens, other.tokens) == ([[FIRST]], [[]])


async def test_authorization_header_of_the_caller_is_kept(kind):
    async with ResourceServer(unauthorized(INVALID_TOKEN)) as server, client_for(kind, server) as client:
        response = await client.send("GET", server.base_url, headers={"authorization": "Basic eDp5"})
        assert response.status == 401
        assert client.setup.grant.refreshed == []
        # The origin is checked nevertheless.
        with pytest.raises(ConfigurationError):
            await client.send("GET", "https://example.com", headers={"authorization": "Basic eDp5"})
    assert server.tokens == [["Basic eDp5"]]


async def test_login_required_sends_nothing(kind):
    async with ResourceServer(ok()) as server:
        auth = kind.BearerAuth(ScriptedManager().manager, origins=[server.base_url])
        async with kind(auth) as client:
            with pytest.raises(LoginRequired):
                await client.send("GET", server.base_url)
    assert server.received == []


async def test_repr_and_exceptions_do_not_contain_the_token(kind):
    async with ResourceServer(unauthorized(INVALID_TOKEN, body=UNAUTHORIZED_BODY)) as server:
        async with client_for(kind, server) as client:
            response = await client.send("GET", server.base_url)
            assert "canary" not in repr(response.raw)
            assert "canary" not in repr(vars(response.raw))
    # The server is closed now.
    setup = await signed_in()
    auth = kind.BearerAuth(setup.manager, origins=[server.base_url])
    assert "canary" not in repr(auth)
    with pytest.raises(Exception, match=r"(?i)connect") as caught:
        async with kind(auth) as client:
            await client.send("GET", server.base_url)
    error = caught.value
    while error is not None:
        assert "canary" not in repr(error) + repr(vars(error))
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("wrong", [{"foreign": "ignore"}, {"origins": []}, {"origins": ["http://api.twilio.com"]}])
async def test_invalid_arguments_raise_configuration_error(kind, wrong):
    with pytest.raises(ConfigurationError):
        kind.BearerAuth(ScriptedManager().manager, **wrong)
