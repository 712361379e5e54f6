"""User codes: alphabet, normalization, errors, and the rate limit on wrong codes (RFC 8628 5.1, 6.1)."""

from __future__ import annotations

from collections import deque

from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.rules.model import Now, Policy

ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
"""RFC 8628 6.1: no vowels, so that codes form no words, and nothing that looks like a digit.

A code has eight letters: 20^8, about 2^34 codes.
"""
_MAX_CLIENTS = 10_000
"""Clients whose wrong codes are counted; the oldest entry is deleted for a new one."""


class UserCodeError(Exception):
    """A user code that cannot be approved or denied. Pages choose their text by `reason`."""

    reason = "unknown"


class UnknownUserCodeError(UserCodeError, LookupError):
    """The user code was never issued, or it expired so long ago that it was deleted."""


class UserCodeExpiredError(UserCodeError, ValueError):
    """The user code has expired."""

    reason = "expired"


class UserCodeUsedError(UserCodeError, ValueError):
    """The user code was already approved or denied."""

    reason = "used"


def normalize_user_code(text: str) -> str:
    """Return a typed code in upper case and without spaces and punctuation (RFC 8628 6.1)."""
    return "".join(character for character in text.upper() if character.isalnum())


class UserCodeRateLimit:
    """Limit on the wrong user codes of each client, in a sliding window."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._wrong: dict[str, deque[float]] = {}

    def check_rate_limit(self, client: str, now: Now) -> None:
        """Check that `client` has not entered too many wrong codes.

        Raises:
            ErrorResponse: 429, with the seconds to wait.
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
            raise ErrorResponse(
                "too_many_requests",
                "Too many wrong codes. Wait a minute and try again.",
                status=429,
                retry_after=wait,
            )

    def record_wrong_code(self, client: str, now: Now) -> None:
        """Count a wrong code of `client`."""
        if client not in self._wrong and len(self._wrong) >= _MAX_CLIENTS:
            del self._wrong[next(iter(self._wrong))]
        self._wrong.setdefault(client, deque(maxlen=max(self._policy.guess_limit, 1))).append(now.seconds)

    def clear(self) -> None:
        """Delete the counts of all clients."""
        self._wrong.clear()
