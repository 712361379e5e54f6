"""Whatever the constructors of the public classes get, only an error of the library comes out of them.

A missing or unknown argument is a `TypeError`, as for every function. `VirtualClock` and `Emulator`, which are for
tests and share no error with the client, raise `ValueError` or `TypeError`.
"""

import asyncio
import contextlib
import functools
import inspect
import math
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import twilio_oauth_async as public
from twilio_oauth_async import ConfigurationError, TwilioOAuthError
from twilio_oauth_async.adapters import aiohttp as aiohttp_adapter
from twilio_oauth_async.adapters import httpx as httpx_adapter
from twilio_oauth_async.adapters import twilio as twilio_adapter
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.stores import RedisFlowStore, RedisTokenStore

SESSION = public.OAuthSession("AC1", "secret")
FLOW = public.DeviceFlow(SESSION, client_sid="OQ1", scopes=["openid"])
REDIS = mock.Mock()
NOW = datetime(2026, 1, 1, tzinfo=UTC)
AUTHORIZATION = {
    "client_sid": "OQ1",
    "scopes": ("openid",),
    "device_code": "d",
    "user_code": "u",
    "verification_uri": "https://e.example",
    "interval": 5.0,
    "expires_at": NOW,
    "next_poll_at": NOW,
}

VALID = {
    public.OAuthSession: {"username": "AC1", "password": "secret"},
    public.RetryPolicy: {},
    public.SystemClock: {},
    public.DeviceFlow: {"session": SESSION, "client_sid": "OQ1", "scopes": ["openid"]},
    public.AuthorizationCodeFlow: {"session": SESSION, "client_sid": "OQ1"},
    public.ClientCredentials: {"session": SESSION, "client_id": "OQ1", "client_secret": "s"},
    public.IdTokenVerifier: {"session": SESSION, "client_sid": "OQ1"},
    public.TokenManager: {"grant": FLOW, "store": public.MemoryTokenStore(), "key": "ann"},
    public.TokenManagers: {"grant": FLOW, "store": public.MemoryTokenStore()},
    public.DeviceFlowPool: {"flow": FLOW, "tokens": public.MemoryTokenStore()},
    public.MemoryTokenStore: {},
    public.MemoryFlowStore: {},
    public.FileTokenStore: {"path": "tokens.db"},
    public.FileFlowStore: {"path": "flows.db"},
    public.Keyring: {},
    public.GrantIdentity: {"client_sid": "OQ1", "server": "https://e.example"},
    public.TokenKey: {"user": "ann"},
    public.Token: {"access_token": "t"},
    public.DeviceAuthorization: AUTHORIZATION,
    RedisTokenStore: {"redis": REDIS},
    RedisFlowStore: {"redis": REDIS},
    aiohttp_adapter.BearerAuth: {"manager": mock.Mock()},
    httpx_adapter.BearerAuth: {"manager": mock.Mock()},
    twilio_adapter.BearerCredentials: {"manager": mock.Mock(), "loop": mock.Mock()},
}
"""Arguments with which each class can be created."""

VALUES = {
    public.Approved, public.Certs, public.CodeIssued, public.DeviceCode, public.IdTokenClaims, public.OpenidDiscovery,
    public.Pending, public.PendingAuthorization, public.SignIn, public.SlowedDown, public.StoredFlow,
    public.StoredToken, public.Unreachable, public.UserInfo,
}  # fmt: skip
"""Values that the library makes itself. Their constructors only keep what they get."""

FOR_TESTS = {public.VirtualClock}

