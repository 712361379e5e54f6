"""Requests and responses of the user info endpoint, and the other GET requests."""

import pytest

from tests.helpers.protocol import CONTEXT, response
from twilio_oauth_async import ConfigurationError, ProtocolError
from twilio_oauth_async.protocol import discovery, models, user_info


def test_build_get_requests():
    for request, path in (
        (discovery.build_openid_discovery(), "/v1/.well-known/openid-configuration"),
        (discovery.build_certs(), "/v1/certs"),
        (user_info.build_user_info(), "/v1/userinfo"),
    ):
        assert (request.method, request.path, request.body, dict(request.headers)) == ("GET", path, None, {})
        assert request.repeatable


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
