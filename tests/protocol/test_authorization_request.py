import json
from urllib.parse import parse_qs, urlencode, urlsplit

import attrs
import pytest

from twilio_oauth_async import AuthorizationError
from twilio_oauth_async.protocol import pkce
from twilio_oauth_async.protocol.authorization_request import PendingAuthorization, begin
from twilio_oauth_async.protocol.authorization_response import parse_callback, state_matches

ISSUER = "https://iam.twilio.com"
REQUEST = begin(
    "https://oauth.example/authorize",
    client_sid="OQ1",
    redirect_uri="https://app.example/callback",
    scopes=["openid", "email"],
    issuer=ISSUER,
)


# Fixed values, so that every process that collects these tests sees the same test ids.
PENDING = attrs.evolve(REQUEST, state="s" * 43, code_verifier="v" * 43, nonce="n" * 43)


def callback(**parameters):
    return "https://app.example/callback?" + urlencode({"state": PENDING.state, **parameters})


def test_begin_puts_all_parameters_but_the_verifier_into_the_url():
    query = {name: value for name, [value] in parse_qs(urlsplit(REQUEST.url).query).items()}
    assert query == {
        "response_type": "code",
        "client_id": "OQ1",
        "redirect_uri": "https://app.example/callback",
        "scope": "openid email",
        "state": REQUEST.state,
        "nonce": REQUEST.nonce,
        "code_challenge": pkce.challenge(REQUEST.code_verifier),
        "code_challenge_method": "S256",
    }
    assert REQUEST.code_verifier not in REQUEST.url


def test_begin_keeps_query_of_endpoint_and_omits_empty_scope():
    pending = begin("https://e/a?tenant=1", client_sid="OQ1", redirect_uri="https://r", scopes=[], issuer=ISSUER)
    assert pending.url.startswith("https://e/a?tenant=1&response_type=code&")
    assert "scope" not in parse_qs(urlsplit(pending.url).query)


def test_pending_authorization_restores_from_json_and_hides_verifier_in_repr():
    assert PendingAuthorization.from_json(PENDING.to_json()) == PENDING
    assert PENDING.code_verifier not in repr(PENDING)


def test_announced_issuer_that_is_missing_is_refused():
    """RFC 9207 2.4."""
    pending = attrs.evolve(PENDING, has_issuer=True)
    assert parse_callback(pending, callback(code="c", iss=ISSUER)) == "c"
    for parameters in ({"code": "c"}, {"error": "access_denied"}):
        with pytest.raises(AuthorizationError, match="no iss"):
            parse_callback(pending, callback(**parameters))
    with pytest.raises(AuthorizationError, match="iss does not match"):
        parse_callback(pending, callback(code="c", iss="https://attacker.example"))


def test_request_that_an_earlier_version_has_stored_can_be_restored():
    stored = json.loads(PENDING.to_json())
    del stored["has_issuer"]
    assert PendingAuthorization.from_json(json.dumps(stored)) == PENDING


@pytest.mark.parametrize(
    "url", [callback(code="c"), callback(code="c", iss=ISSUER), "/callback?" + urlsplit(callback(code="c")).query]
)
def test_parse_callback_with_matching_state_returns_code(url):
    assert parse_callback(PENDING, url) == "c"
    assert state_matches(PENDING, url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://app.example/callback?code=c", "state"),
        ("https://app.example/callback?code=c&state=", "state"),
        ("https://app.example/callback?code=c&state=wrong", "state"),
        ("https://app.example/callback?error=access_denied&state=wrong", "state"),
        (callback(code="c") + "&state=" + PENDING.state, "repeats"),
        (callback(code="c") + "&code=d", "repeats"),
        (callback(code="c" * 20_000), "too long"),
        (callback(**{f"x{n}": "y" for n in range(60)}), "repeats"),
        (callback(code="c", iss="https://evil.example"), "iss"),
        (callback(code="c", iss=ISSUER + "/"), "iss"),
        (callback(code="c", iss=""), "iss"),
        (callback(error="access_denied", iss="https://evil.example"), "iss"),
        (callback(), "neither"),
        (callback(code=""), "neither"),
        ("https://[", "repeats"),
        ("", "state"),
    ],
)
def test_parse_callback_with_wrong_or_repeated_parameters_raises(url, message):
    with pytest.raises(AuthorizationError, match=message) as caught:
        parse_callback(PENDING, url)
    assert caught.value.error is None
    assert PENDING.state not in str(caught.value)


def test_parse_callback_with_error_raises_sanitized_message():
    url = callback(
        error="access_denied", error_description=f"\x1b[1m no {PENDING.code_verifier} " + "x" * 5000, code="c"
    )
    with pytest.raises(AuthorizationError, match="access_denied:") as caught:
        parse_callback(PENDING, url)
    assert caught.value.error == "access_denied"
    assert str(caught.value).isprintable()
    assert PENDING.code_verifier not in str(caught.value)
    assert len(str(caught.value)) < 500
