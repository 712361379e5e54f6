"""Known attacks on JOSE, against a verifier that trusts one ES256 and one RS256 key.

Rules 24 to 26, docs/reliability.md.
"""

import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.helpers.jose import CLAIMS, b64, jwk, private_key, rejection, signature, token, unb64, verify
from twilio_oauth_async.oidc.id_token_validation import is_signed
from twilio_oauth_async.oidc.jwa import ALGORITHMS
from twilio_oauth_async.oidc.jwk import import_public_key
from twilio_oauth_async.oidc.jws import read_compact

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256: FIPS 186-4 D.1.2.3


def public_keys_as_secrets():
    """Yield every encoding of a public key that an attacker may find."""
    for algorithm in ("ES256", "RS256"):
        key = private_key(algorithm, "issuer").public_key()
        yield key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        yield key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip()
        yield key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        yield json.dumps(jwk(algorithm)).encode()
        yield unb64(jwk(algorithm)["n" if algorithm == "RS256" else "x"])
    yield key.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    yield b""


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("index", range(12))
def test_hmac_with_public_key_as_secret_is_rejected(index, digest):
    """RFC 8725 2.1, CVE-2016-10555, CVE-2022-29217, CVE-2024-33663. Also if the header names the real algorithm."""
    secret = list(public_keys_as_secrets())[index]
    for alg in (f"HS{digest[3:]}", "ES256", "RS256"):
        unsigned = token(header={"alg": alg}, signed=b"")[:-1]
        text = f"{unsigned}.{b64(hmac.digest(secret, unsigned.encode(), digest))}"
        assert rejection(text).claim == ("alg" if alg.startswith("HS") else None)


@pytest.mark.parametrize(
    ("r", "s"),
    [
        (0, 0),
        (0, 1),
        (1, 0),
        (ORDER, ORDER),
        (ORDER, 0),
        (0, ORDER),
        (ORDER, 1),
        (1, ORDER),
        (1, 1),
        (2**256 - 1, 2**256 - 1),
    ],
)
def test_ecdsa_zero_signature_is_rejected(r, s):
    """CVE-2022-21449: a verifier that does not check the range of r and s accepts zeros for any message."""
    assert "signature" in str(rejection(token(signed=r.to_bytes(32, "big") + s.to_bytes(32, "big"))))


def test_ecdsa_signature_with_r_or_s_above_the_order_is_rejected():
    """s + n equals s modulo n. If s + n fits into the octets, a verifier must not reduce it."""
    text = token()
    raw = unb64(text.rpartition(".")[2])
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    for pair in ((r + ORDER, s), (r, s + ORDER)):
        if max(pair) < 2**256:
            rejection(text.rpartition(".")[0] + "." + b64(b"".join(part.to_bytes(32, "big") for part in pair)))


def other_encodings_of_an_ecdsa_signature(raw):
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    yield encode_dss_signature(r, s)
    yield raw[:-1]
    yield raw + b"\0"
    yield b"\0" + raw
    yield b"\0" + raw[:32] + b"\0" + raw[32:]
    yield raw[32:] + raw[:32]
    yield raw[:32][::-1] + raw[32:][::-1]
    yield raw[:32]
    yield raw + raw
    yield b""


@pytest.mark.parametrize("index", range(10))
def test_ecdsa_signature_in_other_encoding_is_rejected(index):
    """RFC 7518 3.4: the only encoding is r and s concatenated, with 32 octets each."""
    head, _, last = token().rpartition(".")
    verify(f"{head}.{last}")
    encoding = list(other_encodings_of_an_ecdsa_signature(unb64(last)))[index]
    assert "signature" in str(rejection(f"{head}.{b64(encoding)}"))


@pytest.mark.parametrize(
    "change", [lambda s: s[1:], lambda s: b"\0" + s, lambda s: s + b"\0", lambda s: bytes(256), lambda s: b""]
)
def test_rsa_signature_of_other_length_or_content_is_rejected(change):
    head, _, last = token(algorithm="RS256").rpartition(".")
    assert "signature" in str(rejection(f"{head}.{b64(change(unb64(last)))}"))


