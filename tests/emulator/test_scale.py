"""Memory and time with 10,000 pending device codes."""

from __future__ import annotations

import itertools
import tracemalloc
from datetime import UTC, datetime
from typing import Any

import pytest

from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.rules.authorization_server import AuthorizationServer
from twilio_oauth_async.emulator.rules.ids import Ids
from twilio_oauth_async.emulator.rules.model import App, Now, Policy

PENDING = 10_000
WALL = datetime(2026, 1, 1, tzinfo=UTC)


def server_with_pending_codes(pending: int) -> tuple[AuthorizationServer, App, list[str]]:
    server = AuthorizationServer(Policy(), Ids(1), "https://iam.twilio.com")
    app = App(sid="OQ", name="App")
    scopes = [["openid", f"scope-{number}"] for number in range(pending)]
    codes = [server.start_device(app, requested, (), Now(seconds=0, wall=WALL)).device_code for requested in scopes]
    return server, app, codes


def test_pending_code_takes_less_than_4_kib_and_expired_ones_are_deleted() -> None:
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        server, _, codes = server_with_pending_codes(PENDING)
        codes.clear()
        bytes_per_code = (tracemalloc.get_traced_memory()[0] - before) / PENDING
    finally:
        tracemalloc.stop()
    assert bytes_per_code < 4096
    assert len(server.devices) == PENDING
    server.devices.delete_expired(Now(seconds=299 + 599, wall=WALL))
    assert len(server.devices) == PENDING
    server.devices.delete_expired(Now(seconds=299 + 600, wall=WALL))
    assert len(server.devices) == 0


class LookupCounter(dict[Any, Any]):
    """A dict that counts look-ups and cannot be iterated."""

    lookups = 0

    def get(self, key: Any, default: Any = None) -> Any:
        self.lookups += 1
        return super().get(key, default)

    def __iter__(self) -> Any:
        raise AssertionError("iterated over all codes")

    values = items = keys = __iter__


def test_poll_reads_only_one_device_code() -> None:
    server, app, codes = server_with_pending_codes(PENDING)
    counter = LookupCounter(server.devices._by_device_code)  # pyright: ignore[reportPrivateUsage]
    server.devices._by_device_code = counter  # pyright: ignore[reportPrivateUsage]
    for number, code in enumerate(itertools.islice(codes, 100)):
        with pytest.raises(ErrorResponse, match="authorization_pending"):
            server.exchange_device(app, code, Now(seconds=5, wall=WALL), authenticated=False)
        assert counter.lookups == number + 1


def test_expired_tokens_are_deleted() -> None:
    server = AuthorizationServer(
        Policy(access_token_lifetime=60, refresh_token_lifetime=120), Ids(1), "https://iam.twilio.com"
    )
    app = App(sid="OQ", name="App", secret="s")
    start = Now(seconds=0, wall=WALL)
    issuance = server.client_credentials(app, ["a"], [], start)
    server.tokens.add_access_token("access", issuance.grant, issuance.scopes, start)
    refresh_token = server.tokens.issue_refresh_token(issuance.grant, start)
    assert server.tokens.find_access_token("access", Now(seconds=59, wall=WALL)) is not None
    assert server.tokens.find_access_token("access", Now(seconds=60, wall=WALL)) is None
    assert server.tokens.grant_of(refresh_token) is issuance.grant
    server.tokens.delete_expired(Now(seconds=120, wall=WALL))
    assert server.tokens.grant_of(refresh_token) is None
