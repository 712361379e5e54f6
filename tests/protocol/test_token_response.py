"""Fault 46 (docs/reliability.md): optional members and labels of an unusual kind in a 2xx token response."""

import json
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from tests.helpers.hostile_responses import NAMES, VALUES
from tests.helpers.protocol import CONTEXT, NOW, response
from twilio_oauth_async import AuthorizationPendingError, ProtocolError, Token
from twilio_oauth_async.protocol import device_authorization, discovery, strict_json, token_response, user_info
from twilio_oauth_async.protocol.messages import Response
from twilio_oauth_async.protocol.token_endpoint import parse_token

JUNK = [[], {}, 5, 1.5, True, False, "\r\n", "a\x00b", "\ud800", [["a"]], {"a": "b"}, [None]]
"""Values that no text member can have."""


@pytest.fixture(autouse=True)
def nothing_logged_yet(monkeypatch):
    monkeypatch.setattr(token_response, "_logged", set())


def raw(body, status=200, content_type="application/json"):
    headers = {} if content_type is None else {"Content-Type": content_type}
    return Response(status=status, headers=CIMultiDict(headers), body=body)


def parse(members):
    return parse_token(response({"access_token": "a", **members}), CONTEXT)


def names(caplog):
    """Return the names in the warnings, in their order."""
    prefix = "token response: "
    texts = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert all(text.startswith(prefix) for text in texts)
    return [text.removeprefix(prefix).split(": ")[0] for text in texts]


@pytest.mark.parametrize("value", ["", " ", *JUNK])
@pytest.mark.parametrize("name", ["refresh_token", "id_token", "scope"])
def test_unusable_text_is_absent_and_logged_by_name(name, value, caplog):
    assert parse({name: value}) == Token(access_token="a")
    assert names(caplog) == (["body", name] if value == "\ud800" else [name])


@pytest.mark.parametrize("name", ["refresh_token", "id_token", "scope", "token_type", "expires_in"])
def test_null_is_absent_and_not_logged(name, caplog):
    assert parse({name: None}) == Token(access_token="a")
    assert names(caplog) == []


def test_refresh_token_may_have_spaces_and_id_token_may_not():
    """RFC 6749 A.17: a refresh token is any printable ASCII."""
    assert parse({"refresh_token": "a b", "id_token": "a b"}) == Token(access_token="a", refresh_token="a b")


@pytest.mark.parametrize(
    ("scope", "expected", "logged"),
    [
        ("openid email", "openid email", False),
        (["openid", "email"], "openid email", True),
        (["openid email", "phone"], "openid email phone", True),
        (["openid"], "openid", True),
        ([""], None, True),
        (["openid", 5], None, True),
        (["openid", None], None, True),
        (" openid\n email ", "openid email", True),
        ("open\x1bid", None, True),
        ("büro", "büro", False),
    ],
)
def test_scope(scope, expected, logged, caplog):
    assert parse({"scope": scope}).scope == expected
    assert names(caplog) == (["scope"] if logged else [])


@pytest.mark.parametrize("value", [" Bearer", "bearer ", "BEARER\n", "", "  "])
def test_token_type_with_white_space_or_empty_is_bearer(value, caplog):
    assert parse({"token_type": value}) == Token(access_token="a")
    assert names(caplog) == ["token_type"]


@pytest.mark.parametrize("value", ["Bearer", "bearer", "BEARER"])
def test_token_type_in_other_case_is_bearer_and_not_logged(value, caplog):
    assert parse({"token_type": value}) == Token(access_token="a")
    assert names(caplog) == []


@pytest.mark.parametrize("value", ["mac", "DPoP", "Bearer x", "Bearer\x00", "N_A", *(j for j in JUNK if j != "\r\n")])
def test_other_token_type_is_protocol_error(value):
    """RFC 6749 7.1: a client must not use a token of a type that it does not understand."""
    result = parse({"token_type": value})
    assert type(result) is ProtocolError
    assert str(result).startswith("token_type: ")


