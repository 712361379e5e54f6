"""Whatever becomes of a good token on its way: it never verifies, and nothing but `IdTokenError` comes out.

`TWILIO_OAUTH_FUZZ_EXAMPLES` says how many examples, as for the other fuzz tests.
"""

import base64
import functools
import json
import os

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.helpers.jose import CLAIMS, KID, b64, check_fit_for_a_log, jwk, token, unb64, verify
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
def good(algorithm):
    return token(algorithm=algorithm)


@st.composite
def mutations(draw):
    """A good token with characters changed, put in, taken out, moved or said twice."""
    text = good(draw(BOTH))
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
    # A dot that has come too near is a change; one that has not is none.
    assume(text != original)
    return text


def outcome(call, *args):
    try:
        return call(*args)
    except IdTokenError as error:
        return error


def never_believed(text, *jwks):
    with pytest.raises(IdTokenError) as caught:
        verify(text, *jwks)
    check_fit_for_a_log(caught.value)


@FEW
@given(mutations())
def test_a_changed_token_is_never_believed(text):
    never_believed(text)


@FEW
@given(BOTH, st.integers(0, 10_000), st.integers(1, 255))
def test_a_changed_octet_is_never_believed(algorithm, at, flip):
    """Below the text: one octet of header, claims or signature is another one, well encoded."""
    parts = [bytearray(unb64(part)) for part in good(algorithm).split(".")]
    part = parts[at % 3]
    part[at % len(part)] ^= flip
    never_believed(".".join(b64(bytes(part)) for part in parts))


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
def test_whatever_the_issuer_signs_is_believed_or_refused(header, claims):
    """Signed well, with any header and any claims."""
    text = token({**CLAIMS, **claims}, header=header)
    believed = outcome(verify, text)
    if isinstance(believed, IdTokenError):
        assert believed.__context__ is None
        assert str(believed).isprintable()
        return
    assert isinstance(believed, IdTokenClaims)
    assert (believed.iss, believed.sub) == (CLAIMS["iss"], claims.get("sub", CLAIMS["sub"]))
    assert CLAIMS["aud"] in believed.aud
    assert header.get("alg", "ES256") == "ES256"
    assert "crit" not in header


@FEW
@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_payload_is_read_or_refused(payload):
    read = outcome(read_claims, payload)
    assert isinstance(read, IdTokenClaims) or read.__context__ is None


JWK_NAMES = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d", "use", "key_ops", "alg", "kid", "x5c", "k"])
JWK_VALUES = (
    JSON
    | st.sampled_from(["EC", "RSA", "oct", "P-256", "sig", "AQAB", "AQ", ["verify"], []])
    | st.binary(max_size=300).map(b64)
)


@FEW
@given(BOTH, st.lists(st.dictionaries(JWK_NAMES, JWK_VALUES, max_size=5), max_size=4))
def test_any_key_set_is_read_and_believes_nobody_else(algorithm, changes):
    jwks = [{**jwk(algorithm, name="stranger"), **change} for change in changes] or [{}]
    keys = PublicKeys(jwks)
    for kid in (KID, None):
        keys.fitting(ALGORITHMS[algorithm], kid)
    never_believed(good(algorithm), *jwks)


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
def test_a_megabyte_of_anything_is_read_in_one_go(piece):
    """What takes time in the square of its length would not come to an end here."""
    for start in (b"", b'{"sub":"', b'{"sub":', b"["):
        with pytest.raises(IdTokenError):
            read_claims(start + piece * ((1 << 20) // len(piece)))


@pytest.mark.parametrize("size", [MAX_LENGTH, 1 << 20])
@pytest.mark.parametrize("piece", ["A", ".", "A.", "=", "eyJ", " ", "ü", "-_", "[", "\0"])
def test_a_megabyte_of_token(size, piece):
    text = (piece * size)[:size]
    for start in ("", good("ES256"), good("ES256").rpartition(".")[0] + "."):
        never_believed(start + text)
        never_believed((start + text)[:MAX_LENGTH])


def test_a_megabyte_of_key():
    huge = base64.urlsafe_b64encode(b"\xff" * (1 << 20)).decode()
    for name in ("n", "e", "x", "y"):
        algorithm = "ES256" if name in "xy" else "RS256"
        never_believed(good(algorithm), jwk(algorithm, **{name: huge}))


def test_these_can_fail():
    """The good ones are believed, so that what is refused above is refused for its change."""
    for algorithm in ("ES256", "RS256"):
        assert verify(good(algorithm)).sub == CLAIMS["sub"]
        assert verify(good(algorithm), jwk(algorithm)).sub == CLAIMS["sub"]
