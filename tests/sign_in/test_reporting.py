"""`reporting`: what comes next with an end, and when it may be deleted. See tests/faults/README.md."""

import attrs
import pytest

from tests.helpers.flow_states import flow, monotonic
from tests.helpers.token_states import at, moment
from twilio_oauth_async.sign_in.flow_life import (
    GRANTED_GRACE,
    KEPT,
    LEASE,
    LOOK_EVERY,
    RECORD_PAUSE,
    SAVE_LIMIT,
    SETTLE,
)
from twilio_oauth_async.sign_in.flow_life import MAX_PAUSE as MAX_STORE_PAUSE
from twilio_oauth_async.sign_in.reporting import MAX_PAUSE, Pause, Report, Result, Task, advance, decide, may_delete

DAY = 86_400
NEW = Report(ended_at=at(0), has_callback=True)
LEASED = attrs.evolve(NEW, is_leased=True)
CALLED = attrs.evolve(LEASED, is_called=True)


@pytest.mark.parametrize(
    ("report", "seconds", "step"),
    [
        pytest.param(NEW, 0, Task.LEASE, id="lease it first: one process reports"),
        pytest.param(LEASED, 0, Task.CALL, id="49: leased: call"),
        pytest.param(CALLED, 0, Task.MARK, id="49: called: mark"),
        pytest.param(attrs.evolve(LEASED, has_callback=False), 0, Task.RELEASE, id="49: no callback: leave it"),
        pytest.param(attrs.evolve(CALLED, is_done=True), 0, Task.DONE, id="done"),
        pytest.param(
            attrs.evolve(LEASED, retry_at=monotonic(9)), 8.9, Pause(monotonic(9)), id="37: wait after a failure"
        ),
        pytest.param(attrs.evolve(LEASED, retry_at=monotonic(9)), 9, Task.CALL, id="37: call again"),
        pytest.param(LEASED, DAY - 0.1, Task.CALL, id="49: called for a day"),
        pytest.param(LEASED, DAY, Task.MARK, id="49: not called after a day"),
        pytest.param(NEW, DAY, Task.LEASE, id="not marked without a lease"),
    ],
)
def test_decide(report, seconds, step):
    assert decide(report, moment(seconds)) == step


@pytest.mark.parametrize(
    ("report", "result", "changes"),
    [
        (attrs.evolve(NEW, failures=2), Result.LEASED, {"is_leased": True, "failures": 0}),
        (NEW, Result.NOT_LEASED, {"is_done": True}),
        (attrs.evolve(LEASED, failures=2), Result.CALLED, {"is_called": True, "failures": 0}),
        (CALLED, Result.MARKED, {"is_done": True}),
        (LEASED, Result.RELEASED, {"is_done": True}),
        (LEASED, Result.FAILED, {"failures": 1, "retry_at": monotonic(11)}),
        (attrs.evolve(LEASED, failures=3), Result.FAILED, {"failures": 4, "retry_at": monotonic(18)}),
        (attrs.evolve(LEASED, failures=99), Result.FAILED, {"failures": 100, "retry_at": monotonic(10 + MAX_PAUSE)}),
    ],
    ids=lambda value: value.name if isinstance(value, Result) else "",
)
def test_advance(report, result, changes):
    assert advance(report, result, moment(10)) == attrs.evolve(report, **changes)


@pytest.mark.parametrize(
    ("delivered", "seconds", "expected"),
    [(True, KEPT - 0.1, False), (True, KEPT, True), (False, DAY + 3599, False), (False, DAY + 3600, True)],
)
def test_49_end_is_kept_for_five_minutes_and_until_it_was_reported(delivered, seconds, expected):
    ended = flow("denied", ended_at=at(0), delivered=delivered)
    assert may_delete(ended, at(seconds)) is expected


def test_flow_without_a_time_of_its_end_is_deleted_only_if_it_was_reported():
    assert not may_delete(flow("denied"), at(DAY * 9))
    assert may_delete(flow("denied", delivered=True), at(0))


def test_limits_fit_together():
    assert KEPT == 300, "five minutes, as the documentation says"
    assert SAVE_LIMIT < KEPT, "a process that cannot save its token finds out how the flow has ended"
    assert RECORD_PAUSE < SETTLE, "a token is recorded before a process that took the flow over polls"
    assert GRANTED_GRACE / 2 + MAX_STORE_PAUSE < GRANTED_GRACE, "a token is saved before it is taken for lost"
    assert LOOK_EVERY < LEASE
