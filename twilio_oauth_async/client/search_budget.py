"""`SearchBudget`: limits the fetches of the key set for tokens that no cached key verifies.

An attacker can invent any number of key IDs and signatures, so these fetches are limited. Each fetch returns all keys
of the server, whichever token caused it. Up to `SEARCH_BURST` forged tokens therefore do not delay the first token with
a new key, and any number of them delays it by `SEARCH_GAP` at most.
"""

from __future__ import annotations

import math

import attrs

SEARCH_BURST = 5
"""Fetches that are allowed one right after the other."""

SEARCH_GAP = 20.0
"""Seconds until one more fetch is allowed."""


@attrs.frozen
class SearchBudget:
    """A token bucket, which is full at first."""

    full_at: float = -math.inf
    """Monotonic time at which `SEARCH_BURST` fetches are allowed again."""

    def take(self, now: float) -> tuple[bool, SearchBudget]:
        """Return whether a fetch is allowed at `now`, and the budget after it."""
        full_at = max(self.full_at, now) + SEARCH_GAP
        if full_at - now > SEARCH_BURST * SEARCH_GAP:
            return False, self
        return True, SearchBudget(full_at)
