"""`RateLimit`: how often something may happen within a minute, in one process. Pure."""

from __future__ import annotations

from collections import OrderedDict, deque

WINDOW = 60.0
"""Seconds in which is counted."""

MAX_KEYS = 100_000
"""Keys that are remembered. Beyond that, the one that was counted first is forgotten."""


class RateLimit:
    """Counts what happened under each key in the last minute."""

    def __init__(self, limit: int) -> None:
        """Create it for `limit` times within a minute."""
        self._limit = limit
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def seconds_to_wait(self, key: str, now: float) -> float:
        """Return the seconds after which `key` is below the limit; 0.0: it is now.

        Args:
            key: what is counted, for example a user or an address.
            now: monotonic time in seconds.
        """
        times = self._times.get(key)
        if times is None:
            return 0.0
        while times and times[0] <= now - WINDOW:
            times.popleft()
        return times[-self._limit] + WINDOW - now if len(times) >= self._limit else 0.0

    def count(self, key: str, now: float) -> None:
        """Count one time for `key`."""
        times = self._times.setdefault(key, deque(maxlen=self._limit))
        times.append(now)
        self._times.move_to_end(key)
        while len(self._times) > MAX_KEYS or self._is_over(next(iter(self._times.values())), now):
            self._times.popitem(last=False)

    def rename(self, old: str, new: str) -> None:
        """Count for `new` what was counted for `old`."""
        times = self._times.pop(old, None)
        if times is not None:
            self._times[new] = times

    @staticmethod
    def _is_over(times: deque[float], now: float) -> bool:
        return not times or times[-1] <= now - WINDOW
