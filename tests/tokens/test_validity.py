"""How long a token is valid and fresh, by both clocks. See the faults in tests/faults/README.md."""

import math

import attrs
import pytest

from tests.helpers.token_states import MONOTONIC, at, holding, moment, second_sign_in, stored
from twilio_oauth_async.tokens.state import TokenState
from twilio_oauth_async.tokens.validity import (
    MIN_REFRESH_GAP,
    background_leeway,
    can_refresh,
    effective_leeway,
    effective_need,
    expiry_of,
    fresh,
    hold,
    lifetime_of,
    seconds_left,
)

UNKNOWN = stored(lifetime=None)
BORN_EXPIRED = stored(lifetime=-10.0)


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param(stored(), at(3600), id="as the server says"),
        pytest.param(UNKNOWN, None, id="unknown"),
        pytest.param(stored(lifetime=0.0), at(1), id="17: expired at receipt, counts for one second"),
        pytest.param(BORN_EXPIRED, at(1), id="17: expired before receipt, counts for one second"),
        pytest.param(stored(lifetime=0.5), at(0.5), id="half a second is not prolonged"),
        pytest.param(stored(lifetime=-10.0, obtained=30.0), at(31), id="17: one second from receipt, not from now"),
    ],
)
def test_expiry_of_a_token(token, expected):
    assert expiry_of(token) == expected


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        pytest.param(stored(lifetime=3600.0, obtained=50.0), 3600.0, id="from receipt"),
        pytest.param(UNKNOWN, math.inf, id="unknown: infinite"),
        pytest.param(BORN_EXPIRED, 0.0, id="17: never negative"),
    ],
)
def test_lifetime_of_a_token(token, expected):
    assert lifetime_of(token) == expected


@pytest.mark.parametrize(
    ("lifetime", "leeway", "expected"),
    [
        pytest.param(3600.0, 60.0, 60.0, id="as given"),
        pytest.param(3600.0, 600.0, 360.0, id="at most a tenth"),
        pytest.param(60.0, 60.0, 6.0, id="17: a token of one minute is not refreshed all the time"),
        pytest.param(3600.0, math.inf, 360.0, id="infinite: a tenth"),
        pytest.param(3600.0, 0.0, 0.0, id="none"),
        pytest.param(None, 60.0, 0.0, id="unknown expiry: none"),
        pytest.param(0.0, 60.0, 0.0, id="17: expired at receipt: none"),
        pytest.param(-5.0, 60.0, 0.0, id="17: expired before receipt: none"),
    ],
)
def test_leeway_is_at_most_a_tenth_of_the_lifetime(lifetime, leeway, expected):
    assert effective_leeway(stored(lifetime=lifetime), leeway) == expected


@pytest.mark.parametrize(
    ("lifetime", "leeway", "share", "expected"),
    [
        pytest.param(3600.0, 60.0, 0.0, 360.0, id="earliest: a tenth of the lifetime"),
        pytest.param(3600.0, 60.0, 1.0, 60.0, id="latest: the leeway of callers"),
        pytest.param(3600.0, 60.0, 0.25, 285.0, id="between"),
        pytest.param(3600.0, 600.0, 0.5, 360.0, id="the leeway is the whole tenth"),
        pytest.param(0.0, 60.0, 0.5, 0.0, id="17: expired at receipt"),
        pytest.param(None, 60.0, 0.5, 0.0, id="unknown expiry: none"),
    ],
)
def test_background_refresh_is_in_the_last_tenth_and_before_the_leeway(lifetime, leeway, share, expected):
    assert background_leeway(stored(lifetime=lifetime), leeway, share) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("lifetime", "need", "expected"),
    [
        pytest.param(3600.0, 100.0, 100.0, id="as given"),
        pytest.param(3600.0, 4000.0, 3240.0, id="more than the server gives: nine tenths"),
        pytest.param(3600.0, 0.0, 0.0, id="none"),
        pytest.param(None, 4000.0, 0.0, id="unknown expiry: none"),
        pytest.param(-5.0, 100.0, 0.0, id="17: expired before receipt: none"),
    ],
)
def test_need_is_at_most_nine_tenths_of_the_lifetime(lifetime, need, expected):
    assert effective_need(stored(lifetime=lifetime), need) == pytest.approx(expected)


