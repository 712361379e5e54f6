"""Unverified claims can only reject an ID token."""

import pytest

from tests.helpers.jose import CLAIMS, CLIENT, ISSUER, assert_safe_to_log, b64, token
from twilio_oauth_async import IdTokenError
from twilio_oauth_async.oidc.unverified_claims import check_not_foreign, check_unchanged, read_unverified

OTHER = "OQ" + "2" * 32


def read(**changes):
    return read_unverified(token(**changes))


def unchanged(claims, previous=CLAIMS):
    """Return the name of the claim that differs; None if there is none."""
    try:
        check_unchanged(claims, previous, client_sid=CLIENT)
    except IdTokenError as error:
        assert_safe_to_log(error)
        return error.claim
    return None


def foreign(claims):
    """Return the name of the claim that is wrong; None if there is none."""
    try:
        check_not_foreign(claims, issuer=ISSUER, client_sid=CLIENT)
    except IdTokenError as error:
        assert_safe_to_log(error)
        return error.claim
    return None


@pytest.mark.parametrize("header", [{}, {"alg": "none"}, {"alg": "HS256"}, {"crit": ["x"]}, b"no JSON"])
def test_read_unverified_returns_the_claims_whatever_the_header(header):
    assert read(header=header) == CLAIMS


def test_read_unverified_requires_no_claim_and_omits_null():
    assert read(sub=None, exp=...) == {name: value for name, value in CLAIMS.items() if name not in {"sub", "exp"}}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "opaque",
        "a.b",
        "a.é.c",
        f"a.{b64('{}')}.c.d.e",
        f"a.{b64('{}')}==.c",
        f"a.{b64('[]')}.c",
        f"a.{b64('no JSON')}.c",
        "a." + b64('{"sub": "a", "sub": "b"}') + ".c",
    ],
)
def test_read_unverified_of_unreadable_token_is_empty(text):
    assert read_unverified(text) == {}


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({}, None),
        ({"sub": "US-other-canary"}, "sub"),
        ({"sub": 5}, "sub"),
        ({"iss": ISSUER + "/"}, "iss"),
        ({"aud": OTHER}, "aud"),
        ({"aud": [CLIENT, OTHER]}, None),
        ({"aud": []}, "aud"),
        ({"aud": {}}, "aud"),
        ({"azp": OTHER}, "azp"),
        ({"aud": [CLIENT]}, None),
        ({"azp": ...}, None),
        ({"sub": ...}, None),
        ({"exp": 0, "iat": 0, "nonce": "other", "auth_time": 1}, None),
    ],
)
def test_check_unchanged_rejects_other_user_issuer_and_client(changes, claim):
    assert unchanged(read(**changes)) == claim


def test_check_unchanged_compares_no_claim_that_the_previous_token_does_not_have():
    assert unchanged(CLAIMS, {}) is None


@pytest.mark.parametrize(("azp", "claim"), [(CLIENT, None), (OTHER, "azp"), (5, "azp"), ([], "azp")])
def test_57_check_unchanged_compares_an_azp_that_is_new_with_the_client(azp, claim):
    """OpenID Connect Core 12.2. The client itself is not another client: `check_refreshed` rejects that azp."""
    assert unchanged(read(azp=azp), read(azp=...)) == claim


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({}, None),
        ({"sub": "US-other-canary"}, None),
        ({"iss": ISSUER + "/"}, "iss"),
        ({"iss": [ISSUER]}, "iss"),
        ({"aud": OTHER}, "aud"),
        ({"aud": [OTHER, CLIENT]}, None),
        ({"azp": OTHER}, "azp"),
        ({"iss": ..., "aud": ..., "azp": ...}, None),
    ],
)
def test_check_not_foreign_rejects_other_issuer_and_client(changes, claim):
    assert foreign(read(**changes)) == claim
