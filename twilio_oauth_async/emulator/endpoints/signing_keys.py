"""Signing keys, signed tokens and forged tokens. The only module of the emulator that uses a JOSE library."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Literal

from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey

from twilio_oauth_async.emulator.faults.responses import Forgery
from twilio_oauth_async.emulator.rules.ids import Ids

Algorithm = Literal["ES256", "RS256"]


def base64url_encode(data: bytes) -> str:
    """Return `data` in base64url without padding (RFC 7515 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def base64url_decode(text: str) -> bytes:
    """Return the bytes that `text` encodes."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@functools.cache
def _rsa_key(_number: int) -> RSAKey:
    """Return the RSA key with this number; within one process it is always the same key.

    Generating a key takes about 50 ms, so all emulators of a process share the keys. Each has its own ``kid`` for them.
    """
    return RSAKey.generate_key(2048)


class _Generation:
    """One ES256 and one RS256 key, created by the same rotation. The RSA key is generated on first use."""

    def __init__(self, number: int, ids: Ids) -> None:
        self._number = number
        self.kids: dict[Algorithm, str] = {"ES256": ids.sid("IC"), "RS256": ids.sid("IC")}
        self._ec = ECKey.generate_key("P-256")

    def key(self, algorithm: Algorithm) -> ECKey | RSAKey:
        return self._ec if algorithm == "ES256" else _rsa_key(self._number)

    def published(self) -> list[dict[str, Any]]:
        # Members in Twilio's order, with Twilio's empty key_ops, which does not restrict anything.
        return [
            {"alg": algorithm, "kid": self.kids[algorithm], "key_ops": [], "use": "sig"}
            | self.key(algorithm).as_dict(private=False)
            | {"kid": self.kids[algorithm]}
            for algorithm in self.kids
        ]


class SigningKeys:
    """The current keys, and older keys that stay published because tokens signed with them may still be in use."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._count = 0
        self._generations: list[_Generation] = []
        self.rotate(keep=0)

    def rotate(self, keep: int = 1) -> None:
        """Sign with new keys from now on. The `keep` newest old generations stay published.

        Raises:
            ValueError: `keep` is negative.
        """
        if keep < 0:
            raise ValueError(
                "keep must not be negative: it is the number of old generations of keys that stay published"
            )
        self._generations = [_Generation(self._count, self._ids), *self._generations[:keep]]
        self._count += 1

    def kid(self, algorithm: Algorithm) -> str:
        """Return the ``kid`` of the current key."""
        return self._generations[0].kids[algorithm]

    def published(self) -> list[dict[str, Any]]:
        """Return the ``keys`` of the JWK set, newest first (RFC 7517 5.1)."""
        return [key for generation in self._generations for key in generation.published()]

    def sign(self, claims: Mapping[str, Any], algorithm: Algorithm, typ: str = "JWT") -> str:
        """Return `claims` as a compact JWS."""
        header = {"alg": algorithm, "kid": self.kid(algorithm), "typ": typ}
        # With its own registry, this does not depend on which algorithms joserfc allows by default.
        return jwt.encode(
            header,
            dict(claims),
            self._generations[0].key(algorithm),
            algorithms=[algorithm],
            registry=jws.JWSRegistry(algorithms=[algorithm]),
        )

    def forge(self, token: str | None, forgery: Forgery) -> str | None:
        """Return a token of this server, changed and signed as `forgery` specifies; None if `token` is None."""
        if token is None:
            return None
        header, claims = (json.loads(base64url_decode(part)) for part in token.split(".")[:2])
        algorithm: Algorithm = "RS256" if header["alg"] == "RS256" else "ES256"
        if forgery.signed_by == "none":
            header["alg"] = "none"
        elif forgery.signed_by == "hmac":
            header["alg"] = "HS256"
        header |= forgery.header
        claims |= forgery.claims
        for name in forgery.omit:
            claims.pop(name, None)
        signing_input = ".".join(base64url_encode(json.dumps(part).encode("ascii")) for part in (header, claims))
        signature = self._forged_signature(signing_input.encode("ascii"), algorithm, forgery)
        return f"{signing_input}.{base64url_encode(signature)}"

    def _forged_signature(self, signing_input: bytes, algorithm: Algorithm, forgery: Forgery) -> bytes:
        if forgery.signed_by == "none":
            return b""
        key = self._generations[0].key(algorithm)
        if forgery.signed_by == "hmac":
            # The public key as the secret: a verifier that accepts any algorithm accepts this (RFC 8725 2.1).
            return hmac.digest(key.as_pem(private=False), signing_input, hashlib.sha256)
        if forgery.signed_by == "other_key":
            key = ECKey.generate_key("P-256") if algorithm == "ES256" else RSAKey.generate_key(2048)
        # Not signed with jwt.encode, which rejects some of the headers that an attacker can send.
        return jws.JWSRegistry(algorithms=[algorithm]).get_alg(algorithm).sign(signing_input, key)
