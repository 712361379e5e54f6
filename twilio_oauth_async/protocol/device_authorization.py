"""State of one device flow: the codes, what the user is shown, and the time of the next poll."""

from __future__ import annotations

import math
from datetime import datetime

import attrs

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol.instructions import Instructions
from twilio_oauth_async.protocol.serializable import Storable


def _check_interval(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 < value < math.inf:
        # A stored flow may be damaged. Without a pause between polls the flow would become a busy loop.
        raise ConfigurationError(f"{attribute.name}: not a positive number of seconds")


@attrs.frozen(kw_only=True)
class DeviceAuthorization(Instructions, Storable):
    """State of a pending device flow. Immutable: each poll returns the next state.

    With ``to_json()`` and ``from_json()`` another process, or the same one after a restart, can continue the flow. The
    JSON contains the device code, so keep it as secret as a token. ``str`` and ``repr`` never show the device code.
    """

    client_sid: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...] = ()
    device_code: str = attrs.field(repr=False)
    """Sent to the server only; not for the user or any third party (RFC 8628 3.3)."""
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None = None
    interval: float = attrs.field(validator=_check_interval)
    """Seconds between two polls, all ``slow_down`` responses included."""
    expires_at: datetime
    """UTC."""
    next_poll_at: datetime
    """UTC. No poll is sent before this time."""
    faults: int = 0
    """Number of polls in a row without a usable response."""
    answer_lost: bool = False
    """A response was lost since the last usable one, and it may have contained the token."""