@pytest.mark.parametrize("value", ["garbage", "", "20260-01-01T00:00:00Z", 5, True, [], {}])
@pytest.mark.parametrize("token", ["access_token", "refresh_token"])
def test_unusable_date_gives_the_expiry_in_seconds_or_none(token, value, caplog):
    name, seconds = f"{token}_expires_at", {"access_token": "expires_in"}.get(token, f"{token}_expires_in")
    assert parse({name: value}) == Token(access_token="a")
    assert getattr(parse({name: value, seconds: 60}), name) == NOW + timedelta(seconds=60)
    assert names(caplog) == [name]


@pytest.mark.parametrize("value", ["x", "", True, [], {}, 10**12, -(10**12)])
@pytest.mark.parametrize("name", ["expires_in", "refresh_token_expires_in"])
def test_unusable_seconds_give_no_expiry(name, value, caplog):
    assert parse({name: value}) == Token(access_token="a")
    assert names(caplog) == [name]


def test_date_is_preferred_to_seconds(caplog):
    token = parse({"access_token_expires_at": "2026-01-01T01:00:00Z", "expires_in": "x"})
    assert token.access_token_expires_at == NOW + timedelta(hours=1)
    assert names(caplog) == []


UNUSUAL_BODIES = {
    "byte order mark": b'\xef\xbb\xbf{"access_token":"a"}',
    "NaN in an unknown member": b'{"access_token":"a","x":NaN}',
    "infinity in an unknown member": b'{"access_token":"a","x":[-Infinity]}',
    "number too large in an unknown member": b'{"x":1e999,"access_token":"a"}',
    "repeated unknown member": b'{"x":1,"x":2,"access_token":"a"}',
    "repeated member inside an unknown one": b'{"access_token":"a","x":{"y":1,"y":2}}',
    "repeated access token with the same value": b'{"access_token":"a","access\\u005ftoken":"a"}',
    "lone surrogate in an unknown member": b'{"access_token":"a","x":"\\ud800","\\udfff":1}',
}


@pytest.mark.parametrize("body", UNUSUAL_BODIES.values(), ids=UNUSUAL_BODIES)
def test_unusual_json_with_access_token_is_used_and_logged(body, caplog):
    assert parse_token(raw(body), CONTEXT) == Token(access_token="a")
    assert names(caplog) == ["body"]


@pytest.mark.parametrize(
    ("members", "expected", "logged"),
    [
        (b'"refresh_token":"r","refresh_token":"r"', {"refresh_token": "r"}, []),
        (b'"refresh_token":"r","refresh_token":"s"', {}, ["refresh_token"]),
        (b'"refresh_token":"r","refresh_token":"s","refresh_token":"r"', {}, ["refresh_token"]),
        (b'"refresh_token":"r","refresh_token":null', {}, ["refresh_token"]),
        (b'"id_token":"r","id_token":"s"', {}, ["id_token"]),
        (b'"scope":"r","scope":["r"]', {}, ["scope"]),
        (b'"expires_in":1,"expires_in":true', {}, ["expires_in"]),
        (b'"expires_in":NaN', {}, ["expires_in"]),
        (b'"expires_in":1e999', {}, ["expires_in"]),
        (b'"token_type":"bearer","token_type":"bearer"', {}, []),
    ],
)
def test_repeated_or_infinite_optional_member(members, expected, logged, caplog):
    result = parse_token(raw(b'{"access_token":"a",' + members + b"}"), CONTEXT)
    assert result == Token(access_token="a", **expected)
    assert names(caplog) == ["body", *logged]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"access_token":"a","access_token":"b"}', "a repeated member"),
        (b'{"access_token":null,"access_token":"b"}', "a repeated member"),
        (b'{"access_token":"a","token_type":"mac","token_type":"Bearer"}', "token_type: only Bearer"),
        (b'{"access_token":NaN}', "NaN or infinity"),
        (b'{"access_token":"a\\ud800"}', "access_token: "),
        (b'{"x":NaN}', "NaN or infinity"),
        (b'{"access_token":"a","x":"\xff"}', "not UTF-8"),
        (b'\xff\xfe{\x00"\x00', "not UTF-8"),
        (b'[{"access_token":"a"}]', "not a JSON object"),
        (b'{"access_token":"a","x":' + b"[" * 40 + b"]" * 40 + b"}", "nested too deeply"),
        (b'{"access_token":"a","x":' + b"9" * 65 + b"}", "a number that is too long"),
        (b'{"access_token":"a","x":0.' + b"9" * 65 + b"}", "a number that is too long"),
        (b'{"access_token":"a"', "not JSON"),
        (b"{'access_token':'a'}", "not JSON"),
        (b"", "the body is empty"),
    ],
)
def test_contradiction_or_limit_is_protocol_error_and_not_logged(body, reason, caplog):
    result = parse_token(raw(body), CONTEXT)
    assert type(result) is ProtocolError
    assert str(result).startswith(reason)
    assert [name for name in names(caplog) if name != "body"] == []


