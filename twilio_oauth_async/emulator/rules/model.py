"""Data of the server: policy, apps, users, device codes, authorization codes, grants, tokens. Values without behaviour.

Durations are seconds. Times are seconds of the monotonic clock, so that a change of the wall clock does not change the
lifetime of a code or token. The wall clock is used only for dates that are sent to a client.
"""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from attrs import Attribute, define, field, frozen

DEVICE_CODE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
_MAX_SECONDS = 1e9
"""About 30 years. Dates of tokens must stay before the year 9999."""


@frozen
class Now:
    """Time of a request, from both clocks."""

    seconds: float
    """Monotonic clock: for lifetimes and intervals."""
    wall: datetime
    """Wall clock, aware UTC: for the dates in tokens and responses."""


def _seconds(_: Policy, attribute: Attribute[float], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _MAX_SECONDS:
        raise ValueError(f"{attribute.name} must be a positive number of seconds")


def _whole_number(_: Policy, attribute: Attribute[int], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < _MAX_SECONDS:
        raise ValueError(f"{attribute.name} must be a positive integer")


def _true_or_false(_: Policy, attribute: Attribute[bool], value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{attribute.name} must be true or false")  # noqa: TRY004 - as for the other settings


def _name(_: Policy, attribute: Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not value.isprintable() or not value:
        raise ValueError(f"{attribute.name} must be a string")


@define(kw_only=True)
class Policy:
    """Settings of the server. They can be changed while it runs; issued codes and tokens keep their lifetimes.

    An invalid value raises `ValueError`, also when it is set later.
    """

    interval: int = field(default=5, validator=_whole_number)
    """Minimum seconds between two polls."""
    expires_in: int = field(default=299, validator=_whole_number)
    """Lifetime of a device code in seconds."""
    access_token_lifetime: float = field(default=3600.0, validator=_seconds)
    refresh_token_lifetime: float = field(default=30 * 86400.0, validator=_seconds)
    authorization_code_lifetime: float = field(default=300.0, validator=_seconds)
    rotate_refresh_tokens: bool = field(default=True, validator=_true_or_false)
    """Whether each refresh returns a new refresh token and invalidates the old one (RFC 9700 4.14.2)."""
    device_grant_type: str = field(default=DEVICE_CODE_GRANT, validator=_name)
    """The ``GrantType`` of the device grant."""
    pkce_required: bool = field(default=True, validator=_true_or_false)
    """Whether confidential apps need PKCE too (RFC 9700 2.1.1). Public apps always need it."""
    guess_limit: int = field(default=10, validator=_whole_number)
    """Wrong user codes that one client may enter within `guess_window` (RFC 8628 5.1)."""
    guess_window: float = field(default=60.0, validator=_seconds)
    """Seconds."""
    device_secret_required: bool = field(default=False, validator=_true_or_false)
    """Whether a confidential app must send its secret in the device grant too.

    False by default, because RFC 8628 5.6 treats software on a device as a public client. A secret that is sent is
    always checked, and a grant that was started with the secret can be refreshed only with it.
    """


@define(kw_only=True)
class App:
    """A registered OAuth app; confidential if it has a secret (RFC 6749 2.1)."""

    sid: str
    name: str
    secret: str | None = field(default=None, repr=False)
    scopes: frozenset[str] | None = None
    """Scopes that the app may request; None: any."""
    audiences: frozenset[str] | None = None
    """Audiences that the app may request; None: any."""
    redirect_uris: tuple[str, ...] | None = None
    """Registered redirect URIs; None: any on a loopback address. The port of a loopback URI is not compared."""


@define(kw_only=True)
class User:
    """A user who can approve requests."""

    sid: str
    first_name: str
    last_name: str
    email: str

    @property
    def friendly_name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}".strip()


class Decision(Enum):
    """State of a device code."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXCHANGED = "exchanged"


@define(kw_only=True, eq=False)
class DeviceCode:
    """A device code and the user's decision."""

    device_code: str = field(repr=False)
    user_code: str
    app: App
    requested_scopes: tuple[str, ...]
    scopes: tuple[str, ...]
    """Scopes to grant: the requested ones, or fewer if the user chose fewer."""
    audiences: tuple[str, ...]
    requested_on: datetime
    """UTC."""
    expires_at: float
    interval: float
    last_poll: float | None = None
    decision: Decision = Decision.PENDING
    user: User | None = None
    decided_at: datetime | None = None
    grant: Grant | None = None


@define(kw_only=True, eq=False)
class Grant:
    """The access of an app: granted by `user`, or its own if `user` is None. Tokens are revoked with their grant."""

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
    """Whether the client authenticated with its secret when the grant started."""
    revoked: bool = False


@define(kw_only=True, eq=False)
class AuthorizationRequest:
    """An authorization request that waits for the user's decision (RFC 6749 4.1.1)."""

    id: str
    app: App
    redirect_uri: str
    redirect_uri_given: bool = True
    """Whether the request contained `redirect_uri`; only then the token request must repeat it (RFC 6749 4.1.3)."""
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    state: str | None = field(repr=False)
    nonce: str | None = field(repr=False)
    code_challenge: str | None = field(repr=False)
    expires_at: float


@define(kw_only=True, eq=False)
class AuthorizationCode:
    """Data of an authorization code. It is stored in a dict, under the code as the key."""

    request: AuthorizationRequest
    user: User
    scopes: tuple[str, ...]
    expires_at: float
    auth_time: datetime
    grant: Grant | None = None
    """Set when the code is used."""


@define(kw_only=True, eq=False)
class IssuedToken:
    """Data of an access or refresh token. It is stored in a dict, under a digest of the token as the key."""

    grant: Grant
    scopes: tuple[str, ...]
    issued_on: datetime
    """UTC."""
    expires_at: float
    used: bool = False
    """Whether this refresh token was replaced by rotation."""
    revoked: bool = False
