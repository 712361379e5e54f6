"""Hypothesis strategies for hostile and malformed responses, and the parse functions that must handle them."""

import json
from datetime import UTC, datetime

from hypothesis import strategies as st
from multidict import CIMultiDict

from twilio_oauth_async.protocol import device_authorization, discovery, token_endpoint, user_info
from twilio_oauth_async.protocol.messages import Context, Response

CONTEXT = Context(now=datetime(2026, 1, 1, tzinfo=UTC), base_url="https://oauth.example", sent=("canary-secret",))
PARSERS = {
    "openid_discovery": discovery.parse_openid_discovery,
    "certs": discovery.parse_certs,
    "device_code": device_authorization.parse_device_code,
    "token": token_endpoint.parse_token,
    "user_info": user_info.parse_user_info,
}
NAMES = st.sampled_from(
    [
        "access_token", "access_token_expires_at", "refresh_token", "refresh_token_expires_at", "id_token",
        "token_type", "scope", "expires_in", "refresh_token_expires_in", "device_code", "user_code", "verification_uri",
        "verification_uri_complete", "interval", "error", "error_description", "error_uri", "code", "message",
        "more_info", "status", "detail", "title", "type", "errors", "keys", "issuer", "user_sid", "url",
        "scopes_supported",
    ]
)  # fmt: skip
WORDS = st.sampled_from(
    [
        "authorization_pending", "slow_down", "invalid_grant", "access_denied", "Bearer", "mac", "a", "",
        "canary-secret", "2026-01-01T00:00:00Z", "Thu, 01 Jan 2026 00:00:00 GMT", "20003", "1e999", "https://x/",
        "//[", "US" + "a" * 32,
    ]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | WORDS
    | st.text(max_size=40)
    | st.text(alphabet=st.characters(categories=["Cc", "Cf", "Cs", "Zl"]), max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(NAMES | st.text(max_size=8), VALUES, max_size=8)
BODIES = st.one_of(
    OBJECTS.map(lambda value: json.dumps(value).encode()),
    VALUES.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    st.binary(max_size=200),
    st.tuples(OBJECTS, st.integers(0, 200), st.binary(max_size=3)).map(
        lambda parts: (text := json.dumps(parts[0]).encode())[: parts[1]] + parts[2] + text[parts[1] :]
    ),
    st.tuples(st.sampled_from([b"[", b'{"a":', b'"', b"\\", b"9", b'{"a":1,']), st.integers(1, 2000)).map(
        lambda parts: parts[0] * parts[1]
    ),
)
HEADER_TEXT = st.text(alphabet=st.characters(exclude_characters="\r\n\0"), max_size=40)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Content-Type": st.sampled_from(
            [
                "application/json",
                "application/json; charset=utf-8",
                "application/problem+json",
                "text/html",
                "a;charset",
                ";=;",
            ]
        )
        | HEADER_TEXT,
        "Retry-After": st.sampled_from(["3", "-1", "1e400", "Thu, 01 Jan 2026 00:00:09 GMT", "9" * 400]) | HEADER_TEXT,
        "Twilio-Request-Id": HEADER_TEXT,
    },
)
STATUSES = st.sampled_from([200, 201, 204, 301, 400, 401, 403, 404, 408, 429, 500, 502, 503]) | st.integers(200, 599)
RESPONSES = st.builds(
    lambda status, headers, body: Response(status=status, headers=CIMultiDict(headers), body=body),
    STATUSES,
    HEADERS,
    BODIES,
)
