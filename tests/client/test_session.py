import base64
import logging
import pickle
import ssl

import aiohttp
import pytest

from tests.helpers.raw_server import RawServer, hang_up, http
from tests.helpers.scripted_server import ACCOUNT_SID, PASSWORD, scripted, session_for
from twilio_oauth_async import (
    AnswerLostError,
    ApiError,
    ConfigurationError,
    InvalidClientError,
    InvalidGrantError,
    OAuthSession,
    ProtocolError,
    RetryPolicy,
    ServerError,
    TransportError,
)

CERTS = http(200, {"keys": []})
TOKEN = http(201, {"access_token": "a"})
UNAVAILABLE = http(503, b"", None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"username": "a"}, "belong together"),
        ({"password": "a"}, "belong together"),
        ({"username": "", "password": "x"}, "must not be empty"),
        ({"username": "x", "password": ""}, "must not be empty"),
        ({"username": "a:b", "password": "x"}, "colon"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"base_url": "http://example.com"}, "base_url"),
        ({"base_url": "https://example.com", "region": "ie1"}, "either base_url"),
        ({"region": "a.b"}, "region"),
        ({"issuer": "http://example.com"}, "issuer"),
        ({"max_response_bytes": 0}, "max_response_bytes"),
    ],
)
def test_session_with_invalid_argument_raises_without_the_password(arguments, message):
    with pytest.raises(ConfigurationError, match=message) as caught:
        OAuthSession(**arguments)
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("disabled", ["verify_mode", "check_hostname"])
def test_session_with_ssl_context_that_does_not_verify_raises(disabled):
    context = ssl.create_default_context()
    context.check_hostname = False
    if disabled == "verify_mode":
        context.verify_mode = ssl.CERT_NONE
    with pytest.raises(ConfigurationError, match="must verify"):
        OAuthSession(ssl_context=context)


