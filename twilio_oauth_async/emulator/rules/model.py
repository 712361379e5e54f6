"""What the server knows: its rules, apps, people, device codes, grants and tokens. Plain values, no behaviour.

Durations are seconds, points in time are seconds of the monotonic clock; the wall clock appears only where a date
leaves the server, so that setting it does not make codes live longer.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from attrs import define, field, frozen

DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@frozen
class Now:
    """The two readings of a clock that a request is judged by."""

    seconds: float
    """Monotonic: what lifetimes and intervals are measured with."""
    wall: datetime
    """Aware UTC: what tokens and answers are dated with."""


@define(kw_only=True)
class Policy:
    """The server's settings. May be changed while it runs; what is already issued keeps what it was issued with."""

    interval: int = 5
    """Seconds between two polls."""
    expires_in: int = 299
    """Seconds a device code lives."""
    access_token_lifetime: float = 3600.0
    refresh_token_lifetime: float = 30 * 86400.0
    authorization_code_lifetime: float = 300.0
    rotate_refresh_tokens: bool = True
    """Each refresh answers a new refresh token; the old one is spent (RFC 9700 4.14.2)."""
    device_grant_type: str = DEVICE_CODE_GRANT
    """The ``GrantType`` of the device grant."""
    pkce_required: bool = True
    """Confidential apps need PKCE too (RFC 9700 2.1.1). Public ones need it in any case."""
    guess_limit: int = 10
    """Wrong user codes that one client may enter within `guess_window` (RFC 8628 5.1)."""
    guess_window: float = 60.0
    device_secret_required: bool = False
    """Whether a confidential app must send its secret for the device grant too.

    Off, because RFC 8628 5.6 treats what runs on a device as public. A secret that is sent is always checked, and a
    grant that was begun with it is refreshed with it only.
    """


@define(kw_only=True)
class App:
    """A registered OAuth app; confidential when it has a secret (RFC 6749 2.1)."""

    sid: str
    name: str
    secret: str | None = field(default=None, repr=False)
    scopes: frozenset[str] | None = None
    """What it may ask for; None: anything."""
    audiences: frozenset[str] | None = None
    """Whom its tokens may be meant for; None: anybody."""
    redirect_uris: tuple[str, ...] | None = None
    """Where a browser may be sent back to; None: anywhere on a loopback address. The port of loopback ones is free."""


@define(kw_only=True)
class User:
    """Somebody who can approve."""

    sid: str
    first_name: str
    last_name: str
    email: str

    @property
    def friendly_name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}".strip()


class Decision(Enum):
    """What became of a device code."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXCHANGED = "exchanged"


@define(kw_only=True, eq=False)
class DeviceCode:
    """A device code and the person's decision about it."""

    device_code: str = field(repr=False)
    user_code: str
    app: App
    requested_scopes: tuple[str, ...]
    scopes: tuple[str, ...]
    """What is granted: all that was requested, unless the person chose less."""
    audiences: tuple[str, ...]
    expires_at: float
    interval: float
    last_poll: float | None = None
    decision: Decision = Decision.PENDING
    user: User | None = None
    decided_at: datetime | None = None
    grant: Grant | None = None


@define(kw_only=True, eq=False)
class Grant:
    """What a person allowed an app; every token belongs to one and dies with it."""

    id: str
    app: App
    user: User | None
    scopes: tuple[str, ...]
    requested_scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    auth_time: datetime
    device_id: str | None = None
    nonce: str | None = None
    authenticated: bool = False
    """Whether the client proved itself with its secret when the grant began."""
    revoked: bool = False


@define(kw_only=True, eq=False)
class AuthorizationRequest:
    """An authorization request that a person is looking at (RFC 6749 4.1.1)."""

    id: str
    app: App
    redirect_uri: str
    redirect_uri_given: bool = True
    """Whether the request named it; only then the token request has to as well (RFC 6749 4.1.3)."""
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    state: str | None = field(repr=False)
    nonce: str | None = field(repr=False)
    code_challenge: str | None = field(repr=False)
    expires_at: float


@define(kw_only=True, eq=False)
class AuthorizationCode:
    """What a code stands for; the code itself is only the key it is found under."""

    request: AuthorizationRequest
    user: User
    scopes: tuple[str, ...]
    expires_at: float
    auth_time: datetime
    grant: Grant | None = None
    """Set by the first use."""


@define(kw_only=True, eq=False)
class IssuedToken:
    """An access or refresh token as the server remembers it; the token itself is only the key it is found under."""

    grant: Grant
    scopes: tuple[str, ...]
    expires_at: float
    spent: bool = False
    """A refresh token that was rotated away."""
    revoked: bool = False