# Held tokens: the times of the monotonic clock.


@pytest.mark.parametrize(
    ("token", "now", "expected"),
    [
        pytest.param(stored(), moment(0), 3600.0, id="at receipt"),
        pytest.param(stored(), moment(600), 3600.0, id="loaded later"),
        pytest.param(stored(), moment(600, wall=500), 3700.0, id="18: loaded while the wall clock is behind"),
        pytest.param(stored(), moment(9000), 3600.0, id="loaded after expiry: in the past"),
        pytest.param(UNKNOWN, moment(0), math.inf, id="unknown"),
        pytest.param(BORN_EXPIRED, moment(0), 1.0, id="17: counts for one second"),
        pytest.param(stored(obtained=5.0), moment(0), 3605.0, id="45: obtained slightly in the future"),
    ],
)
def test_held_token_expires_at_the_same_time_on_the_monotonic_clock(token, now, expected):
    held = hold(token, now)
    assert held.expires == MONOTONIC + expected
    assert (held.issued, held.is_new, held.stored) == (-math.inf, False, token)


@pytest.mark.parametrize(
    ("refresh_expires", "expected"),
    [pytest.param(None, math.inf, id="unknown"), pytest.param(5000.0, 6000.0, id="known")],
)
def test_refresh_token_expires_at_the_same_time_on_the_monotonic_clock(refresh_expires, expected):
    assert hold(stored(refresh_expires=refresh_expires), moment(700)).refresh_expires == expected


def test_received_token_is_new_and_has_the_time_of_its_request():
    held = hold(stored(), moment(7), is_new=True, is_issued=True)
    assert (held.is_new, held.issued) == (True, MONOTONIC + 7)


def test_18_token_that_is_loaded_again_keeps_the_earlier_expiry_after_the_wall_clock_is_set_back():
    before = hold(stored(), moment(0))
    assert hold(stored(), moment(100, wall=-500), before=before).expires == before.expires


def test_18_token_that_is_loaded_again_gets_the_earlier_expiry_of_a_wall_clock_that_was_corrected():
    before = hold(stored(), moment(0))
    assert hold(stored(), moment(100, wall=600), before=before).expires == MONOTONIC + 3100


def test_token_that_is_loaded_again_stays_new_and_keeps_the_time_of_its_request():
    before = hold(stored(), moment(5), is_new=True, is_issued=True)
    after = hold(stored(), moment(100), before=before)
    assert (after.issued, after.is_new) == (before.issued, True)


def test_other_token_takes_no_time_from_the_one_before():
    before = hold(stored(refresh_expires=9000.0), moment(0), is_new=True, is_issued=True)
    after = hold(second_sign_in(refresh_expires=5000.0), moment(4000), before=before)
    assert after == hold(second_sign_in(refresh_expires=5000.0), moment(4000))


def test_18_refresh_token_that_is_loaded_again_keeps_the_later_expiry():
    before = hold(stored(refresh_expires=5000.0), moment(0))
    same = attrs.evolve(before.stored, token=attrs.evolve(before.stored.token, access_token="a2"))
    assert hold(same, moment(100, wall=4900), before=before).refresh_expires == MONOTONIC + 5000
    assert hold(same, moment(100, wall=0), before=before).refresh_expires == MONOTONIC + 5100


@pytest.mark.parametrize(
    ("token", "now", "expected"),
    [
        pytest.param(stored(), moment(100), 3500.0, id="both clocks agree"),
        pytest.param(stored(), moment(3600), 0.0, id="expired"),
        pytest.param(stored(), moment(4000), -400.0, id="expired for long"),
        pytest.param(stored(), moment(100, wall=3700), -100.0, id="18: suspended, only the wall clock moved"),
        pytest.param(stored(), moment(3700, wall=100), -100.0, id="18: the wall clock was set back"),
        pytest.param(UNKNOWN, moment(10.0**6), math.inf, id="unknown"),
        pytest.param(BORN_EXPIRED, moment(0.25), 0.75, id="17: expired before receipt"),
    ],
)
def test_seconds_left_are_those_of_the_clock_that_says_less(token, now, expected):
    state = holding(token)
    assert seconds_left(state, state.held, now) == expected


