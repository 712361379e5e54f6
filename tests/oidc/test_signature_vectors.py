"""Signature vectors: those of vectors/, and those of Project Wycheproof from a folder of the machine.

`TestWycheproof` reads the folder ``testvectors_v1`` of https://github.com/C2SP/wycheproof, named by the environment
variable ``WYCHEPROOF_VECTORS``. vectors/README.md says why its files are not part of this repository.
"""

import collections
import json
import os
from pathlib import Path

import pytest

from tests.helpers.jose import number
from twilio_oauth_async import IdTokenError
from twilio_oauth_async.oidc.id_token_validation import is_signed
from twilio_oauth_async.oidc.jwa import ALGORITHMS
from twilio_oauth_async.oidc.jwk import import_public_key
from twilio_oauth_async.oidc.jwks import PublicKeys
from twilio_oauth_async.oidc.jws import read_compact
from twilio_oauth_async.protocol.strict_json import Malformed

GROUPS = [
    group
    for path in sorted((Path(__file__).parent / "vectors").glob("*.json"))
    for group in json.loads(path.read_text())["groups"]
]
WYCHEPROOF = os.environ.get("WYCHEPROOF_VECTORS")

EC_FILES = ["ecdsa_secp256r1_sha256", "ecdsa_secp384r1_sha384", "ecdsa_secp521r1_sha512"]
PKCS1_FILES = [f"rsa_signature_{bits}_sha{digest}" for bits in (2048, 3072, 4096, 8192) for digest in (256, 384, 512)]
PSS_FILES = [
    "rsa_pss_2048_sha256_mgf1_32",
    "rsa_pss_2048_sha384_mgf1_48",
    "rsa_pss_3072_sha256_mgf1_32",
    "rsa_pss_4096_sha256_mgf1_32",
    "rsa_pss_4096_sha384_mgf1_48",
    "rsa_pss_4096_sha512_mgf1_64",
]


def accepts(jwk, algorithm, message, signature):
    """Return whether the key is usable and verifies the signature."""
    try:
        key = import_public_key(jwk, ALGORITHMS[algorithm])
    except Malformed:
        return False
    return key.verify(message, signature)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: f"{group['algorithm']} {group['comment']}")
def test_only_valid_signatures_are_accepted(group):
    message = group["message"].encode()
    wrong = [
        vector["comment"]
        for vector in group["vectors"]
        if accepts(group["jwk"], group["algorithm"], message, bytes.fromhex(vector["signature"])) != vector["valid"]
    ]
    assert wrong == []


def test_vectors_are_complete():
    """Each algorithm has valid vectors and many invalid ones: a key that is not usable would pass the others."""
    counts = collections.Counter(
        (group["algorithm"], vector["valid"]) for group in GROUPS for vector in group["vectors"]
    )
    for algorithm in ALGORITHMS:
        assert counts[algorithm, True] >= (1 if algorithm.startswith("RS") else 3)
        assert counts[algorithm, False] >= 35


def test_cve_2017_15361_roca_key_is_rejected():
    [group] = [group for group in GROUPS if "CVE-2017-15361" in group["comment"]]
    with pytest.raises(Malformed, match="ROCA"):
        import_public_key(group["jwk"], ALGORITHMS["RS256"])


@pytest.mark.skipif(WYCHEPROOF is None, reason="WYCHEPROOF_VECTORS does not name a folder with Wycheproof's vectors")
class TestWycheproof:
    def groups(self, name):
        return json.loads((Path(WYCHEPROOF) / f"{name}_test.json").read_text())["testGroups"]

    def jwk(self, group):
        key, digest = group["publicKey"], group["sha"].removeprefix("SHA-")
        if "curve" in key:
            algorithm = ALGORITHMS[f"ES{digest}"]
            x, y = (number(int(key[name], 16), algorithm.coordinate_size) for name in ("wx", "wy"))
            return algorithm.name, {"kty": "EC", "crv": algorithm.crv, "x": x, "y": y}
        n, e = (number(int(key[name], 16)) for name in ("modulus", "publicExponent"))
        return f"{'PS' if 'mgf' in group else 'RS'}{digest}", {"kty": "RSA", "n": n, "e": e}

    @pytest.mark.parametrize("name", [*(f"{name}_p1363" for name in EC_FILES), *PKCS1_FILES, *PSS_FILES])
    def test_only_valid_signatures_are_accepted(self, name):
        counts = collections.Counter()
        for group in self.groups(name):
            algorithm, jwk = self.jwk(group)
            for vector in group["tests"]:
                message, signature = bytes.fromhex(vector["msg"]), bytes.fromhex(vector["sig"])
                # Keys with a small exponent are rejected. "acceptable" is a signature without NULL (RFC 8017 A.2.4).
                valid = vector["result"] == "valid" and "SmallPublicKey" not in vector["flags"]
                assert accepts(jwk, algorithm, message, signature) == valid, vector
                counts[valid] += 1
        assert counts[True] >= 7
        assert counts[False] >= 40

    @pytest.mark.parametrize("name", ["json_web_signature", "json_web_key", "json_web_crypto"])
    def test_no_invalid_token_is_accepted(self, name):
        """Some valid ones are rejected: HMAC, and keys whose ``alg`` is not that of the token."""
        accepted = 0
        for group in self.groups(name):
            keys = group.get("public") or group["private"]
            for vector in group["tests"]:
                if "jws" not in vector:
                    continue  # an encrypted token
                if self.accepts_token(vector["jws"], keys.get("keys", [keys])):
                    assert vector["result"] == "valid", vector
                    accepted += 1
        assert accepted >= {"json_web_signature": 32, "json_web_key": 1, "json_web_crypto": 2}[name]

    def accepts_token(self, text, keys):
        text = text if isinstance(text, str) else json.dumps(text)  # the JSON serialization (RFC 7515 7.2)
        try:
            message = read_compact(text, ALGORITHMS)
        except IdTokenError:
            return False
        return is_signed(message, PublicKeys(keys).candidates(message.algorithm, message.kid))
