"""The values that stores keep: tokens, tombstones of deleted tokens, and device flows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeAlias

import attrs

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.protocol.serializable import Storable

FlowState: TypeAlias = Literal["pending", "granted", "approved", "denied", "expired", "cancelled", "failed"]
"""``pending``: polled. ``granted``: a process holds the token and saves it. All others: ended."""

_STATES = ("pending", "granted", "approved", "denied", "expired", "cancelled", "failed")


@attrs.frozen
class TokenKey:
    """The key of a token: a user, and the client and the server that the token belongs to.

    Two apps, or two servers, never share a record. A plain string stands for a user without client and server.
    """

    user: str
    client_sid: str = ""
    server: str = ""
    """The base URL of the authorization server."""


Key: TypeAlias = str | TokenKey


def epoch_of(code: str) -> str:
    """Return the epoch of the sign-in that `code`, a device code or authorization code, belongs to.

    A hash, so that it can be stored and compared without the secret.
    """
    return hashlib.sha256(b"epoch:" + code.encode()).hexdigest()[:32]


@attrs.frozen(kw_only=True)
class StoredToken(Storable):
    """A token, the sign-in that it came from, and the state that is needed after a crash."""

    token: Token
    client_sid: str = ""
    """The client that obtained it."""
    server: str = ""
    """The base URL of the server that issued it."""
    scopes: tuple[str, ...] = ()
    """The requested scopes."""
    audiences: tuple[str, ...] = ()
    """The requested audiences."""
    epoch: str
    """The sign-in that it came from: `epoch_of` a device or authorization code, or a random value."""
    signed_in_at: datetime
    """When the user signed in; a refresh does not change it. UTC, by the server's clock as all dates in a store."""
    generation: int = 1
    """The number of the token within its epoch: each refresh adds one."""
    obtained_at: datetime
    """UTC."""
    unanswered: int = 0
    """Number of refreshes with this refresh token that were started and got no definite response. It is increased
    before each request. A token from a definite response starts again at 0."""


@attrs.frozen(kw_only=True)
class Tombstone(Storable):
    """What a deletion leaves in the place of a token; it holds no secret."""

    signed_in_at: datetime
    """UTC. No sign-in up to this time can be saved any more."""
    expires_at: datetime
    """UTC. Until then a refresh token that was deleted may still be valid."""


def _check_state(_: object, attribute: attrs.Attribute[FlowState], value: FlowState) -> None:
    if value not in _STATES:
        raise ConfigurationError(f"{attribute.name}: not a state of a flow")


def _check_context(_: object, attribute: attrs.Attribute[Mapping[str, str]], value: Mapping[str, str]) -> None:
    if not all(isinstance(part, str) for pair in value.items() for part in pair):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ConfigurationError(f"{attribute.name} must map strings to strings")


@attrs.frozen(kw_only=True)
class StoredFlow(Storable):
    """The device flow of one user, its state, and the lease of the process that polls it."""

    id: str
    user: str
    """The user whose token it will be."""
    server: str = ""
    """The base URL of the server that issued the code."""
    authorization: DeviceAuthorization
    context: Mapping[str, str] = attrs.field(factory=dict[str, str], validator=_check_context)
    """What the application stores with the flow."""
    state: FlowState = attrs.field(default="pending", validator=_check_state)
    problem: str | None = None
    """Why it ended, for the user."""
    granted_to: str | None = None
    """The process that received the token."""
    ended_at: datetime | None = None
    """UTC."""
    delivered: bool = False
    """The end was reported to the application."""
    owner: str | None = None
    """The process that has the lease, that is, the right to poll this flow; None: no process."""
    leased_until: datetime | None = None
    """UTC, by the clock of the store. Afterwards another process may take the lease."""

    @property
    def key(self) -> TokenKey:
        """The key under which its token is saved."""
        return TokenKey(self.user, self.authorization.client_sid, self.server)

    @property
    def epoch(self) -> str:
        """The epoch of its token."""
        return epoch_of(self.authorization.device_code)

    @property
    def has_ended(self) -> bool:
        """Whether no poll and no save is needed any more."""
        return self.state not in {"pending", "granted"}
