"""Guessing user codes is limited per client (RFC 8628 5.1)."""

from __future__ import annotations

from collections import deque

from twilio_oauth_async.emulator.messages.refusal import RefusalError
from twilio_oauth_async.emulator.rules.model import Now, Policy

_MOST_CLIENTS = 10_000


class Guesses:
    """Counts wrong codes per client in a sliding window."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._wrong: dict[str, deque[float]] = {}

    def demand_patience(self, client: str, now: Now) -> None:
        """Let only clients go on that have not guessed too often.

        Raises:
            RefusalError: 429, with the seconds to wait.
        """
        wrong = self._wrong.get(client)
        if wrong is None:
            return
        while wrong and wrong[0] <= now.seconds - self._policy.guess_window:
            wrong.popleft()
        if not wrong:
            del self._wrong[client]
        elif len(wrong) >= self._policy.guess_limit:
            wait = int(wrong[0] + self._policy.guess_window - now.seconds) + 1
            raise RefusalError(
                "too_many_requests",
                "Too many wrong codes. Wait a minute and try again.",
                status=429,
                retry_after=wait,
            )

    def wrong(self, client: str, now: Now) -> None:
        """Note a wrong code."""
        if client not in self._wrong and len(self._wrong) >= _MOST_CLIENTS:
            del self._wrong[next(iter(self._wrong))]
        self._wrong.setdefault(client, deque(maxlen=max(self._policy.guess_limit, 1))).append(now.seconds)

    def clear(self) -> None:
        """Forgive everybody."""
        self._wrong.clear()
