"""What ``await manager.token()`` costs while the token is fresh, beside a coroutine that returns an attribute.

    python benchmarks/token_hot_path.py

Both run in the same process, turn about; medians of many rounds. The bound: 1.5 microseconds, and four times the
bare coroutine.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from twilio_oauth_async import Token, otel
from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.grants.client_credentials import ClientCredentials
from twilio_oauth_async.tokens.manager import TokenManager

CALLS, ROUNDS = 20_000, 31
MOST_MICROSECONDS, MOST_TIMES = 1.5, 4.0


class Holder:
    """The least that a token source can be."""

    def __init__(self, token: Token) -> None:
        self.held = token

    async def token(self) -> Token:
        """Give the attribute."""
        return self.held


async def microseconds(ask: Callable[[], Awaitable[Token]]) -> float:
    """One round: microseconds a call."""
    started = time.perf_counter()
    for _ in range(CALLS):
        await ask()
    return (time.perf_counter() - started) / CALLS * 1e6


async def main() -> int:
    """Measure, print, and judge."""
    token = Token(access_token="a", access_token_expires_at=datetime.now(UTC) + timedelta(hours=1))
    grant = ClientCredentials(OAuthSession(), client_id="OQ1", client_secret="s")  # never asked
    manager = TokenManager(grant)
    await manager.adopt(token)
    holder = Holder(token)
    bare: list[float] = []
    managed: list[float] = []
    observed: list[float] = []
    for _ in range(ROUNDS):
        bare.append(await microseconds(holder.token))
        managed.append(await microseconds(manager.token))
        otel.instrument()
        observed.append(await microseconds(manager.token))
        otel.uninstrument()
    one, other = statistics.median(bare), statistics.median(managed)
    print(f"bare coroutine   {one:.3f} us")
    print(f"manager.token()  {other:.3f} us   {other / one:.2f}x (at most {MOST_TIMES}x, {MOST_MICROSECONDS} us)")
    print(f"with otel        {statistics.median(observed):.3f} us   {statistics.median(observed) / one:.2f}x")
    return int(other > MOST_MICROSECONDS or other / one > MOST_TIMES)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
