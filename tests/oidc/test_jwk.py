"""Validation and selection of keys (rule 26, and fault 31 for key sets, docs/reliability.md)."""

import hashlib
import json
import logging
import math

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.helpers.jose import b64, jwk, number, private_key, rejection, token, verify
from twilio_oauth_async.oidc import jwks
from twilio_oauth_async.oidc.jwa import ALGORITHMS
from twilio_oauth_async.oidc.jwk import MAX_RSA_BITS, MIN_RSA_BITS, import_public_key
from twilio_oauth_async.oidc.jwks import MAX_KEYS, MAX_TRIED, PublicKeys
from twilio_oauth_async.protocol.strict_json import Malformed

ES256, RS256 = ALGORITHMS["ES256"], ALGORITHMS["RS256"]
P256 = 2**256 - 2**224 + 2**192 + 2**96 - 1


def numbers(algorithm):
    return private_key(algorithm, "issuer").public_key().public_numbers()


def import_error(algorithm=ES256, **members):
    """Return the message with which a key is rejected."""
    with pytest.raises(Malformed) as caught:
        import_public_key(jwk(algorithm.name, **members), algorithm)
    assert caught.value.__context__ is None
    return str(caught.value)


class TestWeakAndInvalidKeys:
    """Rule 26."""

    @pytest.mark.parametrize("bits", [512, 1024, MIN_RSA_BITS - 1, MAX_RSA_BITS + 1, 16_384])
    def test_rsa_key_of_wrong_size_is_rejected(self, bits):
        assert import_error(RS256, n=number(2 ** (bits - 1) + 1)).startswith("n: ")

    @pytest.mark.parametrize("bits", [MIN_RSA_BITS, 3072, 4096, MAX_RSA_BITS])
    def test_rsa_key_of_allowed_size_is_accepted(self, bits):
        import_public_key(jwk("RS256", n=number(2 ** (bits - 1) + 1)), RS256)

    def test_signature_by_1024_bit_rsa_key_is_rejected(self):
        weak = rsa.generate_private_key(65_537, 1024)
        text = token(algorithm="RS256", key=weak)
        assert "signature" in str(rejection(text, jwk("RS256", n=number(weak.public_key().public_numbers().n))))

    def test_leading_zero_octets_do_not_count_for_rsa_key_size(self):
        """RFC 7518 6.3.1.1 mentions libraries that add one."""
        assert verify(
            token(algorithm="RS256"), jwk("RS256", n=number(numbers("RS256").n, 257), e=number(65_537, 4))
        ).sub
        assert import_error(RS256, n=number(2**1023 + 1, 256)).startswith("n: ")

    @pytest.mark.parametrize(
        "exponent", [0, 1, 2, 3, 17, 65_535, 65_536, 65_538, 2**32, 2**32 + 1, 2**64 + 1, 2**2047 + 1]
    )
    def test_rsa_exponent_out_of_range_or_even_is_rejected(self, exponent):
        assert import_error(RS256, e=number(exponent)).startswith("e: ")

    @pytest.mark.parametrize("exponent", [65_537, 2**31 + 1, 2**32 - 1])
    def test_rsa_exponent_in_range_is_accepted(self, exponent):
        import_public_key(jwk("RS256", e=number(exponent)), RS256)

    def test_forged_signature_with_rsa_exponent_one_is_rejected(self):
        """With e = 1 the signature is the padded hash itself, so it can be made without the private key."""
        digest = bytes.fromhex("3031300d060960864801650304020105000420")
        text = token(algorithm="RS256", signed=b"")
        block = digest + hashlib.sha256(text[:-1].encode()).digest()
        block = b"\0\1" + b"\xff" * (256 - 3 - len(block)) + b"\0" + block
        assert "signature" in str(rejection(text + b64(block), jwk("RS256", e=number(1))))

    def test_cve_2017_15361_modulus_with_roca_fingerprint_is_rejected(self):
        """Every prime of such a key, and so the modulus, is a power of 65537 modulo many small primes."""
        product = math.prod(prime for prime in range(3, 168) if all(prime % n for n in range(2, prime)))
        for exponent in (1, 2, 1000, 12_345_678):
            power = pow(65_537, exponent, product)
            modulus = power + (2**2048 - power) // product * product
            modulus -= 0 if modulus % 2 else product
            assert "ROCA" in import_error(RS256, n=number(modulus))
            for prime in (11, 37, 157):
                # 0 is no power of 65537.
                shift = next(n for n in range(2, 999, 2) if (modulus - n * product // prime) % prime == 0)
                import_public_key(jwk("RS256", n=number(modulus - shift * product // prime)), RS256)

    def test_even_rsa_modulus_is_rejected(self):
        assert import_error(RS256, n=number(numbers("RS256").n + 1)).startswith("n: ")

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
    def test_point_that_is_not_on_the_curve_is_rejected(self, change):
        x, y = change(numbers("ES256").x, numbers("ES256").y)
        assert import_error(x=number(x, 32), y=number(y, 32)) == "x, y: not a point on the curve"

    @pytest.mark.parametrize("size", [31, 33, 64])
    def test_coordinates_of_wrong_size_are_rejected(self, size):
        """RFC 7518 6.2.1.2."""
        assert import_error(x=b64(bytes(size)), y=number(numbers("ES256").y, 32)) == "x, y: wrong size for the curve"
        assert import_error(x=number(numbers("ES256").x, 32), y=b64(bytes(size))) == "x, y: wrong size for the curve"

    def test_57_coordinate_without_its_leading_zeros_is_rejected(self):
        """RFC 7518 6.2.1.2: the length must be the full size, so the key set and not the client has to be corrected.

        One key in 128 has a leading zero byte. A client that accepted the short form would hide the mistake of a server
        whose other keys every client accepts.
        """
        while True:
            key = ec.generate_private_key(ec.SECP256R1())
            point = key.public_key().public_numbers()
            if point.x < 2**248 <= point.y:
                break
        text = token(key=key)
        full = {"x": number(point.x, 32), "y": number(point.y, 32)}
        assert verify(text, jwk(**full)).sub == "US-canary"
        assert "signature" in str(rejection(text, jwk(**full | {"x": number(point.x)})))
        assert import_error(**full | {"x": number(point.x)}) == "x, y: wrong size for the curve"

    @pytest.mark.parametrize("crv", ["P-384", "P-521", "secp256k1", "p-256", "Ed25519", "", None, ..., 256, ["P-256"]])
    def test_wrong_curve_is_rejected(self, crv):
        assert import_error(crv=crv).startswith("crv: ")

    @pytest.mark.parametrize("kty", ["oct", "OKP", "RSA", "ec", "AKP", "", None, ..., 5, ["EC"]])
    def test_wrong_key_type_is_rejected(self, kty):
        assert import_error(kty=kty).startswith("kty: ")

    def test_symmetric_key_is_not_used(self):
        secret = b"canary" * 8
        for name in ("HS256", "ES256"):
            key = {"kty": "oct", "k": b64(secret), "kid": "IC1", "alg": name}
            rejection(token(header={"alg": name}, signed=secret), key)

    @pytest.mark.parametrize("name", ["x", "y", "n", "e"])
    @pytest.mark.parametrize(
        "value", [..., None, "", 5, ["AQAB"], "AQAB=", "AQ AB", "+QAB", "A", "AQ\n", "ü", "A" * 100_000]
    )
    def test_missing_or_malformed_number_is_rejected(self, name, value):
        import_error(ES256 if name in "xy" else RS256, **{name: value})

    @pytest.mark.parametrize("name", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
    @pytest.mark.parametrize("algorithm", [ES256, RS256], ids=["EC", "RSA"])
    def test_published_private_key_is_rejected(self, algorithm, name):
        assert import_error(algorithm, **{name: "canary"}) == "a private key"


class TestPurpose:
    """RFC 7517 4.2 to 4.4."""

    @pytest.mark.parametrize("members", [
        {"use": "enc"}, {"use": ""}, {"use": ["sig"]}, {"use": 5},
        {"key_ops": ["sign"]}, {"key_ops": ["encrypt", "decrypt"]}, {"key_ops": "verify"}, {"key_ops": {"verify": 1}},
        {"key_ops": 5}, {"key_ops": [["verify"]]},
        {"alg": "ES384"}, {"alg": "RS256"}, {"alg": "none"}, {"alg": "es256"}, {"alg": ""}, {"alg": ["ES256"]},
    ])  # fmt: skip
    def test_key_for_other_purpose_is_rejected(self, members):
        assert import_error(**members).startswith(f"{next(iter(members))}: ")

    @pytest.mark.parametrize("members", [
        {"use": ...}, {"use": None}, {"use": "sig"},
        {"key_ops": ...}, {"key_ops": None}, {"key_ops": []}, {"key_ops": ["verify"]}, {"key_ops": ["sign", "verify"]},
        {"alg": ...}, {"alg": None}, {"alg": "ECDSA"},
        {"x5c": ["canary"], "x5u": "https://canary.example", "x5t": 5, "ext": True, "iat": 1},
    ])  # fmt: skip
    def test_key_with_matching_or_absent_purpose_is_accepted(self, members):
        assert verify(token(), jwk(**members)).sub == "US-canary"

    def test_alg_rsa256_means_rs256(self):
        assert verify(token(algorithm="RS256"), jwk("RS256", alg="RSA256")).sub == "US-canary"


class TestSelection:
    def test_all_keys_with_the_key_id_are_tried(self):
        other_keys = [jwk(name=f"other {number}") for number in range(3)]
        assert verify(token(), *other_keys, jwk()).sub == "US-canary"
        assert verify(token(), jwk(), *other_keys).sub == "US-canary"
        assert "signature" in str(rejection(token(), *other_keys))

    def test_keys_of_different_types_may_share_a_key_id(self):
        keys = (jwk("RS256"), jwk("ES384"), {"kty": "AKP", "kid": "IC1", "alg": "ML-DSA-44", "pub": "x"}, jwk())
        for algorithm in ("ES256", "RS256"):
            assert verify(token(algorithm=algorithm), *keys).sub == "US-canary"

    def test_number_of_candidates_is_limited(self):
        same = [jwk()] * (MAX_TRIED + 5)
        assert len(PublicKeys(same).candidates(ES256, "IC1")) == MAX_TRIED + 1
        assert len(PublicKeys(same).candidates(ES256, None)) == MAX_TRIED + 1

    @pytest.mark.parametrize("kid", ["IC1", ...])
    def test_57_last_of_the_keys_that_are_tried_verifies(self, kid):
        text, others = token(header={"kid": kid}), [jwk(name="other")] * (MAX_TRIED - 1)
        assert verify(text, *others, jwk()).sub == "US-canary"
        assert "any key" in str(rejection(text, *others, jwk(name="other")))

    @pytest.mark.parametrize("kid", ["IC1", ...])
    def test_57_more_keys_than_are_tried_error_says_so(self, kid):
        others = [jwk(name="other")] * MAX_TRIED
        assert f"the first {MAX_TRIED} keys" in str(rejection(token(header={"kid": kid}), *others, jwk()))

    def test_number_of_keys_in_a_set_is_limited(self):
        others = [jwk(kid=f"other {number}") for number in range(MAX_KEYS)]
        keys = PublicKeys([*others[1:], jwk(kid="last"), jwk(kid="too many")])
        assert len(keys) == MAX_KEYS
        assert keys.candidates(ES256, "last")
        assert not keys.candidates(ES256, "too many")

    def test_different_key_id_is_rejected(self):
        for kid in ("ic1", "IC1 ", "IC", "", "../IC1", "IC1\0", "%49C1"):
            rejection(token(header={"kid": kid}))

    def test_token_without_key_id_tries_all_keys(self):
        text = token(header={"kid": ...})
        assert verify(text, jwk(kid="a", name="other"), jwk(kid="b"), jwk(kid=...)).sub == "US-canary"
        assert "signature" in str(rejection(text, jwk(name="other")))

    @pytest.mark.parametrize("kid", [..., None, 5, ["IC1"]])
    def test_key_without_key_id_is_used_only_for_tokens_without_one(self, kid):
        rejection(token(), jwk(kid=kid))
        assert verify(token(header={"kid": ...}), jwk(kid=kid)).sub == "US-canary"

    def test_unusable_keys_are_ignored_and_logged(self, caplog):
        unusable = [{}, {"kty": "oct", "k": "canary"}, {"kty": "AKP"}, jwk(x="canary"), jwk("RS256", n="AQAB")]
        with caplog.at_level(logging.DEBUG, "twilio_oauth_async"):
            assert verify(token(header={"kid": ...}), *unusable, jwk()).sub == "US-canary"
            assert verify(token(), *({**key, "kid": "IC1"} for key in unusable), jwk()).sub == "US-canary"
        assert len(caplog.records) == 10
        assert "canary" not in caplog.text


class TestImport:
    def record_imports(self, monkeypatch):
        calls = []

        def record(jwk, algorithm):
            calls.append(jwk)
            return import_public_key(jwk, algorithm)

        monkeypatch.setattr(jwks, "import_public_key", record)
        return calls

    def test_key_is_imported_once_on_first_use(self, monkeypatch):
        calls = self.record_imports(monkeypatch)
        keys = PublicKeys([jwk(), jwk("RS256"), jwk(kid="other")])
        assert calls == []
        first = keys.candidates(ES256, "other")
        assert [call["kid"] for call in calls] == ["other"]
        assert keys.candidates(ES256, "other") is first
        assert len(calls) == 1

    def test_unusable_key_is_imported_only_once(self, monkeypatch):
        calls = self.record_imports(monkeypatch)
        keys = PublicKeys([jwk(crv="P-384")])
        for _ in range(3):
            assert keys.candidates(ES256, "IC1") == ()
        assert len(calls) == 1

    def test_unknown_key_ids_are_not_cached(self):
        keys = PublicKeys([jwk()])
        for attempt in range(1000):
            assert keys.candidates(ES256, f"unknown {attempt}") == ()
        assert keys._candidates == {}

    def test_repr_does_not_show_the_key(self):
        keys = PublicKeys([jwk()])
        assert repr(keys) == "<PublicKeys, 1 keys>"
        assert jwk()["x"] not in repr(keys.candidates(ES256, "IC1")) + json.dumps(str(keys.candidates(ES256, "IC1")))
