"""Create valid and invalid tokens and keys, without code of the package: only with `cryptography`, base64 and JSON."""

import base64
import functools
import hashlib
import json
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from twilio_oauth_async import IdTokenError
from twilio_oauth_async.oidc import id_token_validation as rules
from twilio_oauth_async.oidc.jwa import allowed_algorithms
from twilio_oauth_async.oidc.jwks import PublicKeys
from twilio_oauth_async.oidc.jws import read_compact

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STAMP = int(NOW.timestamp())
ISSUER = "https://iam.twilio.com"
CLIENT = "OQ" + "1" * 32
ACCESS_TOKEN = "acc-canary"
KID = "IC1"
CLAIMS = {
    "iss": ISSUER,
    "sub": "US-canary",
    "aud": CLIENT,
    "azp": CLIENT,
    "iat": STAMP,
    "nbf": STAMP,
    "exp": STAMP + 3600,
    "auth_time": STAMP - 60,
}

_CURVES = {
    "ES256": (ec.SECP256R1, "P-256", 32),
    "ES384": (ec.SECP384R1, "P-384", 48),
    "ES512": (ec.SECP521R1, "P-521", 66),
}
_HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}


def b64(data: bytes | str) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(value: int, size: int | None = None) -> str:
    """Return a number in the encoding of a JWK."""
    return b64(value.to_bytes(size or max(1, (value.bit_length() + 7) // 8), "big"))


@functools.cache
def private_key(algorithm, name):
    """Return a private key of `algorithm`. The same `name` gives the same key during one run."""
    if algorithm in _CURVES:
        return ec.generate_private_key(_CURVES[algorithm][0]())
    return rsa.generate_private_key(65_537, 2048)


def jwk(algorithm="ES256", name="issuer", **members):
    """Return the public key for `private_key(algorithm, name)` as JWK. A member with the value ``...`` is omitted."""
    numbers = private_key(algorithm, name).public_key().public_numbers()
    if algorithm in _CURVES:
        _, crv, size = _CURVES[algorithm]
        key_members = {"kty": "EC", "crv": crv, "x": number(numbers.x, size), "y": number(numbers.y, size)}
    else:
        key_members = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    all_members = {"kid": KID, "alg": algorithm, "use": "sig", "key_ops": []} | key_members | members
    return {name: value for name, value in all_members.items() if value is not ...}


def signature(message: bytes, algorithm="ES256", key=None) -> bytes:
    """Return a signature as in a JWS (RFC 7518 3.3 to 3.5)."""
    key = key or private_key(algorithm, "issuer")
    digest = _HASHES[algorithm[2:]]()
    if algorithm in _CURVES:
        size = _CURVES[algorithm][2]
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    pss = padding.PSS(padding.MGF1(digest), digest.digest_size)
    return key.sign(message, padding.PKCS1v15() if algorithm.startswith("RS") else pss, digest)


def token(claims=CLAIMS, *, algorithm="ES256", header=None, key=None, signed=None, **changes) -> str:
    """Return a compact JWS.

    Args:
        claims: the claims as dict, or the payload as bytes.
        algorithm: the algorithm of the signature, whatever the header names.
        header: members that extend or replace the default ones, or the header as bytes. ``...`` omits a member.
        key: the private key; None: ``private_key(algorithm, "issuer")``.
        signed: the signature to use instead of a real one.
        changes: claims that extend or replace `claims`. ``...`` omits a claim.
    """
    if not isinstance(header, bytes):
        members = {"alg": algorithm, "kid": KID, "typ": "JWT"} | (header or {})
        header = json.dumps({name: value for name, value in members.items() if value is not ...}).encode()
    if not isinstance(claims, bytes):
        claims = json.dumps({name: value for name, value in (claims | changes).items() if value is not ...}).encode()
    message = f"{b64(header)}.{b64(claims)}"
    return f"{message}.{b64(signature(message.encode(), algorithm, key) if signed is None else signed)}"


def at_hash(access_token: str, digest="sha256") -> str:
    """Return the ``at_hash`` of an access token (OpenID Connect Core 3.1.3.6)."""
    whole = hashlib.new(digest, access_token.encode()).digest()
    return b64(whole[: len(whole) // 2])


def check_signature(message, *jwks):
    """Check the signature of a parsed token with the pure functions of the package."""
    keys = PublicKeys(jwks).candidates(message.algorithm, message.kid)
    if not rules.is_signed(message, keys):
        raise rules.signature_error(keys)


def verify(text: str, *jwks, algorithms=("ES256", "RS256"), **options):
    """Validate a token with the pure functions of the package, without the verifier of the client."""
    message = read_compact(text, allowed_algorithms(algorithms))
    rules.check_type(message)
    check_signature(message, *(jwks or (jwk(), jwk("RS256"))))
    arguments = {
        "issuer": ISSUER,
        "client_sid": CLIENT,
        "now": NOW,
        "leeway": rules.MAX_LEEWAY,
        "nonce": None,
        "access_token": None,
    }
    return rules.check_claims(message, **arguments | options)


def rejection(text: str, *jwks, **options) -> IdTokenError:
    """Return the error that `verify` raises, after checking that it is safe to log."""
    with pytest.raises(IdTokenError) as caught:
        verify(text, *jwks, **options)
    assert_safe_to_log(caught.value)
    return caught.value


def assert_safe_to_log(error):
    """Assert that an error contains no secret, no control characters and no other error."""
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = str(error) + repr(vars(error))
    assert "canary" not in shown
    assert str(error).isprintable()
    assert len(str(error)) < 200