@pytest.mark.parametrize("algorithm", ["RS256", "PS256"])
def test_rsa_signature_with_other_padding_is_rejected(algorithm):
    """RFC 8017: PKCS #1 v1.5 and PSS with the same key are two algorithms. A key is for one of them."""
    other = {"RS256": "PS256", "PS256": "RS256"}[algorithm]
    key, both = private_key("RS256", "issuer"), ["RS256", "PS256"]
    for_either, for_one = jwk("RS256", alg=...), jwk("RS256")
    assert verify(token(algorithm=algorithm, key=key), for_either, algorithms=both).sub
    confused = token(header={"alg": algorithm}, algorithm=other, key=key)
    assert "signature" in str(rejection(confused, for_either, algorithms=both))
    rejection(token(algorithm="PS256", key=key), for_one, algorithms=both)
    # A key verifies only its own algorithm, however it was selected.
    assert not is_signed(read_compact(confused, ALGORITHMS), [import_public_key(for_either, ALGORITHMS[other])])


@pytest.mark.parametrize(
    ("named", "real"), [("ES256", "RS256"), ("RS256", "ES256"), ("ES256", "ES384"), ("ES256", "ES512")]
)
def test_header_that_names_another_algorithm_is_rejected(named, real):
    rejection(token(header={"alg": named}, algorithm=real))
    rejection(token(header={"alg": named}, algorithm=real), jwk(real, alg=...), jwk())


@pytest.mark.parametrize(
    "kid",
    [
        "../../../../../../dev/null",
        "/proc/sys/kernel/randomize_va_space",
        "..\\..\\windows\\win.ini",
        "file:///dev/null",
        "https://canary.example/key.pem",
        "IC1' UNION SELECT 'canary' -- ",
        "IC1|/usr/bin/id",
        "$(id)",
        "`id`",
        "{{7*7}}",
        "%n%n%s",
        "IC1\0",
        "\0",
        "\r\nX-Canary: 1",
        "*",
        "",
        "__class__",
        "toString",
        "x" * 40_000,
    ],
)
def test_kid_with_path_url_or_injection_is_compared_as_text_only(kid):
    """The signatures are those that other software accepts for such a kid: none, by an empty key, by a foreign key."""
    assert rejection(token(header={"kid": kid}, signed=b"")).claim is None
    assert rejection(token(header={"kid": kid}, key=private_key("ES256", "attacker"))).claim is None
    empty = token(header={"kid": kid, "alg": "HS256"}, signed=b"")[:-1]
    assert rejection(f"{empty}.{b64(hmac.digest(b'', empty.encode(), hashlib.sha256))}").claim == "alg"
    # A key with this key id is found by it.
    assert verify(token(header={"kid": kid}), jwk(kid=kid)).sub == "US-canary"


def test_signature_of_another_token_is_rejected():
    one, other = token(), token(sub="US-other-canary")
    for first, second in ((one, other), (other, one)):
        assert "signature" in str(rejection(first.rpartition(".")[0] + "." + second.rpartition(".")[2]))


def test_replaced_header_is_rejected():
    """The signature covers the header, too."""
    head, payload, last = token().split(".")
    for header in ({"alg": "ES256", "kid": "IC1"}, {"alg": "ES256", "kid": "IC1", "typ": "JWT", "x": 1}):
        assert "signature" in str(rejection(f"{b64(json.dumps(header))}.{payload}.{last}"))
    assert verify(f"{head}.{payload}.{last}").sub == "US-canary"


def test_moved_dot_is_rejected():
    """The signature covers the dot between header and payload."""
    head, payload, last = token().split(".")
    rejection(f"{head}{payload[:4]}.{payload[4:]}.{last}")
    rejection(f"{head[:-4]}.{head[-4:]}{payload}.{last}")


def test_json_serialization_with_valid_compact_token_inside_is_rejected():
    """CVE-2022-39227: one parser sees the compact form, another one the JSON serialization."""
    head, payload, last = token().split(".")
    forged = b64(json.dumps({**CLAIMS, "sub": "US-forged-canary"}))
    rejection(json.dumps({"protected": head, "payload": payload, "signature": last}))
    rejection('{"a":"' + f"{head}.{forged}.{last}" + '"}')
    rejection(f'{{"{head}.{payload}.{last}":"","payload":"{forged}"}}')


def test_encrypted_token_is_rejected():
    """RFC 8725 2.3 and CVE-2022-3102: encryption with a public key proves nothing about the sender."""
    header = b64(json.dumps({"alg": "RSA-OAEP", "enc": "A128GCM", "zip": "DEF", "cty": "JWT"}))
    assert rejection(f"{header}.{b64(b'canary' * 40)}.{b64(bytes(12))}.{b64(token())}.{b64(bytes(16))}").claim is None
    assert rejection(f"{header}.{b64(token())}.").claim == "alg"


def test_nested_token_is_rejected():
    inner = token().encode()
    assert rejection(token(inner, header={"cty": "JWT"})).claim is None
    assert signature(inner) != b""
