"""Rule 20, for each client: the token goes in the header only, and to allowed origins only."""

import contextlib

import pytest

from tests.helpers.http_clients import client_for, signed_in
from tests.helpers.managed import Managed
from tests.helpers.resource_server import INVALID_TOKEN, UNAUTHORIZED, ResourceServer, ok, redirect, refusal
from twilio_oauth_async import ConfigurationError, LoginRequired

pytestmark = pytest.mark.asyncio
FIRST = "Bearer acc-canary-1"


async def test_the_token_goes_in_the_header_and_nowhere_else(kind):
    async with ResourceServer(accepted="acc-canary-1") as server, client_for(kind, server) as client:
        answer = await client.send("POST", f"{server.base_url}/2010-04-01/Accounts.json?q=1", form={"To": "+1"})
        assert answer.status == 200
    [received] = server.received
    assert received.authorization == [FIRST]
    assert "canary" not in received.path + received.query + received.body.decode()


async def test_a_foreign_origin_is_refused_before_anything_is_sent(kind):
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
            with pytest.raises(ConfigurationError, match="not among the origins"):
                await client.send("GET", url)
    assert server.received == other.received == []


async def test_a_url_that_is_read_differently_by_different_parsers(kind):
    """Browsers take the backslash for a slash, RFC 3986 does not; what counts is where the client connects to."""
    async with ResourceServer(ok()) as server, ResourceServer(ok()) as other, client_for(kind, server) as client:
        for url in (
            f"http://localhost:{other.port}\\@127.0.0.1:{server.port}/",
            f"http://127.0.0.1:{server.port}\\@localhost:{other.port}/",
        ):
            with contextlib.suppress(ConfigurationError, ValueError):
                await client.send("GET", url)
    assert other.received == []


async def test_by_default_it_is_twilio_s_hosts_alone(kind):
    async with kind(kind.BearerAuth(Managed().manager)) as client:
        for url in ("https://twilio.com", "https://eviltwilio.com", "https://api.twilio.com.evil.example"):
            with pytest.raises(ConfigurationError, match="not among the origins"):
                await client.send("GET", url)
        with pytest.raises(LoginRequired):  # it is the manager's turn: this one would get the token
            await client.send("GET", "https://api.dublin.ie1.twilio.com/")


async def test_the_error_does_not_repeat_the_url_s_secrets(kind):
    async with ResourceServer() as server, client_for(kind, server) as client:
        with pytest.raises(ConfigurationError, match=f"http://localhost:{server.port} is not") as caught:
            await client.send("GET", f"http://user:canary@localhost:{server.port}/canary?canary#canary")
    assert "canary" not in str(caught.value)


async def test_the_error_names_an_address_as_a_url_does(kind):
    async with ResourceServer() as server, client_for(kind, server) as client:
        with pytest.raises(ConfigurationError, match=r"^http://\[::1\]:9 is not"):
            await client.send("GET", "http://[::1]:9/")


async def test_a_foreign_origin_can_be_skipped(kind):
    async with ResourceServer(refusal(INVALID_TOKEN)) as other, ResourceServer(ok()) as server:
        async with client_for(kind, server, foreign="skip") as client:
            assert (await client.send("GET", other.base_url)).status == 401
            assert (await client.send("GET", server.base_url)).status == 200
            assert client.setup.grant.refreshed == []
    assert (server.tokens, other.tokens) == ([[FIRST]], [[]])


@pytest.mark.parametrize("foreign", ["refuse", "skip"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_origin_goes_without_the_token(kind, status, foreign):
    async with ResourceServer() as other, ResourceServer() as server:
        server.answers = [redirect("/next", 307), redirect(f"{other.base_url}/x", status)]
        other.answers = [redirect("/again", 307), ok()]
        async with client_for(kind, server, foreign=foreign) as client:
            answer = await client.send("POST", server.base_url, content=b"1")
            assert (answer.status, answer.hops) == (200, 3)
    # On the way within the origin it goes along.
    assert server.tokens == [[FIRST], [FIRST]]
    assert other.tokens == [[], []]


async def test_a_redirect_to_another_allowed_origin_goes_without_it_and_back_too(kind):
    async with ResourceServer() as other, ResourceServer() as server:
        server.answers = [redirect(f"{other.base_url}/x"), ok()]
        other.answers = [redirect(f"{server.base_url}/back"), ok()]
        async with client_for(kind, server, other) as client:
            assert (await client.send("GET", server.base_url)).status == 200
            assert (server.tokens, other.tokens) == ([[FIRST], []], [[]])
            # Asked for by the caller himself, both get it.
            assert (await client.send("GET", server.base_url)).status == 200
            assert (await client.send("GET", other.base_url)).status == 200
    assert (server.tokens, other.tokens) == ([[FIRST], [], [FIRST]], [[], [FIRST]])


async def test_a_401_after_a_redirect_elsewhere_is_not_about_the_token(kind):
    async with ResourceServer(refusal(INVALID_TOKEN)) as other, ResourceServer() as server:
        server.answers = [redirect(other.base_url)]
        async with client_for(kind, server, other) as client:
            assert (await client.send("GET", server.base_url)).status == 401
            assert client.setup.grant.refreshed == []
    assert (server.tokens, other.tokens) == ([[FIRST]], [[]])


async def test_the_caller_s_own_authorization_is_kept(kind):
    async with ResourceServer(refusal(INVALID_TOKEN)) as server, client_for(kind, server) as client:
        answer = await client.send("GET", server.base_url, headers={"authorization": "Basic eDp5"})
        assert answer.status == 401
        assert client.setup.grant.refreshed == []
        # Whose header it is changes nothing about where requests may go.
        with pytest.raises(ConfigurationError):
            await client.send("GET", "https://example.com", headers={"authorization": "Basic eDp5"})
    assert server.tokens == [["Basic eDp5"]]


async def test_without_a_token_nothing_is_sent(kind):
    async with ResourceServer(ok()) as server:
        auth = kind.BearerAuth(Managed().manager, origins=[server.base_url])
        async with kind(auth) as client:
            with pytest.raises(LoginRequired):
                await client.send("GET", server.base_url)
    assert server.received == []


async def test_no_repr_and_no_exception_shows_the_token(kind):
    async with ResourceServer(refusal(INVALID_TOKEN, body=UNAUTHORIZED)) as server:
        async with client_for(kind, server) as client:
            answer = await client.send("GET", server.base_url)
            assert "canary" not in repr(answer.raw)
            assert "canary" not in repr(vars(answer.raw))
    # Nobody listens there any more.
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
async def test_wrong_use_is_told_at_once(kind, wrong):
    with pytest.raises(ConfigurationError):
        kind.BearerAuth(Managed().manager, **wrong)
