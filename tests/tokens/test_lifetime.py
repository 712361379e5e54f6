import math
from datetime import UTC, datetime, timedelta

import attrs
import pytest

from twilio_oauth_async import Token
from twilio_oauth_async.stores.base import StoredToken
from twilio_oauth_async.tokens.lifetime import (
    Move,
    effective_leeway,
    judge,
    seconds_fresh,
    seconds_to_background_refresh,
)

START = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds):
    return START + timedelta(seconds=seconds)


def stored(lifetime=3600.0, *, refresh="r", refresh_lifetime=None, unanswered=0):
    token = Token(
        access_token="a",
        access_token_expires_at=None if lifetime is None else after(lifetime),
        refresh_token=refresh,
        refresh_token_expires_at=None if refresh_lifetime is None else after(refresh_lifetime),
    )
    return StoredToken(
        token=token, epoch="e", signed_in_at=START, generation=3, obtained_at=START, unanswered=unanswered
    )


@pytest.mark.parametrize(
    ("lifetime", "leeway", "expected"),
    [
        (3600, 60, 60),
        (3600, 600, 360),
        (60, 60, 6),
        (3600, 0, 0),
        (None, 60, 0),
        (0, 60, 0),
        (-5, 60, 0),
        (3600, math.inf, 360),
    ],
)
def test_leeway_is_never_more_than_a_tenth_of_the_lifetime(lifetime, leeway, expected):
    assert effective_leeway(stored(lifetime), leeway) == expected


@pytest.mark.parametrize(("at", "fresh"), [(0, 3540), (3539.999, 0.001), (3540, 0), (3599, 0), (4000, 0)])
def test_how_long_a_token_is_fresh(at, fresh):
    assert seconds_fresh(stored(), 60, after(at)) == pytest.approx(fresh)


def test_a_token_without_an_end_is_always_fresh():
    assert seconds_fresh(stored(None), 60, after(10**9)) == math.inf
    assert seconds_to_background_refresh(stored(None), 60, START, 0.5) is None


@pytest.mark.parametrize(("share", "due"), [(0, 3240), (1, 3540), (0.5, 3390)])
def test_background_refresh_is_in_the_last_tenth_and_before_the_leeway(share, due):
    assert seconds_to_background_refresh(stored(), 60, START, share) == pytest.approx(due)
    assert seconds_to_background_refresh(stored(), 60, after(3600), share) == 0


@pytest.mark.parametrize(
    ("token", "at", "refused", "move"),
    [
        # fresh
        (stored(), 0, None, Move.USE),
        (stored(), 3539.9, None, Move.USE),
        (stored(None), 10**6, None, Move.USE),
        # near its end, and past it
        (stored(), 3540, None, Move.REFRESH),
        (stored(), 3599.9, None, Move.REFRESH),
        (stored(), 99_999, None, Move.REFRESH),
        # refused by a resource server
        (stored(), 10, "a", Move.REFRESH),
        (stored(None), 10, "a", Move.REFRESH),
        (stored(), 10, "another", Move.USE),
        # nothing to refresh with: used to its end
        (stored(refresh=None), 3599.9, None, Move.USE),
        (stored(refresh=None), 3600, None, Move.LOGIN),
        (stored(refresh=None), 10, "a", Move.LOGIN),
        # the refresh token has ended too
        (stored(refresh_lifetime=3000), 3599.9, None, Move.USE),
        (stored(refresh_lifetime=3000), 3600, None, Move.LOGIN),
        (stored(refresh_lifetime=99_999), 3600, None, Move.REFRESH),
        # born expired: not refreshed without end
        (stored(-10), 0, None, Move.USE),
        (stored(-10), 0.99, None, Move.USE),
        (stored(-10), 1, None, Move.REFRESH),
        (stored(-10, refresh=None), 1, None, Move.LOGIN),
        # row 25: after a lost answer it is used to its end, then tried once more, then a person is asked
        (stored(unanswered=1), 3540, None, Move.USE),
        (stored(unanswered=1), 3599.9, None, Move.USE),
        (stored(unanswered=1), 3600, None, Move.REFRESH),
        (stored(unanswered=1), 10, "a", Move.REFRESH),
        (stored(unanswered=2), 3599.9, None, Move.USE),
        (stored(unanswered=2), 3600, None, Move.LOGIN),
        (stored(unanswered=7), 3600, None, Move.LOGIN),
    ],
)
def test_judge(token, at, refused, move):
    assert judge(token, now=after(at), leeway=60, refused=refused) is move


def test_a_wall_clock_that_went_back_does_not_hold_a_token_for_newly_born():
    token = attrs.evolve(stored(-10), obtained_at=after(100))
    assert judge(token, now=after(50), leeway=60, refused=None) is Move.REFRESH
