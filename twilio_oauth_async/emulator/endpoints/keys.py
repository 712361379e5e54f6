"""Signing keys, and the only place that knows a JOSE library."""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Literal

from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey

from twilio_oauth_async.emulator.faults.answers import Forgery
from twilio_oauth_async.emulator.messages import base64url
from twilio_oauth_async.emulator.rules.ids import Ids

Algorithm = Literal["ES256", "RS256"]


@functools.cache
def _rsa_key(_number: int) -> RSAKey:
    """Return an RSA key of this process: for one number always the same.

    Making one takes about 50 ms, so emulators share them, each under its own kid.
    """
    return RSAKey.generate_key(2048)


class _Generation:
    """One ES256 and one RS256 key that sign at the same time. The RSA key is made when it is first needed."""

    def __init__(self, number: int, ids: Ids) -> None:
        self._number = number
        self.kids: dict[Algorithm, str] = {"ES256": ids.sid("IC"), "RS256": ids.sid("IC")}
        self._ec = ECKey.generate_key("P-256")

    def key(self, algorithm: Algorithm) -> ECKey | RSAKey:
        return self._ec if algorithm == "ES256" else _rsa_key(self._number)

    def published(self) -> list[dict[str, Any]]:
        # Twilio's order of members, and an empty key_ops, which restricts nothing.
        return [
            {"alg": algorithm, "kid": self.kids[algorithm], "key_ops": [], "use": "sig"}
            | self.key(algorithm).as_dict(private=False)
            | {"kid": self.kids[algorithm]}
            for algorithm in self.kids
        ]


class KeyRing:
    """The keys that sign now and those that are still published because tokens signed with them are about."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._made = 0
        self._generations: list[_Generation] = []
        self.rotate(keep=0)

    def rotate(self, keep: int = 1) -> None:
        """Sign with new keys from now on and go on publishing the `keep` newest old generations.

        Raises:
            ValueError: `keep` is negative.
        """
        if keep < 0:
            raise ValueError("keep counts generations of keys and cannot be negative")
        self._generations = [_Generation(self._made, self._ids), *self._generations[:keep]]
        self._made += 1

    def kid(self, algorithm: Algorithm) -> str:
        """Return the key id that tokens carry now."""
        return self._generations[0].kids[algorithm]

    def published(self) -> list[dict[str, Any]]:
        """Return the JWK set's ``keys``, newest first (RFC 7517 5.1)."""
        return [key for generation in self._generations for key in generation.published()]

    def sign(self, claims: Mapping[str, Any], algorithm: Algorithm, typ: str = "JWT") -> str:
        """`claims` as a compact JWS."""
        header = {"alg": algorithm, "kid": self.kid(algorithm), "typ": typ}
        # The registry's default list leaves out algorithms that it does not recommend; RS256 is on the contract's.
        return jwt.encode(
            header,
            dict(claims),
            self._generations[0].key(algorithm),
            algorithms=[algorithm],
            registry=jws.JWSRegistry(algorithms=[algorithm]),
        )

    def forge(self, token: str | None, forgery: Forgery) -> str | None:
        """Return one of our own tokens changed as told, and signed by whom it is told; None stays None."""
        if token is None:
            return None
        header, claims = (json.loads(base64url.decode(part)) for part in token.split(".")[:2])
        algorithm: Algorithm = "RS256" if header["alg"] == "RS256" else "ES256"
        if forgery.signed_by == "nobody":
            header["alg"] = "none"
        elif forgery.signed_by == "hmac":
            header["alg"] = "HS256"
        header |= forgery.header
        claims |= forgery.claims
        for name in forgery.omit:
            claims.pop(name, None)
        signing_input = ".".join(base64url.encode(json.dumps(part).encode("ascii")) for part in (header, claims))
        signature = self._forged_signature(signing_input.encode("ascii"), algorithm, forgery)
        return f"{signing_input}.{base64url.encode(signature)}"

    def _forged_signature(self, signing_input: bytes, algorithm: Algorithm, forgery: Forgery) -> bytes:
        if forgery.signed_by == "nobody":
            return b""
        key = self._generations[0].key(algorithm)
        if forgery.signed_by == "hmac":
            # The public key as the secret: what a verifier that takes any algorithm falls for (RFC 8725 2.1).
            return hmac.digest(key.as_pem(private=False), signing_input, hashlib.sha256)
        if forgery.signed_by == "stranger":
            key = ECKey.generate_key("P-256") if algorithm == "ES256" else RSAKey.generate_key(2048)
        # Below jwt.encode, which would refuse some of the headers that a forger sends.
        return jws.JWSRegistry(algorithms=[algorithm]).get_alg(algorithm).sign(signing_input, key)
