import json
import logging
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest
from multidict import CIMultiDict

from twilio_oauth_async import ConfigurationError, ProtocolError, errors
from twilio_oauth_async.protocol import device_authorization, discovery, models, token_endpoint, user_info
from twilio_oauth_async.protocol.messages import Context, Response

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONTEXT = Context(now=NOW, base_url="https://oauth.example/base")
CODE = {
    "device_code": "d" * 32,
    "user_code": "aBcDeFgHi",
    "verification_uri": "v1/oauth2/device/activate",
    "expires_in": 299,
    "interval": 5,
}


def response(body, status=201, content_type="application/json"):
    return Response(status=status, headers=CIMultiDict({"Content-Type": content_type}), body=json.dumps(body).encode())


def form_fields(request):
    return parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)


def test_build_get_requests():
    for request, path in (
        (discovery.build_openid_discovery(), "/v1/.well-known/openid-configuration"),
        (discovery.build_certs(), "/v1/certs"),
        (user_info.build_user_info(), "/v1/userinfo"),
    ):
        assert (request.method, request.path, request.body, dict(request.headers)) == ("GET", path, None, {})
        assert request.repeatable


def test_build_device_code_repeats_scopes_and_audiences():
    request = device_authorization.build_device_code(client_sid="OQ1", scopes=["openid", "a:b"], audiences=["x", "y"])
    assert (request.method, request.path, request.repeatable) == ("POST", "/v1/device/code", True)
    assert request.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    assert form_fields(request) == [
        ("ClientSid", "OQ1"),
        ("Scopes", "openid"),
        ("Scopes", "a:b"),
        ("Audiences", "x"),
        ("Audiences", "y"),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"client_sid": ""}, "client_sid"),
        ({"client_sid": None}, "client_sid"),
        ({"client_sid": "a b"}, "client_sid"),
        ({"scopes": []}, "at least one scope"),
        ({"scopes": "openid"}, "must be a list"),
        ({"scopes": ["a b"]}, "scopes"),
        ({"scopes": ["a\n"]}, "scopes"),
        ({"scopes": ['a"']}, "scopes"),
        ({"scopes": ["ü"]}, "scopes"),
        ({"scopes": [""]}, "scopes"),
        ({"scopes": [None]}, "scopes"),
        ({"audiences": "x"}, "must be a list"),
        ({"audiences": ["a b"]}, "audiences"),
    ],
)
def test_build_device_code_with_invalid_arguments_raises(change, message):
    with pytest.raises(ConfigurationError, match=message):
        device_authorization.build_device_code(**{"client_sid": "OQ1", "scopes": ["openid"], **change})


def test_build_token_sends_every_parameter_of_the_contract():
    request = token_endpoint.build_token(
        grant_type="g",
        client_sid="OQ1",
        client_secret="s&1",
        code="c",
        code_verifier="v",
        device_code="d",
        device_id="i",
        refresh_token="r",
    )
    assert form_fields(request) == [
        ("GrantType", "g"),
        ("ClientSid", "OQ1"),
        ("ClientSecret", "s&1"),
        ("Code", "c"),
        ("CodeVerifier", "v"),
        ("DeviceCode", "d"),
        ("RefreshToken", "r"),
        ("DeviceId", "i"),
    ]
    assert request.secrets == ("s&1", "c", "v", "d", "r")
    assert not request.repeatable


@pytest.mark.parametrize(
    ("arguments", "fresh"), [({"device_code": "d"}, False), ({"refresh_token": "r"}, True), ({"code": "c"}, True)]
)
def test_build_token_with_single_use_value_requires_fresh_connection(arguments, fresh):
    assert token_endpoint.build_token(grant_type="g", client_sid="OQ1", **arguments).fresh_connection is fresh


@pytest.mark.parametrize(
    "arguments",
    [{"grant_type": ""}, {"client_sid": ""}, {"code": ""}, {"device_code": "a\r\nb"}, {"client_secret": "ü"}],
)
def test_build_token_with_invalid_value_raises_without_the_value(arguments):
    with pytest.raises(ConfigurationError) as caught:
        token_endpoint.build_token(**{"grant_type": "g", "client_sid": "OQ1", **arguments})
    assert not any(value and value in str(caught.value) for value in arguments.values())


