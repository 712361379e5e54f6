"""Device authorization request and response (RFC 8628 3.1 and 3.2)."""

import logging

import pytest

from tests.helpers.protocol import CONTEXT, form_fields, response
from twilio_oauth_async import ConfigurationError, ProtocolError
from twilio_oauth_async.protocol import device_authorization, models

CODE = {
    "device_code": "d" * 32,
    "user_code": "aBcDeFgHi",
    "verification_uri": "v1/oauth2/device/activate",
    "expires_in": 299,
    "interval": 5,
}


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
