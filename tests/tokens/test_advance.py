"""`advance`, outcome by outcome: with the token that it is about, with another one, and with none.

See tests/faults/README.md. The tests compare the whole state, so that nothing else may change.
"""

import attrs
import pytest

from tests.helpers.token_states import (
    FAILED,
    LOST,
    MONOTONIC,
    NOT_FAILED,
    NOTHING,
    STORE_DOWN,
    UNSAVED,
    at,
    check,
    holding,
    is_down,
    is_in_conflict,
    moment,
    received,
    second_sign_in,
    stored,
)
from twilio_oauth_async.tokens.lifetime import advance
from twilio_oauth_async.tokens.state import (
    Event,
    Loaded,
    Saved,
    Saving,
)
from twilio_oauth_async.tokens.validity import hold

NOW = moment(100)
MARKED = stored(unanswered=1)
NEXT = stored("a2", obtained=100.0, refresh="r2", generation=2)
OTHER = second_sign_in()
FORGOTTEN = {"held": None, "used": None, "saving": Saving.SAVED, "rejected": None, "is_marked": False, **NOT_FAILED}


def with_token(stored, before=None, now=NOW, **times):
    """Return the fields of a state that has got `stored` and gives it to callers."""
    new = hold(stored, now, before=before, **times)
    return {"held": new, "used": new}


@pytest.mark.parametrize("state", [holding(**FAILED, is_marked=True, has_read=True), NOTHING], ids=["held", "none"])
@pytest.mark.parametrize(
    ("event", "before", "changes"),
    [
        pytest.param(Event.STARTED, {"conflicts": 2}, {"has_read": False, "conflicts": 0}, id="round started"),
        pytest.param(
            Event.INTERRUPTED,
            {"is_locked": True, "is_signing_out": True},
            {"is_locked": False, "is_marked": False, "has_read": False, "is_signing_out": False},
            id="39: interrupted",
        ),
        pytest.param(Event.CLOSING, {"store_failures": 3}, {"store_failures": 0}, id="44: closing"),
        pytest.param(
            Event.LOCKED, {}, {"is_locked": True, "has_read": False, "is_marked": False}, id="22: locked, read again"
        ),
        pytest.param(Event.UNLOCKED, {"is_locked": True}, {"is_locked": False, "is_marked": False}, id="unlocked"),
        pytest.param(
            Event.LOGOUT, {"logout_error": LOST}, {"is_signing_out": True, "logout_error": None}, id="42: logout"
        ),
        pytest.param(
            Event.DELETED,
            {"is_signing_out": True, "present": "first"},
            {**FORGOTTEN, "reason": "signed_out", "is_signing_out": False, "present": None},
            id="42: deleted",
        ),
    ],
)
def test_event(state, event, before, changes):
    check(attrs.evolve(state, **before), event, NOW, **changes)


def test_42_token_that_a_logout_has_revoked_is_forgotten_and_its_sign_in_is_remembered():
    check(
        holding(is_signing_out=True),
        Event.REVOKED,
        NOW,
        **{**FORGOTTEN, "reason": "signed_out", "revoked_epoch": "first"},
    )


def test_39_interrupted_before_the_save_the_new_token_is_used():
    state = received(NEXT, before=stored())
    after = advance(state, Event.INTERRUPTED, NOW)
    assert (after.saving, after.used, after.is_locked) == (Saving.UNSAVED, state.held, False)


# Loaded.