@pytest.mark.parametrize("status", [200, 201, 203])
def test_parse_device_code(status):
    result = device_authorization.parse_device_code(
        response({**CODE, "verification_uri_complete": "v1/a?user_code=aBcDeFgHi", "new": 1}, status), CONTEXT
    )
    assert result == models.DeviceCode(
        device_code="d" * 32,
        user_code="aBcDeFgHi",
        verification_uri="https://oauth.example/base/v1/oauth2/device/activate",
        verification_uri_complete="https://oauth.example/base/v1/a?user_code=aBcDeFgHi",
        expires_in=299.0,
        interval=5.0,
    )


@pytest.mark.parametrize(
    ("uri", "absolute"),
    [
        ("/activate", "https://oauth.example/activate"),
        ("https://www.twilio.com/activate", "https://www.twilio.com/activate"),
        ("//www.twilio.com/x", "https://www.twilio.com/x"),
        ("http://127.0.0.1:9/x", "http://127.0.0.1:9/x"),
    ],
)
def test_parse_device_code_makes_verification_uri_absolute(uri, absolute):
    assert (
        device_authorization.parse_device_code(response({**CODE, "verification_uri": uri}), CONTEXT).verification_uri
        == absolute
    )


@pytest.mark.parametrize(
    "uri",
    [
        "javascript:alert(1)",
        "http://evil.example/",
        "data:text/html,x",
        "a b",
        "https://[",
        "\x1b[31m",
        "",
    ],
)
@pytest.mark.parametrize("name", ["verification_uri", "verification_uri_complete"])
def test_parse_device_code_with_unsafe_uri_is_protocol_error(name, uri):
    result = device_authorization.parse_device_code(response({**CODE, name: uri}), CONTEXT)
    assert type(result) is ProtocolError
    assert str(result).startswith(f"{name}: not an https URL")


@pytest.mark.parametrize("name", ["device_code", "user_code", "verification_uri"])
@pytest.mark.parametrize("value", [None, "absent"])
def test_parse_device_code_without_required_member_is_protocol_error(name, value):
    body = {k: v for k, v in CODE.items() if k != name} if value == "absent" else {**CODE, name: None}
    result = device_authorization.parse_device_code(response(body), CONTEXT)
    assert type(result) is ProtocolError
    assert str(result).startswith(f"{name}: missing")
    assert result.status == 201


@pytest.mark.parametrize("name", ["device_code", "user_code"])
@pytest.mark.parametrize("value", ["", "a\nb", "a\x00", "ü", 5])
def test_parse_device_code_with_invalid_code_is_protocol_error(name, value):
    assert type(device_authorization.parse_device_code(response({**CODE, name: value}), CONTEXT)) is ProtocolError


@pytest.mark.parametrize(
    ("value", "number", "warns"),
    [
        (5.5, 5.5, False),
        ("5", 5.0, False),
        (None, None, False),
        (0, 0.0, False),
        (True, None, True),
        ("x", None, True),
        ([], None, True),
    ],
)
@pytest.mark.parametrize("name", ["interval", "expires_in"])
def test_parse_device_code_numbers(name, value, number, warns, caplog):
    with caplog.at_level(logging.WARNING):
        assert getattr(device_authorization.parse_device_code(response({**CODE, name: value}), CONTEXT), name) == number
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warns


def test_parse_token():
    body = {
        "access_token": "a",
        "access_token_expires_at": "2026-01-01T01:00:00Z",
        "refresh_token": "r",
        "refresh_token_expires_at": "Fri, 02 Jan 2026 00:00:00 +0000",
        "id_token": "i",
        "token_type": "bearer",
        "scope": "openid",
        "other": {},
    }
    assert token_endpoint.parse_token(response(body), CONTEXT) == models.Token(
        access_token="a",
        access_token_expires_at=NOW + timedelta(hours=1),
        refresh_token="r",
        refresh_token_expires_at=NOW + timedelta(days=1),
        id_token="i",
        scope="openid",
    )


def test_parse_token_with_expires_in():
    body = {"access_token": "a", "refresh_token": None, "id_token": None, "expires_in": "3600"}
    assert token_endpoint.parse_token(response(body, 200), CONTEXT) == models.Token(
        access_token="a", access_token_expires_at=NOW + timedelta(hours=1)
    )


