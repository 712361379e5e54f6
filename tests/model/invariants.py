"""What must be true in every world. `INVARIANTS` lists it; each function returns or notes what is violated."""

from tests.model.machine import ORIGIN
from tests.model.world import asks_for_login
from twilio_oauth_async.stores.base import StoredToken, Tombstone
from twilio_oauth_async.tokens.state import Saving

INVARIANTS = (
    "no caller gets a token that has expired, by any clock that its process can know",
    "no caller gets a token of another client, or of a sign-in that its process knows to be signed out",
    "no caller gets a token before a save of it was tried",
    "no login is asked for while the server accepts what the process or the store holds",
    "no refresh token is dropped while the server accepts it",
    "one refresh is under way at most, under the lock, and its mark is stored",
    "after a lost response, the refresh token is not sent again while the access token is valid",
    "an old refresh token is not sent while the newest is stored, or held by its sender",
    "what a logout deletes has been revoked, with its newest token",
    "no save brings a deleted sign-in back",
    "a token that can be refreshed is refreshed before it expires, if nothing fails",
    "without further faults each process comes to a valid token or asks for a login, without endless work",
)


def check_world(world, machine):
    """Return what is violated in this world, or None."""
    for process in world.processes:
        use = machine.decide(process.state).use
        violation = None if use is None else _check_use(world, machine, process, use)
        if violation:
            return violation
    record = machine.values[world.record]
    # If the store has lost a tombstone, no process can know of it.
    if isinstance(record, StoredToken) and record.epoch in world.gone and not world.is_hurt:
        return "a save has brought a deleted sign-in back"
    return None


def _check_use(world, machine, process, use):
    if use.client_sid:
        return "a caller gets a token of another client"
    if (use.epoch in process.signed_out or use.epoch == process.revoked) and not world.is_hurt:
        return "a caller gets a token of a sign-in that is signed out"
    if use.token.access_token_expires_at <= ORIGIN:
        return "a caller gets a token that has expired by the wall clock"
    issued = next((one for one in world.issued if one.name == use.token.access_token), None)
    # During suspend the monotonic clock stands still. If the wall clock is then set back, both clocks are wrong.
    are_both_wrong = world.is_suspended and world.is_set_back
    if issued is None and process.is_honest and not are_both_wrong:
        return "a caller gets a token that has expired"
    if issued is not None and not issued.is_tried:
        return "a caller gets a token that no process has tried to save"
    return None


def check_request(draft, p, of):
    """Note what is violated when process `p` sends the refresh token of `of`."""
    state, stored = draft.state(p), draft.stored()
    if draft.lock != p:
        draft.violate("a refresh without the lock")
    if any(process.flight >= 0 for process in draft.processes):
        draft.violate("two refreshes at once")
    if not draft.flags[2] and (not of.unanswered or stored != of):
        draft.violate("a refresh whose mark is not stored")
    issued = draft.issued.get(of.token.access_token)
    is_valid = issued is not None and of.token.access_token_expires_at > ORIGIN
    # If the store has lost the mark, no process can know of it.
    is_known = draft.processes[p].is_honest and of.token.access_token != state.rejected and not draft.flags[2]
    if of.token.refresh_token in draft.lost and is_valid and is_known:
        draft.violate("a refresh token is sent again while the access token is valid")


def _seems_expired(stored):
    ends = stored.token.refresh_token_expires_at
    return ends is not None and ends <= ORIGIN


def _check_drop(before, draft, p):
    was, now = draft.machine.values[before.processes[p].state].held, draft.state(p).held
    is_dropped = (
        was is not None and now is not None and was.stored.token.refresh_token and not now.stored.token.refresh_token
    )
    if is_dropped and was.stored.epoch == now.stored.epoch and draft.accepts(was.stored):
        draft.violate("a refresh token is dropped while the server accepts it")


def check_step(before, draft, p):
    """Note if process `p` has come to ask for a login although the server accepts a token.

    What is accepted and in the memory of another process alone does not count: `p` cannot know it. It gets it when the
    save of that process has ended; in the meantime `p` would have to wait for a process that may have ended. Neither
    does what replaces it: a logout that `p` has found in the store (a tombstone, which covers all sign-ins before), a
    later sign-in (perhaps of another user, so the former one is not used again), or the token of another client. A
    process that loads a token while its wall clock is ahead cannot know that the refresh token has not expired.
    """
    _check_drop(before, draft, p)
    asked = asks_for_login(draft, p)
    if asked is None or draft.processes[p].flight >= 0:
        return
    state, stored = draft.state(p), draft.stored()
    if state.is_signing_out or state.saving is Saving.NEW:
        return
    if isinstance(stored, StoredToken) and draft.accepts(stored) and not _seems_expired(stored):
        draft.violate(f"a login is asked for ({asked.reason}) while the server accepts what the store holds")
    was = draft.machine.values[before.processes[p].state]
    held = was.held
    if held is None or not draft.accepts(held.stored) or (_seems_expired(held.stored) and not held.is_new):
        return
    is_other = isinstance(stored, StoredToken) and stored.epoch != held.stored.epoch
    is_replaced = is_other and (stored.client_sid or stored.signed_in_at >= held.stored.signed_in_at)
    is_later = isinstance(stored, Tombstone) and stored.signed_in_at >= held.stored.signed_in_at
    is_deleted = is_later or (isinstance(stored, Tombstone) and was.saving is Saving.SAVED)
    if not is_replaced and not is_deleted:
        draft.violate(f"a login is asked for ({asked.reason}) while the server accepts what the process holds")