@pytest.mark.parametrize("value", ["", " ", "a b", "a\n", "ü", *JUNK])
def test_unusable_access_token_is_protocol_error_and_other_members_are_not_logged(value, caplog):
    result = parse({"access_token": value, "refresh_token": "", "scope": []})
    assert type(result) is ProtocolError
    assert str(result).startswith(("access_token: ", "a lone surrogate"))
    assert [name for name in names(caplog) if name != "body"] == []


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "text/html; charset=utf-8",
        "application/octet-stream",
        "application/x-www-form-urlencoded",
        "application/json; charset=iso-8859-1",
        "application/json; charset=utf-16",
        'application/json; charset="x"',
        ";=;",
    ],
)
def test_other_label_around_valid_json_with_access_token_is_accepted(content_type, caplog):
    assert parse_token(raw(b'{"access_token":"a"}', content_type=content_type), CONTEXT) == Token(access_token="a")
    assert names(caplog) == ([] if not (content_type or "").strip(";=") else ["body"])


@pytest.mark.parametrize("status", [200, 201])
def test_body_without_access_token_is_read_strictly(status):
    """Nothing was issued, so that nothing is lost; a page of a gateway is no decision about the sign-in."""
    body = b'{"error":"access_denied"}'
    assert type(parse_token(raw(body, status, "text/html"), CONTEXT)) is ProtocolError
    assert type(parse_token(raw(b"\xef\xbb\xbf" + body, status), CONTEXT)) is ProtocolError
    pending = parse_token(raw(b'{"error":"authorization_pending","access_token":null}', status), CONTEXT)
    assert type(pending) is AuthorizationPendingError


@pytest.mark.parametrize("body", UNUSUAL_BODIES.values(), ids=UNUSUAL_BODIES)
@pytest.mark.parametrize("status", [400, 401, 403])
def test_error_response_is_read_strictly(status, body):
    assert type(parse_token(raw(body, status), CONTEXT)) is ProtocolError


@pytest.mark.parametrize("body", UNUSUAL_BODIES.values(), ids=UNUSUAL_BODIES)
@pytest.mark.parametrize(
    "parse_other",
    [
        device_authorization.parse_device_code,
        discovery.parse_certs,
        discovery.parse_openid_discovery,
        user_info.parse_user_info,
    ],
)
def test_other_endpoints_are_strict(parse_other, body):
    assert type(parse_other(raw(body), CONTEXT)) is ProtocolError


def test_warning_is_logged_once_per_name_and_shows_no_value(caplog):
    for _ in range(3):
        parse({"scope": ["canary"], "refresh_token": "canary\n", "id_token": ["canary"], "expires_in": "canary"})
        parse_token(raw(b'{"access_token":"a","canary":NaN}'), CONTEXT)
    assert names(caplog) == ["refresh_token", "id_token", "scope", "expires_in", "body"]
    assert "canary" not in caplog.text


@given(st.dictionaries(NAMES.filter(lambda name: name not in {"access_token", "token_type"}), VALUES, max_size=8))
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
def test_no_other_member_costs_the_token(members):
    """Of any JSON value: the only exceptions are the limits."""
    try:
        strict_json.decode_json_leniently(json.dumps(members).encode())
    except strict_json.Malformed as error:
        assert str(error) == "a number that is too long"  # noqa: PT017 - the only limit that these values can reach
        return
    result = parse({**members, "token_type": "Bearer"})
    assert isinstance(result, Token)
    assert result.access_token == "a"
    for text in (result.refresh_token, result.id_token, result.scope):
        assert text is None or (text and text.isprintable())
    assert Token.from_json(result.to_json()) == result
