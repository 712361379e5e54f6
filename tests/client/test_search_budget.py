"""`SearchBudget`: how many fetches forged tokens can cause (fault 57, docs/reliability.md)."""

import pytest

from twilio_oauth_async.client.search_budget import SEARCH_BURST, SEARCH_GAP, SearchBudget


def allowed(*times):
    """Return the times at which a fetch is allowed, if one is wanted at each of `times`."""
    budget, result = SearchBudget(), []
    for now in times:
        is_allowed, budget = budget.take(now)
        if is_allowed:
            result.append(now)
    return result


@pytest.mark.parametrize("start", [-1000.0, 0.0, 5e9])
def test_burst_then_one_fetch_for_each_gap(start):
    now = [start] * SEARCH_BURST
    assert allowed(*now, start, start) == now
    just_before, then = start + SEARCH_GAP - 0.001, start + SEARCH_GAP
    assert allowed(*now, just_before, then, then) == [*now, then]


def test_burst_is_full_again_after_its_gaps_and_not_fuller():
    later = SEARCH_BURST * SEARCH_GAP
    assert allowed(*[0.0] * 9, *[later] * 9) == [0.0] * SEARCH_BURST + [later] * SEARCH_BURST
    assert allowed(*[0.0] * 9, *[later * 100] * 9) == [0.0] * SEARCH_BURST + [later * 100] * SEARCH_BURST


def test_steady_attempts_get_one_fetch_for_each_gap():
    times = [second / 4 for second in range(4 * 3600)]
    assert len(allowed(*times)) == SEARCH_BURST + (3600 - 1) // SEARCH_GAP


def test_refused_attempt_does_not_delay_the_next_fetch():
    assert allowed(*[0.0] * SEARCH_BURST, *[1.0] * 1000, SEARCH_GAP)[-1] == SEARCH_GAP
