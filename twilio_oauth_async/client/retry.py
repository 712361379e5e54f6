"""When to send a request again, and the package's only use of ``backoff``.

Only what may be asked twice gets here (the GETs and the request for a device code). The first attempt is made
outside of ``backoff``: a call that succeeds at once, which is nearly every one, pays nothing for it.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeAlias, TypeVar

import attrs
import backoff

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import ConfigurationError

T = TypeVar("T")


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often and how far apart a request is sent again."""

    attempts: int = 4
    """In all, the first one included."""
    base: float = 0.2
    """Seconds. The wait before attempt n+1 is random, between nothing and ``min(cap, base * 2**(n-1))``."""
    cap: float = 5.0
    """Seconds."""

    def __attrs_post_init__(self) -> None:
        if self.attempts < 1 or not self.base > 0 or not self.cap >= self.base:
            raise ConfigurationError("RetryPolicy needs attempts >= 1 and 0 < base <= cap")

    @classmethod
    def none(cls) -> RetryPolicy:
        """One attempt, no more."""
        return cls(attempts=1)

    def wait(self, failures: int, retry_after: float | None) -> float:
        """Seconds to wait after so many `failures`.

        Full jitter spreads clients that failed together. ``Retry-After`` is a floor under it: less would be refused
        again.
        """
        jitter = random.uniform(0.0, min(self.cap, self.base * 2.0 ** min(failures - 1, 32)))  # noqa: S311 - no secret
        return jitter + (retry_after or 0.0)


@attrs.frozen
class Attempt(Generic[T]):
    """What one attempt brought."""

    outcome: T
    again: bool
    """A fault that may have passed by the next attempt."""
    retry_after: float | None = None


Send: TypeAlias = Callable[[], Awaitable[Attempt[T]]]


class _Again(Exception):  # noqa: N818 - a signal to backoff, never seen outside
    """Carries the wait and nothing of the answer: backoff hands it to every handler."""

    def __init__(self, wait: float) -> None:
        super().__init__()
        self.wait = wait


async def send_with_retry(send: Send[T], policy: RetryPolicy, clock: Clock, deadline: float) -> tuple[Attempt[T], int]:
    """Call `send` until it brings an answer, the policy is used up, or the next wait would pass the deadline.

    Args:
        send: one attempt.
        policy: how often and how far apart.
        clock: what waits.
        deadline: on the clock's monotonic side.

    Returns:
        The last attempt and how many there were.
    """
    attempt = await send()
    if not attempt.again or policy.attempts == 1:
        return attempt, 1
    return await _go_on(attempt, send, policy, clock, deadline)


async def _go_on(
    attempt: Attempt[T], send: Send[T], policy: RetryPolicy, clock: Clock, deadline: float
) -> tuple[Attempt[T], int]:
    made = 1
    is_replay = True

    async def once() -> None:
        nonlocal attempt, made, is_replay
        if is_replay:
            is_replay = False  # the attempt that failed before backoff was asked
        else:
            attempt = await send()
            made += 1
        if attempt.again:
            raise _Again(policy.wait(made, attempt.retry_after))

    async def sleep(details: Any) -> None:
        await clock.sleep(details["exception"].wait)

    def too_late(again: Exception) -> bool:
        return isinstance(again, _Again) and clock.monotonic() + again.wait >= deadline

    # The names are backoff's: its own wait stays at zero, since only our clock may wait; it logs nothing, since it
    # would log what is not ours; and it keeps no time, since it keeps it by the wall clock.
    await backoff.on_exception(
        backoff.constant,
        _Again,
        interval=0,
        max_tries=policy.attempts,
        jitter=None,
        giveup=too_late,
        on_backoff=sleep,
        raise_on_giveup=False,
        logger=None,
    )(once)()
    return attempt, made
