"""The state of one device flow as a value: what the person is shown, and when the next poll is due."""

from __future__ import annotations

import math
from datetime import datetime

import attrs

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol.instructions import sign_in_instructions
from twilio_oauth_async.protocol.serializable import Storable


def _check_interval(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0 < value < math.inf:
        # Whatever a store gives back: without a pause between polls the flow would turn into a hot loop.
        raise ConfigurationError(f"{attribute.name}: not a positive number of seconds")


@attrs.frozen(kw_only=True)
class DeviceAuthorization(Storable):
    """A device flow under way. Frozen: each poll gives the next one.

    ``to_json()`` and ``from_json()`` let another process, or the same one after a restart, carry on with it. The
    text holds the device code and is as secret as the token that it will become. ``str`` and ``repr`` never show it.
    """

    client_sid: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...] = ()
    device_code: str = attrs.field(repr=False)
    """For the server only; nobody else needs to see it (RFC 8628 3.3)."""
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None = None
    interval: float = attrs.field(validator=_check_interval)
    """Seconds between two polls, ``slow_down`` included."""
    expires_at: datetime
    """UTC."""
    next_poll_at: datetime
    """UTC. No poll is sent before."""
    faults: int = 0
    """Polls in a row that brought no answer."""
    answer_lost: bool = False
    """An answer since the last good one may have held the token."""

    def instructions(self, app_name: str | None = None) -> str:
        """What to tell the person, as plain text of several lines.

        Args:
            app_name: what the person knows the program as; None: the SID of the OAuth app.
        """
        return sign_in_instructions(
            app=app_name or self.client_sid,
            scopes=self.scopes,
            user_code=self.user_code,
            verification_uri=self.verification_uri,
            verification_uri_complete=self.verification_uri_complete,
        )
