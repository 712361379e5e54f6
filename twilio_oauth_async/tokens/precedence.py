"""Which of two tokens counts: the one in the store, or the one that a manager holds. Pure.

Processes that share a store come to the same result, in whatever order they read and save.
"""

from __future__ import annotations

from twilio_oauth_async.stores.base import StoredToken
from twilio_oauth_async.tokens.state import Held, Now, Saving, TokenState
from twilio_oauth_async.tokens.validity import can_refresh, seconds_left


def supersedes(record: StoredToken, ours: StoredToken, saving: Saving) -> bool:
    """Return whether the stored `record` replaces `ours`."""
    is_saved = saving is Saving.SAVED
    if record.epoch != ours.epoch:
        # The later sign-in wins.
        return record.signed_in_at > ours.signed_in_at or (is_saved and record.signed_in_at == ours.signed_in_at)
    if record.generation != ours.generation:
        return record.generation > ours.generation
    # The same token, perhaps with the mark of another process; or two refreshes at once, of which the durable one wins.
    # A save that was reported as failed may have been written, and another process may have marked the token since.
    is_ours = record.token.access_token == ours.token.access_token
    if not is_saved and ours.token.refresh_token and not record.token.refresh_token:
        return False  # another process was refused with the refresh token that ours has replaced
    return is_saved or not is_ours or record.unanswered >= ours.unanswered


def replaces_useless(record: StoredToken, held: Held, state: TokenState, now: Now) -> bool:
    """Return whether `held` is of no use any more, so that another sign-in counts although it is an older one."""
    return record.epoch != held.stored.epoch and seconds_left(state, held, now) <= 0 and not can_refresh(held, now)
