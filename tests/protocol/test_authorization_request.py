from urllib.parse import parse_qs, urlencode, urlsplit

import attrs
import pytest

from twilio_oauth_async import AuthorizationError
from twilio_oauth_async.protocol import pkce
from twilio_oauth_async.protocol.authorization_request import PendingAuthorization, begin, code_of, is_answer_to

ISSUER = "https://iam.twilio.com"
BEGUN = begin(
    "https://oauth.example/authorize",
    client_sid="OQ1",
    redirect_uri="https://app.example/callback",
    scopes=["openid", "email"],
    issuer=ISSUER,
)


# The same in every process that collects these tests.
PENDING = attrs.evolve(BEGUN, state="s" * 43, code_verifier="v" * 43, nonce="n" * 43)


def callback(**parameters):
    return "https://app.example/callback?" + urlencode({"state": PENDING.state, **parameters})


def test_the_url_has_all_that_the_request_needs():
    query = {name: value for name, [value] in parse_qs(urlsplit(BEGUN.url).query).items()}
    assert query == {
        "response_type": "code",
        "client_id": "OQ1",
        "redirect_uri": "https://app.example/callback",
        "scope": "openid email",
        "state": BEGUN.state,
        "nonce": BEGUN.nonce,
        "code_challenge": pkce.challenge(BEGUN.code_verifier),
        "code_challenge_method": "S256",
    }
    assert BEGUN.code_verifier not in BEGUN.url


def test_an_endpoint_with_a_query_keeps_it_and_no_scope_is_no_parameter():
    pending = begin("https://e/a?tenant=1", client_sid="OQ1", redirect_uri="https://r", scopes=[], issuer=ISSUER)
    assert pending.url.startswith("https://e/a?tenant=1&response_type=code&")
    assert "scope" not in parse_qs(urlsplit(pending.url).query)


def test_it_survives_a_web_session_and_shows_no_secret():
    assert PendingAuthorization.from_json(PENDING.to_json()) == PENDING
    assert PENDING.code_verifier not in repr(PENDING)


@pytest.mark.parametrize(
    "url", [callback(code="c"), callback(code="c", iss=ISSUER), "/callback?" + urlsplit(callback(code="c")).query]
)
def test_a_good_callback(url):
    assert code_of(PENDING, url) == "c"
    assert is_answer_to(PENDING, url)


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
def test_a_callback_that_must_not_be_believed(url, message):
    with pytest.raises(AuthorizationError, match=message) as caught:
        code_of(PENDING, url)
    assert caught.value.error is None
    assert PENDING.state not in str(caught.value)


def test_a_refusal_is_told_in_safe_words():
    url = callback(
        error="access_denied", error_description=f"\x1b[1m no {PENDING.code_verifier} " + "x" * 5000, code="c"
    )
    with pytest.raises(AuthorizationError, match="access_denied:") as caught:
        code_of(PENDING, url)
    assert caught.value.error == "access_denied"
    assert str(caught.value).isprintable()
    assert PENDING.code_verifier not in str(caught.value)
    assert len(str(caught.value)) < 500