@pytest.mark.parametrize(
    ("environ", "username", "password", "host"),
    [
        ({"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "t"}, "AC1", "t", "oauth.twilio.com"),
        (
            {"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "t", "TWILIO_API_KEY": "SK1", "TWILIO_API_SECRET": "s"},
            "SK1",
            "s",
            "oauth.twilio.com",
        ),
        (
            {"TWILIO_API_KEY": "SK1", "TWILIO_API_SECRET": "s", "TWILIO_REGION": "ie1", "TWILIO_EDGE": "dublin"},
            "SK1",
            "s",
            "oauth.dublin.ie1.twilio.com",
        ),
        (
            {"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "t", "TWILIO_API_KEY": "SK1"},
            "AC1",
            "t",
            "oauth.twilio.com",
        ),
        ({"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "t", "TWILIO_REGION": ""}, "AC1", "t", "oauth.twilio.com"),
    ],
)
def test_from_env_reads_credentials_and_server(environ, username, password, host):
    session = OAuthSession.from_env(environ, timeout=7)
    assert session.base_url == f"https://{host}"
    assert session.timeout == 7
    assert session._requests.authorization == "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def test_from_env_arguments_override_the_environment():
    environ = {"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "t", "TWILIO_REGION": "ie1"}
    assert OAuthSession.from_env(environ, region="au1").base_url == "https://oauth.au1.twilio.com"
    assert OAuthSession.from_env(environ, base_url="http://127.0.0.1:1").base_url == "http://127.0.0.1:1"


def test_from_env_uses_base_url_unless_an_argument_names_the_server():
    environ = {"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "t", "TWILIO_REGION": "ie1"}
    server = {"TWILIO_OAUTH_URL": "http://127.0.0.1:1"}
    assert OAuthSession.from_env(environ | server).base_url == "http://127.0.0.1:1"
    assert OAuthSession.from_env(environ | server, base_url="http://127.0.0.1:2").base_url == "http://127.0.0.1:2"
    assert OAuthSession.from_env(environ | server, region="au1").base_url == "https://oauth.au1.twilio.com"
    assert OAuthSession.from_env(environ | {"TWILIO_OAUTH_URL": ""}).base_url == "https://oauth.ie1.twilio.com"
    with pytest.raises(ConfigurationError):
        OAuthSession.from_env(environ | {"TWILIO_OAUTH_URL": "http://example.com"})


@pytest.mark.parametrize(
    "environ",
    [{}, {"TWILIO_ACCOUNT_SID": "AC1"}, {"TWILIO_API_KEY": "SK1"}, {"TWILIO_ACCOUNT_SID": "", "TWILIO_AUTH_TOKEN": ""}],
)
def test_from_env_without_complete_credentials_raises(environ):
    with pytest.raises(ConfigurationError, match="TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"):
        OAuthSession.from_env(environ)


def test_session_repr_and_pickle_expose_no_secret():
    session = OAuthSession(ACCOUNT_SID, PASSWORD)
    assert repr(session) == "OAuthSession(base_url='https://oauth.twilio.com', closed)"
    with pytest.raises(TypeError, match="refuses"):
        pickle.dumps(session)


@pytest.mark.asyncio
async def test_request_has_credentials_accept_and_user_agent():
    async with scripted(CERTS) as (server, session):
        await session.fetch_certs()
        assert "open" in repr(session)
    request = server.requests[0]
    assert (request.method, request.target, request.body) == ("GET", "/v1/certs", b"")
    assert request.headers["authorization"] == [
        "Basic " + base64.b64encode(f"{ACCOUNT_SID}:{PASSWORD}".encode()).decode()
    ]
    assert request.headers["accept"] == ["application/json"]
    [agent] = request.headers["user-agent"]
    assert agent.startswith("twilio-oauth-async/")
    assert f"aiohttp/{aiohttp.__version__}" in agent


@pytest.mark.asyncio
async def test_request_of_session_without_credentials_has_no_authorization():
    async with scripted(CERTS, credentials=()) as (server, session):
        await session.fetch_certs()
    assert "authorization" not in server.requests[0].headers


@pytest.mark.asyncio
async def test_request_with_access_token_replaces_the_credentials():
    async with scripted(http(200, {})) as (server, session):
        await session.fetch_user_info(access_token="tok")
        await session.fetch_user_info()
    assert server.requests[0].headers["authorization"] == ["Bearer tok"]
    assert server.requests[1].headers["authorization"][0].startswith("Basic ")


@pytest.mark.asyncio
async def test_request_with_path_in_base_url_keeps_the_path():
    async with RawServer(CERTS) as server, OAuthSession(base_url=server.base_url + "/twilio/") as session:
        await session.fetch_certs()
    assert server.requests[0].target == "/twilio/v1/certs"


@pytest.mark.asyncio
async def test_request_of_closed_session_raises():
    session = OAuthSession(base_url="http://127.0.0.1:9")
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="not open"):
            await session.fetch_certs()
        await session.open()
        await session.open()
        await session.close()
        await session.close()


class TestBorrowedSession:
    @pytest.mark.asyncio
    async def test_borrowed_session_shares_only_its_connector(self):
        def fail(*_):
            raise AssertionError("the settings of the borrowed session were used")

        async with (
            RawServer(
                http(201, {"access_token": "a"}, Set_Cookie="borrowed=2"), http(400, {"error": "invalid_grant"})
            ) as server,
            aiohttp.ClientSession(
                "http://127.0.0.1:9/",
                headers={"X-Borrowed": "1", "Authorization": "Basic borrowed"},
                cookies={"borrowed": "1"},
                raise_for_status=True,
                trust_env=True,
                middlewares=(fail,),
                timeout=aiohttp.ClientTimeout(total=0.000001),
            ) as borrowed,
        ):
            cookies = list(borrowed.cookie_jar)
            async with session_for(server, http=borrowed) as session:
                await session.create_token(grant_type="g", client_sid="OQ1")
                with pytest.raises(InvalidGrantError):
                    await session.create_token(grant_type="g", client_sid="OQ1")
            assert not borrowed.closed
            assert not borrowed.connector.closed
            assert list(borrowed.cookie_jar) == cookies
            assert borrowed.headers["X-Borrowed"] == "1"
            # The second request used the connection that the borrowed connector had kept open.
            assert [request.connection for request in server.requests] == [0, 0]
        for request in server.requests:
            assert "x-borrowed" not in request.headers
            assert "cookie" not in request.headers
            assert request.headers["authorization"][0] != "Basic borrowed"

    @pytest.mark.asyncio
    async def test_borrowed_session_closed_before_open_raises(self):
        borrowed = aiohttp.ClientSession()
        await borrowed.close()
        with pytest.raises(ConfigurationError, match="is closed"):
            await OAuthSession(http=borrowed).open()

    @pytest.mark.asyncio
    async def test_borrowed_session_closed_after_open_raises(self):
        borrowed = aiohttp.ClientSession()
        async with OAuthSession(base_url="http://127.0.0.1:9", http=borrowed) as session:
            await borrowed.close()
            with pytest.raises(ConfigurationError, match="has been closed"):
                await session.fetch_certs()


class TestRetries:
    @pytest.mark.asyncio
    @pytest.mark.parametrize(
        "fault", [UNAVAILABLE, http(429, b"", None), http(502, b"<html>", "text/html"), http(504, b"", None), hang_up]
    )
    @pytest.mark.parametrize(
        ("success", "call"),
        [
            (CERTS, lambda session: session.fetch_certs()),
            (http(200, {}), lambda session: session.fetch_openid_discovery()),
            (http(200, {}), lambda session: session.fetch_user_info()),
            (
                http(201, {"device_code": "d", "user_code": "u", "verification_uri": "x"}),
                lambda session: session.create_device_code(client_sid="OQ1", scopes=["openid"]),
            ),
        ],
    )
    async def test_repeatable_request_after_temporary_failure_is_retried(self, fault, success, call):
        async with scripted(fault, success) as (server, session):
            await call(session)
        # Two, not three: aiohttp repeats a GET itself, but only if a connection that it had kept open was closed.
        assert len(server.requests) == 2

    @pytest.mark.asyncio
    @pytest.mark.parametrize("fault", [UNAVAILABLE, http(429, {"code": 20429}), http(502, b"", None), hang_up])
    async def test_token_request_after_temporary_failure_is_not_retried(self, fault):
        async with scripted(fault, TOKEN) as (server, session):
            with pytest.raises((ApiError, AnswerLostError)):
                await session.create_token(grant_type="g", client_sid="OQ1", refresh_token="r")
        assert len(server.requests) == 1

    @pytest.mark.asyncio
    @pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
    async def test_request_with_permanent_error_is_not_retried(self, status):
        async with scripted(http(status, {"error": "x"})) as (server, session):
            with pytest.raises(ApiError):
                await session.fetch_certs()
        assert len(server.requests) == 1

    @pytest.mark.asyncio
    async def test_error_after_retries_has_attempts_and_elapsed_seconds(self):
        async with scripted(UNAVAILABLE, retry=RetryPolicy(attempts=3)) as (server, session):
            with pytest.raises(ServerError):
                await session.fetch_certs()
            assert len(server.requests) == 3
        async with session_for(server, retry=RetryPolicy(attempts=3, base=1, cap=1)) as session:
            with pytest.raises(TransportError) as caught:
                await session.fetch_certs()
            assert caught.value.attempts == 3
            assert caught.value.elapsed == session.clock.monotonic() > 0

    @pytest.mark.asyncio
    async def test_retry_after_past_the_deadline_raises_at_once(self):
        busy = http(503, b"", None, Retry_After="60")
        async with scripted(busy, CERTS, timeout=30) as (_, session):
            with pytest.raises(ServerError) as caught:
                await session.fetch_certs()
            assert caught.value.retry_after == 60
            assert session.clock.monotonic() == 0

    @pytest.mark.asyncio
    async def test_retry_after_within_the_deadline_delays_the_retry(self):
        busy = http(503, b"", None, Retry_After="3")
        async with scripted(busy, CERTS) as (_, session):
            await session.fetch_certs()
            assert session.clock.monotonic() >= 3


class TestErrors:
    @pytest.mark.asyncio
    async def test_error_response_raises_without_context_or_cause(self):
        body = {"code": 20003, "message": f"Authenticate {PASSWORD}", "more_info": "https://e", "status": 401}
        async with scripted(http(401, body, Twilio_Request_Id="RQ1")) as (_, session):
            with pytest.raises(InvalidClientError) as caught:
                await session.fetch_certs()
        assert caught.value.__context__ is None
        assert caught.value.__cause__ is None
        assert str(caught.value) == "401 Twilio error 20003: Authenticate *** (request RQ1)"

    @pytest.mark.asyncio
    async def test_response_that_breaks_the_contract_raises_protocol_error(self):
        async with scripted(http(200, b"<html>canary</html>", "text/html")) as (_, session):
            with pytest.raises(ProtocolError) as caught:
                await session.fetch_certs()
        assert (caught.value.status, caught.value.content_type, caught.value.length) == (200, "text/html", 19)
        assert "canary" not in str(caught.value)

    @pytest.mark.asyncio
    async def test_debug_log_of_a_request_has_no_secret(self, caplog):
        response = http(400, {"error": "invalid_grant", "error_description": "refresh-token-canary"})
        async with scripted(response) as (_, session):
            with caplog.at_level(logging.DEBUG), pytest.raises(InvalidGrantError):
                await session.create_token(
                    grant_type="refresh_token", client_sid="OQ1", refresh_token="refresh-token-canary"
                )
        assert "POST /v1/token: 400 invalid_grant: ***" in caplog.text
        assert "canary" not in caplog.text
