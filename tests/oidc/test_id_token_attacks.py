"""The public attacks on JOSE, each against a verifier that trusts one ES256 and one RS256 key (rules 24 to 26)."""

import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.helpers.jose import CLAIMS, b64, jwk, private_key, refusal, signature, token, unb64, verify
from twilio_oauth_async import IdTokenError
from twilio_oauth_async.oidc.id_token import check_signature
from twilio_oauth_async.oidc.jwa import ALGORITHMS
from twilio_oauth_async.oidc.jwk import import_public_key
from twilio_oauth_async.oidc.jws import read_compact

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256: FIPS 186-4 D.1.2.3


def public_keys_as_secrets():
    """Every form in which a public key may lie about."""
    for algorithm in ("ES256", "RS256"):
        key = private_key(algorithm, "ours").public_key()
        yield key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        yield key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip()
        yield key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        yield json.dumps(jwk(algorithm)).encode()
        yield unb64(jwk(algorithm)["n" if algorithm == "RS256" else "x"])
    yield key.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    yield b""


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
@pytest.mark.parametrize("index", range(12))
def test_the_public_key_as_the_secret_of_an_hmac(index, digest):
    """RFC 8725 2.1. With the name of the real algorithm as well: then the bytes are no signature of that."""
    secret = list(public_keys_as_secrets())[index]
    for alg in (f"HS{digest[3:]}", "ES256", "RS256"):
        unsigned = token(header={"alg": alg}, signed=b"")[:-1]
        text = f"{unsigned}.{b64(hmac.digest(secret, unsigned.encode(), digest))}"
        assert refusal(text).claim == ("alg" if alg.startswith("HS") else None)


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
def test_psychic_signatures(r, s):
    """CVE-2022-21449: a verifier that does not look at their range takes zeros for a signature of anything."""
    assert "signature" in str(refusal(token(signed=r.to_bytes(32, "big") + s.to_bytes(32, "big"))))


def test_a_signature_out_of_range():
    """s + n is s: where it fits into the octets, a verifier must not reduce it."""
    text = token()
    raw = unb64(text.rpartition(".")[2])
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    for low in ((r + ORDER, s), (r, s + ORDER)):
        if max(low) < 2**256:
            refusal(text.rpartition(".")[0] + "." + b64(b"".join(part.to_bytes(32, "big") for part in low)))


def other_forms_of_an_ecdsa_signature(raw):
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
def test_an_ecdsa_signature_in_another_form(index):
    """RFC 7518 3.4: r and s side by side, in 32 octets each, and nothing else."""
    head, _, last = token().rpartition(".")
    verify(f"{head}.{last}")
    form = list(other_forms_of_an_ecdsa_signature(unb64(last)))[index]
    assert "signature" in str(refusal(f"{head}.{b64(form)}"))


@pytest.mark.parametrize(
    "change", [lambda s: s[1:], lambda s: b"\0" + s, lambda s: s + b"\0", lambda s: bytes(256), lambda s: b""]
)
def test_an_rsa_signature_in_another_form(change):
    head, _, last = token(algorithm="RS256").rpartition(".")
    assert "signature" in str(refusal(f"{head}.{b64(change(unb64(last)))}"))


@pytest.mark.parametrize("padded", ["RS256", "PS256"])
def test_one_padding_for_the_other(padded):
    """RFC 8017: PKCS #1 v1.5 and PSS by one key are two algorithms, and a key says which of them it is for."""
    other = {"RS256": "PS256", "PS256": "RS256"}[padded]
    ours, both = private_key("RS256", "ours"), ["RS256", "PS256"]
    for_either, for_one = jwk("RS256", alg=...), jwk("RS256")
    assert verify(token(algorithm=padded, key=ours), for_either, algorithms=both).sub
    confused = token(header={"alg": padded}, algorithm=other, key=ours)
    assert "signature" in str(refusal(confused, for_either, algorithms=both))
    refusal(token(algorithm="PS256", key=ours), for_one, algorithms=both)
    with pytest.raises(IdTokenError, match="signature"):
        # Whatever way a key was found by: it verifies what it is for.
        check_signature(read_compact(confused, ALGORITHMS), [import_public_key(for_either, ALGORITHMS[other])])


@pytest.mark.parametrize(
    ("named", "real"), [("ES256", "RS256"), ("RS256", "ES256"), ("ES256", "ES384"), ("ES256", "ES512")]
)
def test_the_name_of_another_algorithm(named, real):
    refusal(token(header={"alg": named}, algorithm=real))
    refusal(token(header={"alg": named}, algorithm=real), jwk(real, alg=...), jwk())


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
def test_a_key_id_is_a_name_and_nothing_else(kid):
    """Signed with what such a key id leads to elsewhere: nothing, an empty file, a stranger's key."""
    assert refusal(token(header={"kid": kid}, signed=b"")).claim is None
    assert refusal(token(header={"kid": kid}, key=private_key("ES256", "stranger"))).claim is None
    empty = token(header={"kid": kid, "alg": "HS256"}, signed=b"")[:-1]
    assert refusal(f"{empty}.{b64(hmac.digest(b'', empty.encode(), hashlib.sha256))}").claim == "alg"
    # And it is one: a key that really has this name is found by it.
    assert verify(token(header={"kid": kid}), jwk(kid=kid)).sub == "US-canary"


def test_the_signature_of_another_token():
    one, other = token(), token(sub="US-other-canary")
    for first, second in ((one, other), (other, one)):
        assert "signature" in str(refusal(first.rpartition(".")[0] + "." + second.rpartition(".")[2]))


def test_the_header_of_another_token():
    """The header is signed as well."""
    head, payload, last = token().split(".")
    for header in ({"alg": "ES256", "kid": "IC1"}, {"alg": "ES256", "kid": "IC1", "typ": "JWT", "x": 1}):
        assert "signature" in str(refusal(f"{b64(json.dumps(header))}.{payload}.{last}"))
    assert verify(f"{head}.{payload}.{last}").sub == "US-canary"


def test_a_dot_moved():
    """The parts are signed with the dot between them."""
    head, payload, last = token().split(".")
    refusal(f"{head}{payload[:4]}.{payload[4:]}.{last}")
    refusal(f"{head[:-4]}.{head[-4:]}{payload}.{last}")


def test_a_json_form_with_a_good_compact_token_inside():
    """CVE-2022-29217 and its like: one parser sees the compact form, the other one the JSON form."""
    head, payload, last = token().split(".")
    evil = b64(json.dumps({**CLAIMS, "sub": "US-evil-canary"}))
    refusal(json.dumps({"protected": head, "payload": payload, "signature": last}))
    refusal('{"a":"' + f"{head}.{evil}.{last}" + '"}')
    refusal(f'{{"{head}.{payload}.{last}":"","payload":"{evil}"}}')


def test_an_encrypted_token_with_the_public_key():
    """RFC 8725 2.3 and CVE-2024-33663: everybody can encrypt to a public key; that proves nothing."""
    header = b64(json.dumps({"alg": "RSA-OAEP", "enc": "A128GCM", "zip": "DEF", "cty": "JWT"}))
    assert refusal(f"{header}.{b64(b'canary' * 40)}.{b64(bytes(12))}.{b64(token())}.{b64(bytes(16))}").claim is None
    assert refusal(f"{header}.{b64(token())}.").claim == "alg"


def test_a_token_inside_of_a_token():
    inner = token().encode()
    assert refusal(token(inner, header={"cty": "JWT"})).claim is None
    assert signature(inner) != b""
