"""`parse_poll` has a short cut for pending responses, whose result means the same as that of `parse_token`."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from twilio_oauth_async import AuthorizationPendingError
from twilio_oauth_async.protocol import polling
from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.messages import Context, Response
from twilio_oauth_async.protocol.token_endpoint import parse_poll, parse_token

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONTEXT = Context(now=NOW, base_url="https://oauth.twilio.com")
STATE = DeviceAuthorization(
    client_sid="OQ1",
    scopes=("openid",),
    device_code="d",
    user_code="u",
    verification_uri="https://example.com",
    interval=5.0,
    expires_at=NOW.replace(hour=1),
    next_poll_at=NOW,
)

CODES = st.sampled_from(["authorization_pending", "slow_down", "access_denied", "Authorization Pending", "unknown", ""])
DATES = st.sampled_from(["2026-01-01T00:00:30Z", "soon", None])
ITEMS = st.lists(st.fixed_dictionaries({}, optional={"error": CODES, "code": CODES}), max_size=2)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "error": CODES | st.fixed_dictionaries({"code": CODES}) | st.none(),
        "error_description": st.text(max_size=5),
        "errors": ITEMS,
        "code": CODES | st.integers(20_000, 21_000),
        "throttled_until": DATES,
        "interval": st.integers(0, 60),
        "access_token": st.just("a"),
    },
)
JSON = {"Content-Type": "application/json"}
HEADERS = st.fixed_dictionaries(
    {"Content-Type": st.sampled_from(["application/json", "application/json; charset=utf-8", "text/html", ""])},
    optional={"Retry-After": st.sampled_from(["30", "x"])},
)
PENDING = {"error": "authorization_pending"}


def response_of(status, body, headers):
    return Response(status=status, headers=CIMultiDictProxy(CIMultiDict(headers)), body=body)


@given(st.sampled_from([200, 201, 302, 400, 401, 403, 429, 500, 503]), BODIES, HEADERS)
@example(400, PENDING, JSON)
@example(400, PENDING | {"errors": [{"error": "access_denied"}]}, JSON)
@example(400, PENDING | {"throttled_until": "2026-01-01T00:00:30Z"}, JSON)
@example(400, PENDING, JSON | {"Retry-After": "30"})
@example(500, PENDING, JSON)
def test_poll_response_has_the_same_step_as_with_parse_token(status, body, headers):
    response = response_of(status, json.dumps(body).encode(), headers)
    quick, whole = parse_poll(response, CONTEXT), parse_token(response, CONTEXT)
    assert type(quick) is type(whole)
    one, other = polling.advance(STATE, quick, NOW), polling.advance(STATE, whole, NOW)
    assert type(one) is type(other)
    assert getattr(one, "authorization", None) == getattr(other, "authorization", None)


def test_pending_poll_response_gives_error_without_texts():
    body = json.dumps(PENDING | {"error_description": "Wait."}).encode()
    error = parse_poll(response_of(400, body, JSON | {"Twilio-Request-Id": "RQ1"}), CONTEXT)
    assert isinstance(error, AuthorizationPendingError)
    assert (error.status, error.error) == (400, "authorization_pending")
    assert (error.description, error.request_id) == (None, None)


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":"authorization_pending","error":"access_denied"}',
        b'{"error":"authorization_pending"}{}',
        b'\xef\xbb\xbf{"error":"authorization_pending"}',
        b'["authorization_pending"]',
        b'{"error":"authorization_pending","error_description":"' + b"a" * 1000 + b'"}',
    ],
)
def test_other_poll_response_is_parsed_as_any_other(body):
    for _ in range(2):  # the second time, the result of the first is known
        response = response_of(400, body, JSON)
        assert str(parse_poll(response, CONTEXT)) == str(parse_token(response, CONTEXT))
