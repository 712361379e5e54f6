"""Signing keys, and the only place that knows a JOSE library."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Literal

from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey

from twilio_oauth_async.emulator.ids import Ids

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
