"""`StartLimits`: how many sign-ins a visitor and a client address may start within a minute, in one process. Pure."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque

WINDOW = 60.0
"""Seconds in which sign-ins are counted."""

MAX_KEYS = 100_000
"""Visitors and addresses that are remembered. Beyond that, the one that was counted first is forgotten."""


class StartLimits:
    """The limits of a site."""

    def __init__(self, *, per_visitor: int, per_address: int) -> None:
        """Create it for so many starts within a minute."""
        self._visitors = _Starts(per_visitor)
        self._addresses = _Starts(per_address)

    def start(self, visitor: str, address: str, now: float) -> float:
        """Count a start, if it is allowed.

        Args:
            visitor: who starts a sign-in.
            address: the address of the client; empty if it is not known.
            now: monotonic time in seconds.

        Returns:
            0.0: it is allowed, and counted. Otherwise the seconds after which it is allowed.
        """
        network = network_of(address)
        wait = self._visitors.seconds_to_wait(visitor, now)
        if address:
            wait = max(wait, self._addresses.seconds_to_wait(network, now))
        if wait == 0.0:
            self._visitors.count(visitor, now)
            if address:
                self._addresses.count(network, now)
        return wait

    def rename(self, old: str, new: str) -> None:
        """Count what the visitor `old` has started for `new`: the same browser has got another secret."""
        self._visitors.rename(old, new)


class _Starts:
    """Counts what was started under each key in the last minute."""

    def __init__(self, limit: int) -> None:
        """Create it for at most `limit` starts within a minute."""
        self._limit = limit
        self._starts: OrderedDict[str, deque[float]] = OrderedDict()

    def seconds_to_wait(self, key: str, now: float) -> float:
        """Return the seconds after which `key` may start again; 0.0: now."""
        starts = self._starts.get(key)
        if starts is None:
            return 0.0
        while starts and starts[0] <= now - WINDOW:
            starts.popleft()
        return starts[-self._limit] + WINDOW - now if len(starts) >= self._limit else 0.0

    def count(self, key: str, now: float) -> None:
        """Count a start of `key`."""
        starts = self._starts.setdefault(key, deque(maxlen=self._limit))
        starts.append(now)
        self._starts.move_to_end(key)
        while len(self._starts) > MAX_KEYS or self._is_over(next(iter(self._starts.values())), now):
            self._starts.popitem(last=False)

    @staticmethod
    def _is_over(starts: deque[float], now: float) -> bool:
        return not starts or starts[-1] <= now - WINDOW

    def rename(self, old: str, new: str) -> None:
        starts = self._starts.pop(old, None)
        if starts is not None:
            self._starts[new] = starts


def network_of(address: str) -> str:
    """Return what is counted for a client address: the address itself, or the /64 network of an IPv6 address.

    A client has at least such a network to itself, and could use an address of it only once.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
