"""Stored tokens and flows with every field set, and `CANARY`, a secret that must never be shown."""

from datetime import timedelta

from twilio_oauth_async import VirtualClock
from twilio_oauth_async.stores.testing import values
from twilio_oauth_async.stores.testing.values import CANARY, CLIENT, SERVER, SIGNED_IN_AT

__all__ = ["CANARY", "CLIENT", "NOW", "SERVER", "START", "at", "flow", "leased", "stored"]

NOW = SIGNED_IN_AT
START = VirtualClock(auto=False).now()


def stored(generation=1, unanswered=0, **changes):
    """Return the stored token of this generation, obtained at `NOW`.

    `changes` are ``code`` (the device code behind its epoch), ``signed_in`` (seconds after `NOW`), and fields of the
    stored token or of the token in it. All have the same epoch unless a `code` or an `epoch` is given.
    """
    return values.token(generation, unanswered, **{"obtained_at": NOW, **changes})


def at(seconds):
    """Return the time at which a new `VirtualClock` has run for `seconds`."""
    return START + timedelta(seconds=seconds)


def flow(id="a", **changes):  # noqa: A002
    """Return a stored flow that nothing polls; `changes` are its fields, or those of its authorization."""
    return values.flow(id, now=START, **changes)


def leased(id, owner, seconds):  # noqa: A002
    """Return the same flow, with a lease of `owner` that ends at ``at(seconds)``."""
    return flow(id, owner=owner, leased_until=at(seconds))