@pytest.mark.parametrize(
    ("members", "warns"),
    [
        ({}, False),
        ({"access_token_expires_at": None}, False),
        ({"access_token_expires_at": "garbage"}, True),
        ({"access_token_expires_at": "20260-01-01T00:00:00Z"}, True),
        ({"access_token_expires_at": 5}, True),
        ({"expires_in": "x"}, True),
        ({"expires_in": 10**12}, True),
        ({"expires_in": True}, True),
    ],
)
def test_parse_token_with_invalid_expiry_returns_token(members, warns, caplog):
    with caplog.at_level(logging.WARNING):
        result = token_endpoint.parse_token(response({"access_token": "a", **members}), CONTEXT)
    assert result == models.Token(access_token="a")
    assert bool(caplog.records) is warns


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "id_token"])
@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\x00b", "a b", "", "ü"])
def test_parse_token_with_characters_not_allowed_in_header_is_protocol_error(name, value):
    result = token_endpoint.parse_token(response({"access_token": "a", name: value}), CONTEXT)
    assert type(result) is ProtocolError
    assert str(result).startswith(f"{name}: ")


@pytest.mark.parametrize("value", ["mac", "", 5, [], "Bearer x"])
def test_parse_token_with_unknown_token_type_is_protocol_error(value):
    result = token_endpoint.parse_token(response({"access_token": "a", "token_type": value}), CONTEXT)
    assert type(result) is ProtocolError
    assert "token_type" in str(result)


@pytest.mark.parametrize("body", [{}, {"access_token": None}, {"refresh_token": "r"}, {"message": "hello"}])
def test_parse_token_without_access_token_is_protocol_error(body):
    result = token_endpoint.parse_token(response(body, 200), CONTEXT)
    assert type(result) is ProtocolError
    assert str(result).startswith("access_token: missing")


def test_parse_token_accepts_opaque_and_long_tokens():
    for token in ("x" * 65_536, "not.a.jwt", "~+/="):
        assert token_endpoint.parse_token(response({"access_token": token}), CONTEXT).access_token == token


@pytest.mark.parametrize("status", [200, 201, 400, 401])
def test_parse_token_finds_pending_with_success_and_error_status(status):
    for body in (
        {"error": "authorization_pending"},
        {"message": "authorization_pending"},
        {"code": "authorization_pending"},
    ):
        result = token_endpoint.parse_token(response(body, status), CONTEXT)
        assert type(result) is errors.AuthorizationPendingError
        assert result.status == status


def test_parse_token_of_204_is_protocol_error():
    result = token_endpoint.parse_token(Response(status=204, headers=CIMultiDict(), body=b""), CONTEXT)
    assert type(result) is ProtocolError
    assert result.status == 204


def test_build_and_parse_user_info():
    request = user_info.build_user_info("token")
    assert request.headers == {"Authorization": "Bearer token"}
    assert request.secrets == ("token",)
    body = {"user_sid": "US" + "a" * 32, "email": "a@b", "first_name": None, "url": "https://e", "more": 1}
    assert user_info.parse_user_info(response(body), CONTEXT) == models.UserInfo(
        user_sid="US" + "a" * 32, email="a@b", url="https://e"
    )
    assert type(user_info.parse_user_info(response({"user_sid": "US1"}), CONTEXT)) is ProtocolError
    for token in ("", "a\r\nb", "a b"):
        with pytest.raises(ConfigurationError):
            user_info.build_user_info(token)


def test_parse_discovery_and_certs_does_not_validate_content():
    body = {
        "issuer": "https://iam.twilio.com",
        "id_token_signing_alg_values_supported": ["ECDSA", "RSA256"],
        "jwk_uri": "x",
    }
    result = discovery.parse_openid_discovery(response(body, 200), CONTEXT)
    assert result.id_token_signing_alg_values_supported == ("ECDSA", "RSA256")
    keys = [{"kty": "EC", "kid": "IC1", "key_ops": []}, {"kty": "odd"}]
    assert discovery.parse_certs(response({"keys": keys, "url": "u"}, 200), CONTEXT) == models.Certs(
        keys=tuple(keys), url="u"
    )
    assert discovery.parse_certs(response({"keys": None}, 200), CONTEXT) == models.Certs()
    assert type(discovery.parse_certs(response({"keys": ["x"]}, 200), CONTEXT)) is ProtocolError
