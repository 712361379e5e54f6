"""Which keys are used (rule 26, and the key set's part of fault 31)."""

import hashlib
import json
import logging

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.helpers.jose import b64, jwk, number, private_key, refusal, token, verify
from twilio_oauth_async.oidc import jwks
from twilio_oauth_async.oidc.jwa import ALGORITHMS
from twilio_oauth_async.oidc.jwk import MAX_RSA_BITS, MIN_RSA_BITS, import_public_key
from twilio_oauth_async.oidc.jwks import MAX_CANDIDATES, MAX_KEYS, PublicKeys
from twilio_oauth_async.protocol.codec import Malformed

ES256, RS256 = ALGORITHMS["ES256"], ALGORITHMS["RS256"]
P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1


def ours(algorithm):
    return private_key(algorithm, "ours").public_key().public_numbers()


def why_not(algorithm=ES256, **members):
    with pytest.raises(Malformed) as caught:
        import_public_key(jwk(algorithm.name, **members), algorithm)
    assert caught.value.__context__ is None
    return str(caught.value)


class TestWeakAndOddKeys:
    """Rule 26."""

    @pytest.mark.parametrize("bits", [512, 1024, MIN_RSA_BITS - 1, MAX_RSA_BITS + 1, 16_384])
    def test_rsa_of_another_size(self, bits):
        assert why_not(RS256, n=number(2 ** (bits - 1) + 1)).startswith("n: ")

    @pytest.mark.parametrize("bits", [MIN_RSA_BITS, 3072, 4096, MAX_RSA_BITS])
    def test_rsa_of_a_good_size(self, bits):
        import_public_key(jwk("RS256", n=number(2 ** (bits - 1) + 1)), RS256)

    def test_a_weak_key_signs_nothing(self):
        weak = rsa.generate_private_key(65_537, 1024)
        text = token(algorithm="RS256", key=weak)
        assert "signature" in str(refusal(text, jwk("RS256", n=number(weak.public_key().public_numbers().n))))

    def test_zero_octets_in_front_do_not_make_a_key_longer(self):
        """RFC 7518 6.3.1.1 knows of libraries that put one there."""
        assert verify(token(algorithm="RS256"), jwk("RS256", n=number(ours("RS256").n, 257), e=number(65_537, 4))).sub
        assert why_not(RS256, n=number(2**1023 + 1, 256)).startswith("n: ")

    @pytest.mark.parametrize(
        "exponent", [0, 1, 2, 3, 17, 65_535, 65_536, 65_538, 2**32, 2**32 + 1, 2**64 + 1, 2**2047 + 1]
    )
    def test_rsa_exponents(self, exponent):
        assert why_not(RS256, e=number(exponent)).startswith("e: ")

    @pytest.mark.parametrize("exponent", [65_537, 2**31 + 1, 2**32 - 1])
    def test_rsa_exponents_that_may_be(self, exponent):
        import_public_key(jwk("RS256", e=number(exponent)), RS256)

    def test_an_exponent_of_one_signs_nothing(self):
        """With e = 1 the signature is the padded hash itself, so that everybody can make one."""
        digest = bytes.fromhex("3031300d060960864801650304020105000420")
        text = token(algorithm="RS256", signed=b"")
        block = digest + hashlib.sha256(text[:-1].encode()).digest()
        block = b"\0\1" + b"\xff" * (256 - 3 - len(block)) + b"\0" + block
        assert "signature" in str(refusal(text + b64(block), jwk("RS256", e=number(1))))

    def test_an_even_modulus(self):
        assert why_not(RS256, n=number(ours("RS256").n + 1)).startswith("n: ")

    @pytest.mark.parametrize(
        "change",
        [
            lambda x, y: (x, y ^ 1),
            lambda x, y: (x ^ 1, y),
            lambda x, y: (y, x),
            lambda x, y: (0, 0),
            lambda x, y: (0, y),
            lambda x, y: (P256, y),
            lambda x, y: (x, P256),
            lambda x, y: (P256 - 1, P256 - 1),
            lambda x, y: (2**256 - 1, 2**256 - 1),
        ],
    )
    def test_a_point_that_is_not_on_the_curve(self, change):
        x, y = change(ours("ES256").x, ours("ES256").y)
        assert why_not(x=number(x, 32), y=number(y, 32)) == "x, y: not a point on the curve"

    @pytest.mark.parametrize("size", [31, 33, 64])
    def test_coordinates_of_another_length(self, size):
        """RFC 7518 6.2.1.2."""
        assert why_not(x=b64(bytes(size)), y=number(ours("ES256").y, 32)) == "x, y: not of the curve's size"
        assert why_not(x=number(ours("ES256").x, 32), y=b64(bytes(size))) == "x, y: not of the curve's size"

    @pytest.mark.parametrize("crv", ["P-384", "P-521", "secp256k1", "p-256", "Ed25519", "", None, ..., 256, ["P-256"]])
    def test_another_curve(self, crv):
        assert why_not(crv=crv).startswith("crv: ")

    @pytest.mark.parametrize("kty", ["oct", "OKP", "RSA", "ec", "AKP", "", None, ..., 5, ["EC"]])
    def test_another_type(self, kty):
        assert why_not(kty=kty).startswith("kty: ")

    def test_a_symmetric_key_is_never_used(self):
        secret = b"canary" * 8
        for name in ("HS256", "ES256"):
            key = {"kty": "oct", "k": b64(secret), "kid": "IC1", "alg": name}
            refusal(token(header={"alg": name}, signed=secret), key)

    @pytest.mark.parametrize("name", ["x", "y", "n", "e"])
    @pytest.mark.parametrize(
        "value", [..., None, "", 5, ["AQAB"], "AQAB=", "AQ AB", "+QAB", "A", "AQ\n", "ü", "A" * 100_000]
    )
    def test_numbers_that_are_none(self, name, value):
        why_not(ES256 if name in "xy" else RS256, **{name: value})

    @pytest.mark.parametrize("name", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
    @pytest.mark.parametrize("algorithm", [ES256, RS256], ids=["EC", "RSA"])
    def test_a_private_key_that_was_published_is_everybody_s(self, algorithm, name):
        assert why_not(algorithm, **{name: "canary"}) == "a private key"


class TestPurpose:
    """RFC 7517 4.2 to 4.4."""

    @pytest.mark.parametrize("members", [
        {"use": "enc"}, {"use": ""}, {"use": ["sig"]}, {"use": 5},
        {"key_ops": ["sign"]}, {"key_ops": ["encrypt", "decrypt"]}, {"key_ops": "verify"}, {"key_ops": {"verify": 1}},
        {"key_ops": 5}, {"key_ops": [["verify"]]},
        {"alg": "ES384"}, {"alg": "RS256"}, {"alg": "none"}, {"alg": "es256"}, {"alg": ""}, {"alg": ["ES256"]},
    ])  # fmt: skip
    def test_keys_for_something_else(self, members):
        assert why_not(**members).startswith(f"{next(iter(members))}: ")

    @pytest.mark.parametrize("members", [
        {"use": ...}, {"use": None}, {"use": "sig"},
        {"key_ops": ...}, {"key_ops": None}, {"key_ops": []}, {"key_ops": ["verify"]}, {"key_ops": ["sign", "verify"]},
        {"alg": ...}, {"alg": None}, {"alg": "ECDSA"},
        {"x5c": ["canary"], "x5u": "https://canary.example", "x5t": 5, "ext": True, "iat": 1},
    ])  # fmt: skip
    def test_keys_that_say_little_or_enough(self, members):
        assert verify(token(), jwk(**members)).sub == "US-canary"

    def test_the_other_name_of_rs256(self):
        assert verify(token(algorithm="RS256"), jwk("RS256", alg="RSA256")).sub == "US-canary"


class TestChoice:
    def test_all_keys_of_one_id_are_tried(self):
        strangers = [jwk(name=f"stranger {number}") for number in range(3)]
        assert verify(token(), *strangers, jwk()).sub == "US-canary"
        assert verify(token(), jwk(), *strangers).sub == "US-canary"
        assert "signature" in str(refusal(token(), *strangers))

    def test_one_id_for_keys_of_different_kinds(self):
        keys = (jwk("RS256"), jwk("ES384"), {"kty": "AKP", "kid": "IC1", "alg": "ML-DSA-44", "pub": "x"}, jwk())
        for algorithm in ("ES256", "RS256"):
            assert verify(token(algorithm=algorithm), *keys).sub == "US-canary"

    def test_not_more_keys_than_is_sensible(self):
        same = [jwk()] * (MAX_CANDIDATES + 1)
        assert len(PublicKeys(same).fitting(ES256, "IC1")) == MAX_CANDIDATES
        assert len(PublicKeys(same).fitting(ES256, None)) == MAX_CANDIDATES

    def test_a_thousand_keys_and_no_more(self):
        others = [jwk(kid=f"other {number}") for number in range(MAX_KEYS)]
        keys = PublicKeys([*others[1:], jwk(kid="last"), jwk(kid="too many")])
        assert len(keys) == MAX_KEYS
        assert keys.fitting(ES256, "last")
        assert not keys.fitting(ES256, "too many")

    def test_a_key_id_is_compared_to_the_letter(self):
        for kid in ("ic1", "IC1 ", "IC", "", "../IC1", "IC1\0", "%49C1"):
            refusal(token(header={"kid": kid}))

    def test_a_token_without_a_key_id(self):
        text = token(header={"kid": ...})
        assert verify(text, jwk(kid="a", name="stranger"), jwk(kid="b"), jwk(kid=...)).sub == "US-canary"
        assert "signature" in str(refusal(text, jwk(name="stranger")))

    @pytest.mark.parametrize("kid", [..., None, 5, ["IC1"]])
    def test_a_key_without_a_key_id(self, kid):
        refusal(token(), jwk(kid=kid))
        assert verify(token(header={"kid": ...}), jwk(kid=kid)).sub == "US-canary"

    def test_a_key_that_cannot_be_used_does_not_hide_the_others(self, caplog):
        odd = [{}, {"kty": "oct", "k": "canary"}, {"kty": "AKP"}, jwk(x="canary"), jwk("RS256", n="AQAB")]
        with caplog.at_level(logging.DEBUG, "twilio_oauth_async"):
            assert verify(token(header={"kid": ...}), *odd, jwk()).sub == "US-canary"
            assert verify(token(), *({**key, "kid": "IC1"} for key in odd), jwk()).sub == "US-canary"
        assert len(caplog.records) == 10
        assert "canary" not in caplog.text


class TestImport:
    def counted(self, monkeypatch):
        calls = []

        def count(jwk, algorithm):
            calls.append(jwk)
            return import_public_key(jwk, algorithm)

        monkeypatch.setattr(jwks, "import_public_key", count)
        return calls

    def test_a_key_is_imported_when_it_is_first_needed_and_once(self, monkeypatch):
        calls = self.counted(monkeypatch)
        keys = PublicKeys([jwk(), jwk("RS256"), jwk(kid="other")])
        assert calls == []
        first = keys.fitting(ES256, "other")
        assert [call["kid"] for call in calls] == ["other"]
        assert keys.fitting(ES256, "other") is first
        assert len(calls) == 1

    def test_what_cannot_be_imported_is_not_tried_again(self, monkeypatch):
        calls = self.counted(monkeypatch)
        keys = PublicKeys([jwk(crv="P-384")])
        for _ in range(3):
            assert keys.fitting(ES256, "IC1") == ()
        assert len(calls) == 1

    def test_key_ids_that_somebody_made_up_leave_nothing_behind(self):
        keys = PublicKeys([jwk()])
        for attempt in range(1000):
            assert keys.fitting(ES256, f"made up {attempt}") == ()
        assert keys._fitting == {}

    def test_what_is_shown_is_not_the_key(self):
        keys = PublicKeys([jwk()])
        assert repr(keys) == "<PublicKeys, 1 keys>"
        assert jwk()["x"] not in repr(keys.fitting(ES256, "IC1")) + json.dumps(str(keys.fitting(ES256, "IC1")))
