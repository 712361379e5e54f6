"""The names in Redis for the tokens and locks of one user.

All of them have the user as their hash tag, so that they are in one slot of a cluster.
"""

from __future__ import annotations

import attrs

from twilio_oauth_async.stores.records import TokenKey
from twilio_oauth_async.stores.redis.calls import RedisScripts, quoted


@attrs.frozen
class UserNames:
    """The names of the keys of one user, and of the fields of one client and server."""

    records: str
    """A hash: tokens and tombstones."""
    set_aside: str
    """A hash: damaged tokens."""
    fences: str
    """A hash: the last fence of each lock."""
    lock: str
    """A string: the random value of the holder."""
    field: str
    """The begin of the fields of this client and server; empty for a key without them."""

    @property
    def for_change(self) -> list[str]:
        """The keys of a script that saves or deletes under a lock."""
        return [self.records, self.lock, self.fences]


def names_of(scripts: RedisScripts, key: TokenKey) -> UserNames:
    """Return the names of `key`."""
    app = f"{quoted(key.client_sid)}|{quoted(key.server)}" if key.client_sid or key.server else ""
    return UserNames(
        records=scripts.name(key.user, "tokens"),
        set_aside=scripts.name(key.user, "set-aside"),
        fences=scripts.name(key.user, "fences"),
        lock=scripts.name(key.user, f"lock:{app}" if app else "lock"),
        field=f"{app} " if app else "",  # no quoted text contains a space or a vertical bar
    )