STRANGE = [
    None, True, False, 0, -1, 1, 10**400, -(10**400), 0.0, -0.5, 1e308, math.inf, -math.inf, math.nan,
    "", " ", "x", "a b", "a:b", "\n", "secret\n", "secret\r\n", "\x00", "\ud800", "é", "ٱ", "x" * 100_000,
    "AC1", "OR1", "../..", "~nouser/x", "v2", "skip", "ES256", "none", "{}",
    "https://e.example", "https://e.example\n", "http://e.example", "https://", "https://[", "https://[::1", "//e",
    "https://e.example:99999", "https://e.example:x", "https://xn--a.example", "https://xn--.example", "https://a..b",
    "https://" + "a" * 64 + ".example", "https://" + "a." * 200 + "example", "https://é.example", "https://user:pw@e",
    "http://127.0.0.1:8080", "http://a..b:8080", "http://xn--a.example:1", "http://" + "a" * 64 + ".example:1",
    "http://e:1\n", "http://é.example:1", "http://\ud800:1", "socks5://e:1", "https://*.com", "https://a.example.1",
    b"", b"bytes", [], [None], [""], ["a\n"], [["a"]], ["openid"], "openid", ("openid",), {"openid"}, {"a": 1}, {},
    iter(["openid"]), object(), object, print, lambda *_: None, Path("x"), Path(), datetime(2026, 1, 1), NOW,  # noqa: DTZ001
    timedelta(1), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), SESSION, FLOW,
    aiohttp.TraceConfig(), [aiohttp.TraceConfig()], public.RetryPolicy(), public.SystemClock(), REDIS, ValueError("x"),
]  # fmt: skip

BOUNDED = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
ANY = st.one_of(
    st.sampled_from(STRANGE),
    st.text(max_size=20),
    st.builds("https://{}".format, st.text(max_size=20)),
    st.builds("http://{}.example:1".format, st.text(max_size=20)),
    st.floats(),
    st.integers(),
    st.binary(max_size=20),
    st.lists(st.text(max_size=5), max_size=3),
)


def create(kind, arguments):
    """Create `kind`; anything but an object of it and an error of the library is raised."""
    try:
        made = kind(**arguments)
    except ConfigurationError as error:
        made = str(error)
    assert repr(made).isprintable()


def parameters(kind):
    return list(inspect.signature(kind).parameters)


@pytest.mark.parametrize("kind", [public.VirtualClock, Emulator])
def test_constructor_of_a_test_tool_raises_value_error_or_type_error(kind):
    for name in parameters(kind):
        for value in STRANGE:
            with contextlib.suppress(ValueError, TypeError):
                kind(**{name: value})
    with pytest.raises(ValueError, match="aware"):
        public.VirtualClock("2026-01-01")


def test_all_public_classes_are_here():
    classes = {value for name in public.__all__ if inspect.isclass(value := getattr(public, name))}
    protocols = {kind for kind in classes if getattr(kind, "_is_protocol", False)}
    errors = {kind for kind in classes if issubclass(kind, TwilioOAuthError)}
    assert classes - protocols - errors - VALUES - FOR_TESTS <= set(VALID)


