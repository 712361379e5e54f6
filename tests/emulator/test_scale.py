"""Ten thousand people who have not decided yet."""

from __future__ import annotations

import itertools
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest

from twilio_oauth_async.emulator.messages.refusal import RefusalError
from twilio_oauth_async.emulator.rules.ids import Ids
from twilio_oauth_async.emulator.rules.model import App, Now, Policy
from twilio_oauth_async.emulator.rules.state import State

PENDING = 10_000
WALL = datetime(2026, 1, 1, tzinfo=UTC)


def crowded(pending: int) -> tuple[State, App, list[str]]:
    state = State(Policy(), Ids(1), "https://iam.twilio.com")
    app = App(sid="OQ", name="App")
    scopes = [["openid", f"scope-{number}"] for number in range(pending)]
    codes = [state.start_device(app, wanted, (), Now(seconds=0, wall=WALL)).device_code for wanted in scopes]
    return state, app, codes


def test_a_pending_code_takes_less_than_four_kilobytes_and_expired_ones_are_swept() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        state, _, codes = crowded(PENDING)
        codes.clear()
        each = (tracemalloc.get_traced_memory()[0] - before) / PENDING
    finally:
        tracemalloc.stop()
    assert each < 4096
    assert len(state.devices) == PENDING
    state.devices.sweep(Now(seconds=299 + 599, wall=WALL))
    assert len(state.devices) == PENDING
    state.devices.sweep(Now(seconds=299 + 600, wall=WALL))
    assert len(state.devices) == 0


class Counting(dict[Any, Any]):
    """A dict that cannot be walked through, only looked into."""

    looks = 0

    def get(self, key: Any, default: Any = None) -> Any:
        self.looks += 1
        return super().get(key, default)

    def __iter__(self) -> Any:
        raise AssertionError("walked through all codes")

    values = items = keys = __iter__


def test_a_poll_looks_at_one_code_however_many_there_are() -> None:
    state, app, codes = crowded(PENDING)
    counting = Counting(state.devices._by_device_code)  # pyright: ignore[reportPrivateUsage]
    state.devices._by_device_code = counting  # pyright: ignore[reportPrivateUsage]
    for number, code in enumerate(itertools.islice(codes, 100)):
        with pytest.raises(RefusalError, match="authorization_pending"):
            state.exchange_device(app, code, Now(seconds=5, wall=WALL), authenticated=False)
        assert counting.looks == number + 1


def test_tokens_are_swept_too() -> None:
    state = State(Policy(access_token_lifetime=60, refresh_token_lifetime=120), Ids(1), "https://iam.twilio.com")
    app = App(sid="OQ", name="App", secret="s")
    start = Now(seconds=0, wall=WALL)
    issue = state.client_credentials(app, ["a"], [], start)
    state.grants.remember_access("access", issue.grant, issue.scopes, start)
    refresh_token = state.grants.issue_refresh(issue.grant, start)
    assert state.grants.find_access("access", Now(seconds=59, wall=WALL)) is not None
    assert state.grants.find_access("access", Now(seconds=60, wall=WALL)) is None
    assert state.grants.grant_of(refresh_token) is issue.grant
    state.grants.sweep(Now(seconds=120, wall=WALL))
    assert state.grants.grant_of(refresh_token) is None
