"""Requests and responses of the token endpoints."""

from datetime import timedelta

import pytest
from multidict import CIMultiDict

from tests.helpers.protocol import CONTEXT, NOW, form_fields, response
from twilio_oauth_async import ConfigurationError, ProtocolError, errors
from twilio_oauth_async.protocol import models, token_endpoint
from twilio_oauth_async.protocol.messages import Response


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
