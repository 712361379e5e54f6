"""Fuzz tests: a changed token is never accepted, and the only exception is `IdTokenError`.

`TWILIO_OAUTH_FUZZ_EXAMPLES` sets the number of examples, as for the other fuzz tests.
"""

import base64
import functools
import json
import os

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.helpers.jose import CLAIMS, KID, assert_safe_to_log, b64, jwk, token, unb64, verify
from twilio_oauth_async import IdTokenClaims, IdTokenError
from twilio_oauth_async.oidc.claims import read_claims
from twilio_oauth_async.oidc.jwa import ALGORITHMS
from twilio_oauth_async.oidc.jwks import PublicKeys
from twilio_oauth_async.oidc.jws import MAX_LENGTH

EXAMPLES = int(os.environ.get("TWILIO_OAUTH_FUZZ_EXAMPLES", "10000" if os.environ.get("CI") else "1000"))
FEW = settings(max_examples=max(EXAMPLES // 5, 100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
BOTH = st.sampled_from(["ES256", "RS256"])
CHARACTERS = st.characters() | st.sampled_from(".=-_+/ \n\0{}\"'")


@functools.cache
def valid_token(algorithm):
    return token(algorithm=algorithm)


@st.composite
def mutations(draw):
    """A valid token with characters replaced, inserted, removed, moved or repeated."""
    text = valid_token(draw(BOTH))
    original = text
    for _ in range(draw(st.integers(1, 3))):
        at, to = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        text = draw(
            st.sampled_from(
                [
                    text[:at] + text[at + 1 :],
                    text[:at] + text[to:],
                    text[:to] + text[at:],
                    text[to:] + text[:at],
                    text[:at] + text[at:to][::-1] + text[to:],
                    text[:at] + text[at:to].swapcase() + text[to:],
                ]
            )
            | st.text(CHARACTERS, max_size=4).map(lambda new, text=text, at=at: text[:at] + new + text[at + 1 :])
        )
    # Some mutations can restore the original text.
    assume(text != original)
    return text


def result_or_error(call, *args):
    try:
        return call(*args)
    except IdTokenError as error:
        return error


def assert_rejected(text, *jwks):
    with pytest.raises(IdTokenError) as caught:
        verify(text, *jwks)
    assert_safe_to_log(caught.value)


@FEW
@given(mutations())
def test_changed_token_is_rejected(text):
    assert_rejected(text)


@FEW
@given(BOTH, st.integers(0, 10_000), st.integers(1, 255))
def test_changed_octet_is_rejected(algorithm, at, flip):
    """One octet of header, claims or signature is changed before the encoding."""
    parts = [bytearray(unb64(part)) for part in valid_token(algorithm).split(".")]
    part = parts[at % 3]
    part[at % len(part)] ^= flip
    assert_rejected(".".join(b64(bytes(part)) for part in parts))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([CLAIMS["iss"], CLAIMS["aud"], CLAIMS["exp"], KID, "ES256", "none", "JWT", 1e300, -1, 2**200]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
CLAIM_NAMES = st.sampled_from([*CLAIMS, "nonce", "at_hash", "acr", "amr", "name", "email", "email_verified", "extra"])
HEADER_NAMES = st.sampled_from(["alg", "kid", "typ", "cty", "crit", "b64", "jku", "jwk", "x5u", "x5c", "enc", "zip"])


@FEW
@given(
    st.dictionaries(HEADER_NAMES, JSON, max_size=4),
    st.dictionaries(CLAIM_NAMES | st.text(max_size=4), JSON, max_size=4),
)
def test_signed_token_with_any_header_and_claims_is_accepted_or_rejected(header, claims):
    """The signature is valid."""
    text = token({**CLAIMS, **claims}, header=header)
    result = result_or_error(verify, text)
    if isinstance(result, IdTokenError):
        assert result.__context__ is None
        assert str(result).isprintable()
        return
    assert isinstance(result, IdTokenClaims)
    assert (result.iss, result.sub) == (CLAIMS["iss"], claims.get("sub", CLAIMS["sub"]))
    assert CLAIMS["aud"] in result.aud
    assert header.get("alg", "ES256") == "ES256"
    assert "crit" not in header


@FEW
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_read_claims_of_any_payload_returns_claims_or_raises(payload):
    result = result_or_error(read_claims, payload)
    assert isinstance(result, IdTokenClaims) or result.__context__ is None


JWK_NAMES = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d", "use", "key_ops", "alg", "kid", "x5c", "k"])
JWK_VALUES = (
    JSON
    | st.sampled_from(["EC", "RSA", "oct", "P-256", "sig", "AQAB", "AQ", ["verify"], []])
    | st.binary(max_size=300).map(b64)
)


@FEW
@given(BOTH, st.lists(st.dictionaries(JWK_NAMES, JWK_VALUES, max_size=5), max_size=4))
def test_any_key_set_without_the_key_rejects_the_token(algorithm, changes):
    jwks = [{**jwk(algorithm, name="attacker"), **change} for change in changes] or [{}]
    keys = PublicKeys(jwks)
    for kid in (KID, None):
        keys.candidates(ALGORITHMS[algorithm], kid)
    assert_rejected(valid_token(algorithm), *jwks)


@pytest.mark.parametrize(
    "piece",
    [
        b"[",
        b'{"a":',
        b'{"a":1,',
        b'"',
        b'\\"',
        b'"\\',
        b"\\u0000",
        b"9",
        b"9,",
        b"-",
        b"1e5",
        b" ",
        b"\xc3",
        b"[],",
        b'"a",',
    ],
)
def test_read_claims_of_a_megabyte_takes_linear_time(piece):
    """With quadratic time this test would not finish."""
    for start in (b"", b'{"sub":"', b'{"sub":', b"["):
        with pytest.raises(IdTokenError):
            read_claims(start + piece * ((1 << 20) // len(piece)))


@pytest.mark.parametrize("size", [MAX_LENGTH, 1 << 20])
@pytest.mark.parametrize("piece", ["A", ".", "A.", "=", "eyJ", " ", "ü", "-_", "[", "\0"])
def test_megabyte_of_token_is_rejected(size, piece):
    text = (piece * size)[:size]
    for start in ("", valid_token("ES256"), valid_token("ES256").rpartition(".")[0] + "."):
        assert_rejected(start + text)
        assert_rejected((start + text)[:MAX_LENGTH])


def test_megabyte_of_key_is_ignored():
    huge = base64.urlsafe_b64encode(b"\xff" * (1 << 20)).decode()
    for name in ("n", "e", "x", "y"):
        algorithm = "ES256" if name in "xy" else "RS256"
        assert_rejected(valid_token(algorithm), jwk(algorithm, **{name: huge}))


def test_unchanged_token_is_accepted():
    """So the tokens above are rejected because of their changes."""
    for algorithm in ("ES256", "RS256"):
        assert verify(valid_token(algorithm)).sub == CLAIMS["sub"]
        assert verify(valid_token(algorithm), jwk(algorithm)).sub == CLAIMS["sub"]