@pytest.mark.parametrize(
    ("issued", "rejected", "expected"),
    [
        pytest.param(True, "a1", 0.75, id="rejected: one second from its request"),
        pytest.param(False, "a1", -math.inf, id="rejected, of another process: none"),
        pytest.param(True, "another", 3599.75, id="another one rejected: all of it"),
    ],
)
def test_seconds_left_of_a_token_that_a_resource_server_has_rejected(issued, rejected, expected):
    held = hold(stored(), moment(0), is_issued=issued)
    assert seconds_left(holding(held=held, rejected=rejected), held, moment(0.25)) == expected


@pytest.mark.parametrize(("rejections", "gap"), [(0, 1.0), (1, 1.0), (2, 2.0), (9, 256.0), (10, 300.0), (10**6, 300.0)])
def test_gap_doubles_with_each_token_that_is_rejected(rejections, gap):
    held = hold(stored(), moment(0), is_issued=True)
    state = holding(held=held, used=held, rejected="a1", rejections=rejections)
    assert seconds_left(state, held, moment(0)) == gap
    assert fresh(state, 60.0).monotonic == MONOTONIC + gap


def test_rejected_token_that_expires_sooner_than_one_second_is_not_prolonged():
    held = hold(stored(lifetime=0.5), moment(0), is_issued=True)
    assert seconds_left(holding(held=held, rejected="a1"), held, moment(0)) == 0.5


@pytest.mark.parametrize(
    ("token", "now", "expected"),
    [
        pytest.param(stored(), moment(10.0**6), True, id="no expiry known"),
        pytest.param(stored(refresh=None), moment(0), False, id="25: no refresh token"),
        pytest.param(stored(refresh=None, refresh_expires=9000.0), moment(0), False, id="25: only its expiry"),
        pytest.param(stored(refresh_expires=5000.0), moment(4999), True, id="25: before expiry"),
        pytest.param(stored(refresh_expires=5000.0), moment(5000), False, id="25: both clocks say expired"),
        pytest.param(stored(refresh_expires=5000.0), moment(10, wall=6000), True, id="18: only the wall clock says so"),
        pytest.param(stored(refresh_expires=5000.0), moment(6000, wall=10), True, id="18: only the monotonic clock"),
    ],
)
def test_refresh_token_has_expired_only_if_both_clocks_say_so(token, now, expected):
    assert can_refresh(hold(token, moment(0)), now) is expected


@pytest.mark.parametrize(
    ("token", "rejected", "monotonic", "wall"),
    [
        pytest.param(stored(), None, 3540.0, 3540.0, id="until the leeway"),
        pytest.param(stored(), "another", 3540.0, 3540.0, id="another one rejected"),
        pytest.param(stored(), "a1", 1.0, 3540.0, id="rejected: one second from its request"),
        pytest.param(stored(lifetime=0.5), "a1", 0.45, 0.45, id="rejected and expires sooner"),
        pytest.param(UNKNOWN, None, math.inf, math.inf, id="unknown expiry"),
        pytest.param(BORN_EXPIRED, None, 1.0, 1.0, id="17: one second"),
    ],
)
def test_how_long_callers_get_the_token_without_a_further_look(token, rejected, monotonic, wall):
    used = hold(token, moment(0), is_issued=True)
    found = fresh(holding(token, used=used, rejected=rejected), 60.0)
    assert found.token == token.token
    assert found.monotonic - MONOTONIC == pytest.approx(monotonic)
    assert found.wall - at(0).timestamp() == pytest.approx(wall)


def test_fresh_is_judged_by_the_token_in_use_not_by_the_one_that_is_saved():
    assert fresh(TokenState(held=hold(stored(), moment(0))), 60.0) is None
    assert fresh(holding(held=hold(second_sign_in(), moment(0))), 60.0).token.access_token == "a1"


def test_17_shortest_time_between_two_refreshes_is_one_second():
    assert MIN_REFRESH_GAP == 1.0
