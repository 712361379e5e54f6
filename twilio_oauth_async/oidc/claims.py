"""What an id token says (OpenID Connect Core 2 and 5.1), read from its payload. Whether it is true is for others."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, cast

import attrs

from twilio_oauth_async.errors import IdTokenError
from twilio_oauth_async.protocol.codec import Malformed, decode_json

MAX_SUBJECT_LENGTH = 255
"""ASCII characters (OpenID Connect Core 2)."""

_LAST_SECOND: Final = 253_402_300_799
"""Of the year 9999, after which a ``datetime`` cannot be."""


@attrs.frozen(kw_only=True, slots=False)  # with slots, so many fields take twice as long to fill
class IdTokenClaims:
    """Who signed in, when, and for whom the token is meant. Personal data is left out of the ``repr``."""

    iss: str
    sub: str
    """The person, for all time (Twilio: a user SID); the one thing here to recognize them by."""
    aud: tuple[str, ...]
    """One or several; one of them is the client."""
    exp: datetime
    """UTC, as all dates here."""
    iat: datetime
    nbf: datetime | None = None
    auth_time: datetime | None = None
    """When the person proved who they are, which may be long before `iat`."""
    azp: str | None = None
    nonce: str | None = attrs.field(default=None, repr=False)
    at_hash: str | None = attrs.field(default=None, repr=False)
    acr: str | None = None
    amr: tuple[str, ...] | None = None
    name: str | None = attrs.field(default=None, repr=False)
    given_name: str | None = attrs.field(default=None, repr=False)
    family_name: str | None = attrs.field(default=None, repr=False)
    email: str | None = attrs.field(default=None, repr=False)
    """Somebody may have changed it, or given it to somebody else: not to recognize a person by."""
    email_verified: bool | None = attrs.field(default=None, repr=False)
    phone_number: str | None = attrs.field(default=None, repr=False)
    phone_number_verified: bool | None = attrs.field(default=None, repr=False)
    extra: Mapping[str, object] = attrs.field(factory=dict[str, object], repr=False, hash=False)
    """Every other claim as it stands, and claims about the person that are of another type than they should be."""


def read_claims(payload: bytes) -> IdTokenClaims:
    """Read the payload of an id token. A null is the same as an absent claim.

    Raises:
        IdTokenError: not one well-formed JSON object (RFC 7519 4: no claim twice), a claim that everything depends on
            is missing, or is of another type than it should be.
    """
    reason: str | None = None
    claims: object = None
    try:
        claims = decode_json(payload)
    except Malformed as error:
        reason = str(error)
    if reason is not None or not isinstance(claims, dict):
        raise IdTokenError(f"the id token's claims cannot be read: {reason or 'not an object'}")
    found = cast("dict[str, Any]", claims)
    odd: dict[str, object] = {}
    for name, value in found.items():
        kind = _KINDS.get(name)
        if type(value) is kind or kind is None or value is None:
            continue
        if kind is datetime and type(value) is int and 0 <= value <= _LAST_SECOND:
            found[name] = datetime.fromtimestamp(value, UTC)
        elif name in _PROFILE:
            odd[name], found[name] = value, None
        else:
            found[name] = _read_unusual(name, value)
    for name in _REQUIRED:
        if found.get(name) is None:
            raise IdTokenError(f"the id token has no {name}", claim=name)
    subject = found["sub"]
    if not 0 < len(subject) <= MAX_SUBJECT_LENGTH or not subject.isascii():
        raise IdTokenError("the id token's sub is empty, too long or not ASCII", claim="sub")
    if type(found["aud"]) is str:
        # RFC 7519 4.1.3: a list, or in the special case of one, a string.
        found["aud"] = (found["aud"],)
    take = found.pop
    known = IdTokenClaims(
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
    found.update(odd)
    return known


def _read_unusual(name: str, value: object) -> object:
    """A claim in one of the less common forms that it may have."""
    kind = _KINDS[name]
    if kind is datetime:
        # RFC 7519 2: NumericDate may have a fraction. True would be the second after the epoch.
        if type(value) is float and 0 <= value <= _LAST_SECOND:
            return datetime.fromtimestamp(value, UTC)
        raise IdTokenError(f"the id token's {name} is not a date", claim=name)
    if name not in _LISTS:
        raise IdTokenError(f"the id token's {name} is not a string", claim=name)
    if isinstance(value, list):
        items = cast("list[object]", value)
        texts = tuple(item for item in items if isinstance(item, str))
        if len(texts) == len(items):
            return texts
    raise IdTokenError(f"the id token's {name} is not a list of strings", claim=name)


_REQUIRED: Final = ("iss", "sub", "aud", "exp", "iat")  # OpenID Connect Core 2

# A name that is not a string must not cost anybody their sign-in, and must not look like one either.
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
