"""Claims of an ID token (OpenID Connect Core 2 and 5.1), parsed from its payload. `id_token_validation` checks them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

import attrs

from twilio_oauth_async.errors import IdTokenError
from twilio_oauth_async.protocol.strict_json import Malformed, decode_json

MAX_SUBJECT_LENGTH = 255
"""ASCII characters (OpenID Connect Core 2)."""

_LAST_SECOND: Final = 253_402_300_799
"""Unix time of the end of the year 9999, the maximum of ``datetime``."""


@attrs.frozen(kw_only=True, slots=False)  # with slots, setting so many fields takes twice as long
class IdTokenClaims:
    """Claims of an ID token: issuer, user, client, dates, profile. The ``repr`` does not show the profile."""

    iss: str
    sub: str
    """Permanent identifier of the user (Twilio: a user SID). Use only this claim to identify a user."""
    aud: tuple[str, ...]
    """Audiences; `id_token_validation` checks that the client is one of them."""
    exp: datetime
    """UTC, like all dates here."""
    iat: datetime
    nbf: datetime | None = None
    auth_time: datetime | None = None
    """Time at which the user was authenticated; it may be long before `iat`."""
    azp: str | None = None
    nonce: str | None = attrs.field(default=None, repr=False)
    at_hash: str | None = attrs.field(default=None, repr=False)
    acr: str | None = None
    amr: tuple[str, ...] | None = None
    name: str | None = attrs.field(default=None, repr=False)
    given_name: str | None = attrs.field(default=None, repr=False)
    family_name: str | None = attrs.field(default=None, repr=False)
    email: str | None = attrs.field(default=None, repr=False)
    """Do not use it to identify a user: it can be changed, and another user can get it later."""
    email_verified: bool | None = attrs.field(default=None, repr=False)
    phone_number: str | None = attrs.field(default=None, repr=False)
    phone_number_verified: bool | None = attrs.field(default=None, repr=False)
    extra: Mapping[str, object] = attrs.field(factory=dict[str, object], repr=False, hash=False)
    """All other claims as received, and profile claims that have a wrong type."""


def read_claims(payload: bytes) -> IdTokenClaims:
    """Parse the payload of an ID token. A null claim is treated as absent.

    Raises:
        IdTokenError: `payload` is not a well-formed JSON object (RFC 7519 4: no claim may be repeated), a required
            claim is missing, ``sub`` is empty, too long or not ASCII, or a claim outside the profile has a wrong type.
    """
    reason: str | None = None
    claims: object = None
    try:
        claims = decode_json(payload)
    except Malformed as error:
        reason = str(error)
    if reason is not None or not isinstance(claims, dict):
        raise IdTokenError(f"the ID token's claims cannot be parsed: {reason or 'not an object'}")
    found = cast("dict[str, Any]", claims)
    mistyped: dict[str, object] = {}
    for name, value in found.items():
        kind = _KINDS.get(name)
        if type(value) is kind or kind is None or value is None:
            continue
        if kind is datetime and type(value) is int and 0 <= value <= _LAST_SECOND:
            found[name] = datetime.fromtimestamp(value, UTC)
        elif name in _PROFILE:
            mistyped[name], found[name] = value, None
        else:
            found[name] = _convert_fraction_or_list(name, value)
    for name in _REQUIRED:
        if found.get(name) is None:
            raise IdTokenError(f"the ID token has no {name}", claim=name)
    subject = found["sub"]
    if not 0 < len(subject) <= MAX_SUBJECT_LENGTH or not subject.isascii():
        raise IdTokenError("the ID token's sub is empty, too long or not ASCII", claim="sub")
    if type(found["aud"]) is str:
        # RFC 7519 4.1.3: a list, or a string if there is only one audience.
        found["aud"] = (found["aud"],)
    take = found.pop
    result = IdTokenClaims(
        iss=take("iss"),
        sub=take("sub"),
        aud=take("aud"),
        exp=take("exp"),
        iat=take("iat"),
        nbf=take("nbf", None),
        auth_time=take("auth_time", None),
        azp=take("azp", None),
        nonce=take("nonce", None),
        at_hash=take("at_hash", None),
        acr=take("acr", None),
        amr=take("amr", None),
        name=take("name", None),
        given_name=take("given_name", None),
        family_name=take("family_name", None),
        email=take("email", None),
        email_verified=take("email_verified", None),
        phone_number=take("phone_number", None),
        phone_number_verified=take("phone_number_verified", None),
        extra=found,
    )
    found.update(mistyped)
    return result


def _convert_fraction_or_list(name: str, value: object) -> object:
    """Convert a date with a fraction or a list of strings; any other value of these claims has a wrong type."""
    kind = _KINDS[name]
    if kind is datetime:
        # RFC 7519 2: NumericDate may have a fraction. A bool is rejected, although True equals 1.
        if type(value) is float and 0 <= value <= _LAST_SECOND:
            return datetime.fromtimestamp(value, UTC)
        raise IdTokenError(f"the ID token's {name} is not a date", claim=name)
    if name not in _LISTS:
        raise IdTokenError(f"the ID token's {name} is not a string", claim=name)
    if isinstance(value, list):
        items = cast("list[object]", value)
        texts = tuple(item for item in items if isinstance(item, str))
        if len(texts) == len(items):
            return texts
    raise IdTokenError(f"the ID token's {name} is not a list of strings", claim=name)


_REQUIRED: Final = ("iss", "sub", "aud", "exp", "iat")  # OpenID Connect Core 2

# Profile claims of a wrong type go to `extra`, so that they neither fail the sign-in nor break the declared types.
_PROFILE: Final[Mapping[str, type]] = {
    "name": str,
    "given_name": str,
    "family_name": str,
    "email": str,
    "email_verified": bool,
    "phone_number": str,
    "phone_number_verified": bool,
}

_LISTS: Final = {"aud", "amr"}
_KINDS: Final[Mapping[str, type]] = {
    "iss": str,
    "sub": str,
    "aud": str,
    "azp": str,
    "nonce": str,
    "at_hash": str,
    "acr": str,
    "amr": tuple,
    "exp": datetime,
    "iat": datetime,
    "nbf": datetime,
    "auth_time": datetime,
    **_PROFILE,
}
