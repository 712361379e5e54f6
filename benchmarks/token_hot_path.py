"""Time of ``await manager.token()`` while the token is fresh, compared with a coroutine that returns an attribute.

    python benchmarks/token_hot_path.py

Both run in the same process, in turn; the results are medians of many rounds. The limits are 1.5 microseconds and four
times the bare coroutine.
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
MAX_MICROSECONDS, MAX_RATIO = 1.5, 4.0


class Holder:
    """The simplest token source."""

    def __init__(self, token: Token) -> None:
        self.held = token

    async def token(self) -> Token:
        """Return the attribute."""
        return self.held


async def microseconds(get_token: Callable[[], Awaitable[Token]]) -> float:
    """Run one round and return microseconds per call."""
    started = time.perf_counter()
    for _ in range(CALLS):
        await get_token()
    return (time.perf_counter() - started) / CALLS * 1e6


async def main() -> int:
    """Measure, print the results and compare them with the limits."""
    token = Token(access_token="a", access_token_expires_at=datetime.now(UTC) + timedelta(hours=1))
    grant = ClientCredentials(OAuthSession(), client_id="OQ1", client_secret="s")  # never used
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
    print(f"manager.token()  {other:.3f} us   {other / one:.2f}x (at most {MAX_RATIO}x, {MAX_MICROSECONDS} us)")
    print(f"with otel        {statistics.median(observed):.3f} us   {statistics.median(observed) / one:.2f}x")
    return int(other > MAX_MICROSECONDS or other / one > MAX_RATIO)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