@pytest.mark.parametrize(
    ("state", "loaded", "changes"),
    [
        pytest.param(holding(has_read=False), Loaded(stored()), {"has_read": True}, id="the same"),
        pytest.param(holding(**FAILED), Loaded(stored()), {}, id="33: the same, the failures are kept"),
        pytest.param(holding(), Loaded(MARKED), with_token(MARKED), id="25: the mark of another process"),
        pytest.param(holding(**FAILED), Loaded(NEXT), {**with_token(NEXT), **NOT_FAILED}, id="22: refreshed elsewhere"),
        pytest.param(
            holding(**FAILED),
            Loaded(OTHER),
            {**with_token(OTHER), **NOT_FAILED, "present": "second", "signed_in_at": at(4000)},
            id="36: signed in elsewhere",
        ),
        pytest.param(
            holding(),
            Loaded(second_sign_in(signed_in=0.0)),
            {**with_token(second_sign_in(signed_in=0.0)), "present": "second"},
            id="two sign-ins at the same time: the stored one",
        ),
        pytest.param(
            holding(**UNSAVED),
            Loaded(second_sign_in(signed_in=0.0)),
            {"present": "second"},
            id="same time, not saved: ours",
        ),
        pytest.param(
            holding(OTHER, loaded_at=4000),
            Loaded(stored(generation=9)),
            {"present": "first", **UNSAVED},
            id="42: an older sign-in, whatever its generation: ours is saved again",
        ),
        pytest.param(holding(NEXT), Loaded(MARKED), UNSAVED, id="30: an older generation: ours is saved again"),
        pytest.param(holding(NEXT, **UNSAVED), Loaded(stored()), {}, id="24: not saved, the store has the older one"),
        pytest.param(
            holding(**UNSAVED),
            Loaded(MARKED),
            {**with_token(MARKED, before=holding().held), "saving": Saving.SAVED},
            id="25: the save that failed was written, and another process has marked it since",
        ),
        pytest.param(holding(), Loaded(None), {"present": None, **UNSAVED}, id="the store has lost it"),
        pytest.param(holding(**UNSAVED), Loaded(None), {"present": None}, id="the store has lost it, not saved"),
        pytest.param(
            holding(**FAILED, rejected="a1", conflicts=1),
            Loaded(None, is_deleted=True),
            {**FORGOTTEN, "present": None, "conflicts": 0, "reason": "signed_out"},
            id="42: deleted",
        ),
        pytest.param(
            holding(**UNSAVED),
            Loaded(None, is_deleted=True),
            {"present": None},
            id="42: deleted before, a later sign-in",
        ),
        pytest.param(
            holding(**UNSAVED, conflicts=1),
            Loaded(None, is_deleted=True),
            {**FORGOTTEN, "present": None, "conflicts": 0, "reason": "signed_out"},
            id="42: deleted, and the tombstone refuses it",
        ),
        pytest.param(NOTHING, Loaded(None), {}, id="none: never signed in"),
        pytest.param(NOTHING, Loaded(None, is_deleted=True), {"reason": "signed_out"}, id="42: none: signed out"),
        pytest.param(
            attrs.evolve(NOTHING, reason="signed_out"), Loaded(None), {"reason": "never_signed_in"}, id="none any more"
        ),
        pytest.param(
            NOTHING,
            Loaded(stored()),
            {**with_token(stored()), "present": "first", "signed_in_at": at(0)},
            id="none, and a token is stored",
        ),
        pytest.param(
            NOTHING, Loaded(stored(), unusable="scopes"), {"present": "first", "reason": "scopes"}, id="41: scopes"
        ),
        pytest.param(
            holding(),
            Loaded(OTHER, unusable="scopes"),
            {**FORGOTTEN, "present": "second", "reason": "scopes"},
            id="41: held",
        ),
        pytest.param(
            holding(store_failures=4), Loaded(stored()), {"store_failures": 0}, id="44: the store works again"
        ),
        pytest.param(
            holding(store_failures=4, **UNSAVED),
            Loaded(stored()),
            {"saving": Saving.SAVED},
            id="44: the save that failed was written",
        ),
        pytest.param(
            holding(NEXT, store_failures=4, **UNSAVED),
            Loaded(stored()),
            {},
            id="44: the store can be read, but not saved yet",
        ),
    ],
)
def test_loaded(state, loaded, changes):
    check(state, loaded, NOW, **changes)


def test_23_of_two_tokens_of_one_generation_the_stored_one_is_used_and_not_the_unsaved_one():
    theirs = attrs.evolve(NEXT, token=attrs.evolve(NEXT.token, access_token="a9"))
    after = advance(received(NEXT, before=stored()), Loaded(theirs), NOW)
    assert (after.held.stored, after.used, after.saving) == (theirs, after.held, Saving.SAVED)


@pytest.mark.parametrize(
    ("interactive", "signed_in", "expected"),
    [
        pytest.param(False, 0.0, at(100), id="now"),
        pytest.param(False, 900.0, at(900), id="never earlier than it was"),
    ],
)
def test_42_tombstone_of_a_host_whose_clock_is_ahead_gives_way_to_a_grant_without_user(
    interactive, signed_in, expected
):
    token = stored(signed_in=signed_in)
    state = received(token, interactive=interactive, conflicts=1)
    held = attrs.evolve(state.held, stored=attrs.evolve(token, signed_in_at=expected))
    check(state, Loaded(None, is_deleted=True), NOW, held=held, present=None)