@pytest.mark.parametrize("kind", VALID)
def test_constructor_with_one_strange_argument_raises_only_configuration_error(kind, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in parameters(kind):
        for value in STRANGE:
            create(kind, {**VALID[kind], name: value})
    with pytest.raises(TypeError):
        kind(**VALID[kind], no_such_argument=1)


@pytest.mark.parametrize("kind", VALID)
def test_constructor_with_any_arguments_raises_only_configuration_error(kind):
    @BOUNDED
    @given(st.fixed_dictionaries({}, optional=dict.fromkeys(parameters(kind), ANY)))
    def check(strange):
        create(kind, {**VALID[kind], **strange})

    check()


@BOUNDED
@given(st.dictionaries(st.sampled_from(["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_REGION", "TWILIO_EDGE",
                                        "TWILIO_API_KEY", "TWILIO_API_SECRET", "TWILIO_OAUTH_URL"]), ANY))  # fmt: skip
def test_from_env_with_any_variables_raises_only_configuration_error(environ):
    create(public.OAuthSession.from_env, {"environ": environ})


def test_from_env_with_a_strange_environment_raises_only_configuration_error():
    for environ in STRANGE:
        create(public.OAuthSession.from_env, {"environ": environ})


@pytest.mark.parametrize("kind", [public.Token, public.DeviceAuthorization, public.PendingAuthorization])
def test_from_json_with_any_text_raises_only_configuration_error(kind):
    for text in [*STRANGE, '{"access_token": 1}', "[" * 100, "NaN", '{"interval": 1e999}']:
        create(kind.from_json, {"text": text})


@pytest.mark.parametrize("name", ["create_token", "create_token_v2", "create_device_code", "fetch_user_info"])
def test_arguments_of_requests_raise_only_configuration_error(name):
    """Each call ends before anything is sent: the session is not open."""
    method = getattr(SESSION, name)
    valid = {
        "create_token": {"grant_type": "refresh_token", "client_sid": "OQ1", "refresh_token": "r"},
        "create_token_v2": {"grant_type": "client_credentials", "client_id": "OQ1", "client_secret": "s"},
        "create_device_code": {"client_sid": "OQ1", "scopes": ["openid"]},
        "fetch_user_info": {},
    }[name]

    async def call_each():
        for parameter in inspect.signature(method).parameters:
            for value in STRANGE:
                with pytest.raises(ConfigurationError):
                    await method(**{**valid, parameter: value})

    asyncio.run(call_each())


@pytest.mark.parametrize(
    ("create_with", "name"),
    [
        (functools.partial(public.OAuthSession, "AC1"), "password"),
        (lambda secret: public.OAuthSession(secret, "secret"), "username"),
        (lambda secret: public.OAuthSession(proxy=f"http://user:pw@proxy.example:1{secret[-1]}"), "proxy"),
        (lambda secret: public.DeviceFlow(**VALID[public.DeviceFlow], client_secret=secret), "client_secret"),
        (
            lambda secret: public.AuthorizationCodeFlow(**VALID[public.AuthorizationCodeFlow], client_secret=secret),
            "client_secret",
        ),
        (lambda secret: public.ClientCredentials(SESSION, client_id="OQ1", client_secret=secret), "client_secret"),
        (lambda secret: public.DeviceFlow(SESSION, client_sid=secret, scopes=["openid"]), "client_sid"),
        (
            lambda secret: public.OAuthSession.from_env({"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": secret}),
            "TWILIO_AUTH_TOKEN",
        ),
        (
            lambda secret: public.OAuthSession.from_env({"TWILIO_API_KEY": secret, "TWILIO_API_SECRET": "s"}),
            "TWILIO_API_KEY",
        ),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_secret_that_ends_with_a_line_break_is_named_and_not_shown(create_with, name, end):
    with pytest.raises(ConfigurationError, match=f"^{name} ends with a line break") as caught:
        create_with(f"canary{end}")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("variable", ["TWILIO_OAUTH_URL", "TWILIO_REGION", "TWILIO_EDGE"])
def test_variable_of_the_server_that_ends_with_a_line_break_is_named(variable):
    environ = {"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "s", variable: "ie1\n"}
    with pytest.raises(ConfigurationError, match=f"^{variable} ends with a line break"):
        public.OAuthSession.from_env(environ)


@pytest.mark.parametrize("sid", ["", "AC", "SK1", "ORaaaa", "AC 1", "AC1\n", "AC1/..", "AC1&x=1", "ACé", b"AC1", 1])
def test_account_sid_must_be_the_sid_of_an_account(sid):
    with pytest.raises(ConfigurationError, match="account_sid"):
        public.ClientCredentials(SESSION, client_id="OQ1", client_secret="s", account_sid=sid)


@pytest.mark.parametrize("username", ["AC 1", "AC1\t", "é", "AC1\x00", 5])
def test_user_name_must_be_visible_ascii(username):
    with pytest.raises(ConfigurationError, match="username must be the SID"):
        public.OAuthSession(username, "secret")


@pytest.mark.parametrize("password", ["a\tb", "a\nb", "\x7f", "\ud800", 5])
def test_password_must_not_have_control_characters(password):
    with pytest.raises(ConfigurationError, match="password must be text without control characters"):
        public.OAuthSession("AC1", password)


def test_scopes_of_an_iterator_are_refused():
    """A check would use it up, and a request without scopes would be sent."""
    with pytest.raises(ConfigurationError, match="scopes must be a list"):
        public.DeviceFlow(SESSION, client_sid="OQ1", scopes=iter(["openid"]))
