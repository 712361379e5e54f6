"""Time of ``await manager.token()`` while the token is fresh, compared with a coroutine that returns an attribute.

    python benchmarks/token_hot_path.py

Both run in the same process, in turn; the results are medians of many rounds. The limits are 1 microsecond and four
times the bare coroutine.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta

from harness import Report, Usage, in_turn, ratios, repeat

from twilio_oauth_async import Token, otel
from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.grants.client_credentials import ClientCredentials
from twilio_oauth_async.tokens.manager import TokenManager

CALLS, ROUNDS = 20_000, 31
MAX_MICROSECONDS, MAX_RATIO = 1.0, 4.0


class Holder:
    """The simplest token source."""

    def __init__(self, token: Token) -> None:
        self.held = token

    async def token(self) -> Token:
        """Return the attribute."""
        return self.held


async def main() -> int:
    """Measure, print the results and compare them with the limits."""
    report = Report(__file__, __doc__, packages=("opentelemetry-api",))
    token = Token(access_token="a", access_token_expires_at=datetime.now(UTC) + timedelta(hours=1))
    grant = ClientCredentials(OAuthSession(), client_id="OQ1", client_secret="s")  # never used
    manager = TokenManager(grant)
    await manager.adopt(token)
    holder = Holder(token)

    async def observed() -> Usage | None:
        otel.instrument()
        try:
            return await repeat(manager.token, CALLS)()
        finally:
            otel.uninstrument()

    rounds = {"bare": repeat(holder.token, CALLS), "managed": repeat(manager.token, CALLS), "observed": observed}
    series = await in_turn(rounds, rounds=ROUNDS, calls=CALLS)
    bare = series["bare"]
    report.add("coroutine", "returns an attribute", bare.wall, "us")
    for group, limit, name in (("manager.token()", True, "managed"), ("with OpenTelemetry", False, "observed")):
        report.add(group, "call", series[name].wall, "us", at_most=MAX_MICROSECONDS if limit else None)
        ratio = ratios(series[name], bare)
        report.add(group, "call / coroutine", ratio, "x", at_most=MAX_RATIO if limit else None)
    return report.finish()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