REFUSED = stored(refresh_expires=9000.0, unanswered=1)


@pytest.mark.parametrize(
    ("state", "loaded", "is_refused"),
    [
        pytest.param(holding(REFUSED, refusal=REFUSED), Loaded(REFUSED), True, id="25: the store has the refused one"),
        pytest.param(holding(REFUSED, refusal=REFUSED), Loaded(None), True, id="25: the store has lost it"),
        pytest.param(holding(REFUSED, refusal=REFUSED), Loaded(NEXT), False, id="23: the store has a newer one"),
        pytest.param(holding(OTHER, refusal=REFUSED), Loaded(OTHER), False, id="42: a new sign-in is held"),
        pytest.param(holding(REFUSED, refusal=REFUSED), Loaded(None, is_deleted=True), False, id="42: deleted"),
    ],
)
def test_refused_refresh_token_is_removed_only_if_the_store_has_no_newer_token(state, loaded, is_refused):
    after = advance(state, loaded, NOW)
    assert after.refusal is None
    assert after.refused_epoch == ("first" if is_refused else None)
    if is_refused:
        token = attrs.evolve(REFUSED.token, refresh_token=None, refresh_token_expires_at=None)
        assert after.held.stored == attrs.evolve(REFUSED, token=token, generation=2, unanswered=0)
        assert (after.saving, after.used) == (Saving.UNSAVED, after.held)


# Saved, and failures of the store.

STORE_FAILED = {"store_failures": 2, "store_error": STORE_DOWN, "conflicts": 1}
STORE_WORKS = {"store_failures": 0, "store_error": None, "conflicts": 0}
ALREADY_MARKED = holding(MARKED)


@pytest.mark.parametrize(
    ("state", "saved", "changes"),
    [
        pytest.param(
            received(NEXT, before=stored(), **STORE_FAILED),
            Saved(NEXT),
            {**STORE_WORKS, "saving": Saving.SAVED, "used": received(NEXT).held},
            id="the new token",
        ),
        pytest.param(
            holding(MARKED, **UNSAVED, **STORE_FAILED),
            Saved(stored()),
            STORE_WORKS,
            id="the held one has changed meanwhile",
        ),
        pytest.param(
            holding(**STORE_FAILED),
            Saved(MARKED, is_mark=True),
            {**STORE_WORKS, "held": ALREADY_MARKED.held, "used": ALREADY_MARKED.held, "is_marked": True},
            id="26: the mark",
        ),
        pytest.param(holding(OTHER), Saved(NEXT), {"present": "first"}, id="42: of the sign-in before"),
        pytest.param(holding(NEXT), Saved(MARKED, is_mark=True), {}, id="42: a mark of the token before"),
        pytest.param(NOTHING, Saved(stored()), {"present": "first"}, id="42: none is held"),
    ],
)
def test_saved(state, saved, changes):
    check(state, saved, NOW, **changes)


@pytest.mark.parametrize(
    ("state", "failed", "changes"),
    [
        pytest.param(
            holding(is_signing_out=True),
            is_down,
            {"is_signing_out": False, "logout_error": STORE_DOWN, "has_read": False},
            id="42: during a logout: the logout fails, and the store is read again",
        ),
        pytest.param(
            holding(is_marked=True, conflicts=1),
            is_in_conflict,
            {"conflicts": 2, "has_read": False, "is_marked": False},
            id="22: second conflict: read again",
        ),
        pytest.param(
            holding(conflicts=2),
            is_in_conflict,
            {"store_failures": 1, "store_failed_at": MONOTONIC + 100, "store_error": is_in_conflict.error},
            id="third conflict: a failure",
        ),
        pytest.param(
            holding(is_marked=True, store_failures=2),
            is_down,
            {
                "is_marked": False,
                "store_failures": 3,
                "store_failed_at": MONOTONIC + 100,
                "store_error": STORE_DOWN,
            },
            id="44: third failure",
        ),
    ],
)
def test_store_failed(state, failed, changes):
    check(state, failed, NOW, **changes)


def test_24_new_token_is_used_although_saving_it_failed():
    after = advance(received(NEXT, before=stored()), is_down, NOW)
    assert (after.used, after.saving, after.store_failures) == (after.held, Saving.UNSAVED, 1)
