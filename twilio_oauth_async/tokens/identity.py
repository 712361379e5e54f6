"""Whose token it is: keys, and whether a stored token can be used by a grant. Pure."""

from __future__ import annotations

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.errors import LoginReason
from twilio_oauth_async.grants.base import Grant, GrantIdentity
from twilio_oauth_async.stores.base import Key, StoredToken, TokenKey


def identity_of(grant: Grant) -> GrantIdentity | None:
    """Return the identity of `grant`; None for a grant of another package that has none."""
    identity: GrantIdentity | None = getattr(grant, "identity", None)
    return identity


def key_of(grant: Grant, user: str) -> Key:
    """Return the key of the token of `user`: each client and server has its own, if the grant names them."""
    identity = identity_of(grant)
    return user if identity is None else TokenKey(user, identity.client_sid, identity.server)


def clock_of(grant: Grant) -> Clock:
    """Return the clock of the grant's session, so that all objects share one; the machine's clock if it has none."""
    clock: Clock | None = getattr(getattr(grant, "session", None), "clock", None)
    return clock if clock is not None else SystemClock()


def why_unusable(stored: StoredToken | None, identity: GrantIdentity | None) -> LoginReason | None:
    """Return why the grant cannot use `stored`; None if it can.

    Returns:
        ``never_signed_in`` if it belongs to another client or server: it must not be sent there. ``scopes`` if it was
        requested with fewer scopes or audiences.
    """
    if stored is None or identity is None:
        return None
    belongs = (stored.client_sid or identity.client_sid, stored.server or identity.server)
    if belongs != (identity.client_sid, identity.server):
        return "never_signed_in"
    has_all = set(identity.scopes) <= set(stored.scopes) and set(identity.audiences) <= set(stored.audiences)
    return None if has_all else "scopes"
