"""Retries of requests that may be sent more than once (the GETs and the request for a device code).

The only module that uses ``backoff``. The first attempt is made outside ``backoff``, so a call that succeeds at once
has no overhead.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeAlias, TypeVar

import attrs
import backoff

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol.argument_checks import number

T = TypeVar("T")

RETRIED_STATUSES = frozenset({429, 502, 503, 504})
"""Statuses of responses after which a repeatable request is sent again."""


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """The number of attempts for one request, and the waits between them."""

    attempts: int = 4
    """The largest number of attempts, the first one included."""
    base: float = 0.2
    """Seconds. The wait before attempt n+1 is random, between 0 and ``min(cap, base * 2**(n-1))``."""
    cap: float = 5.0
    """Seconds. The longest wait, except for the seconds of ``Retry-After``, which are added."""

    def __attrs_post_init__(self) -> None:
        attempts, base, cap = number(self.attempts), number(self.base), number(self.cap)
        if attempts is None or base is None or cap is None or not (attempts >= 1 and 0 < base <= cap):
            raise ConfigurationError("RetryPolicy needs attempts >= 1 and 0 < base <= cap")

    @classmethod
    def none(cls) -> RetryPolicy:
        """Return a policy of one attempt."""
        return cls(attempts=1)

    def wait(self, failures: int, retry_after: float | None) -> float:
        """Return the seconds to wait after `failures` failed attempts.

        Full jitter spreads the retries of clients that failed at the same time. It is added to ``Retry-After``, because
        the server rejects requests before that time.
        """
        jitter = random.uniform(0.0, min(self.cap, self.base * 2.0 ** min(failures - 1, 32)))  # noqa: S311 - no secret
        return jitter + (retry_after or 0.0)


@attrs.frozen
class Attempt(Generic[T]):
    """The result of one attempt."""

    outcome: T
    retryable: bool
    """The attempt failed, and the next one may succeed."""
    retry_after: float | None = None
    """Seconds, from the response header."""


Send: TypeAlias = Callable[[], Awaitable[Attempt[T]]]


class _RetryNeeded(Exception):  # noqa: N818 - a signal to backoff that never reaches a caller
    """Raised to make backoff retry. Holds only the wait and no part of the response: backoff passes it to handlers."""

    def __init__(self, wait: float) -> None:
        super().__init__()
        self.wait = wait


async def send_with_retry(send: Send[T], policy: RetryPolicy, clock: Clock, deadline: float) -> tuple[Attempt[T], int]:
    """Call `send` until it succeeds, all attempts are used, or the next wait would pass the deadline.

    Args:
        send: makes one attempt.
        policy: the number of attempts and the waits between them.
        clock: sleeps between the attempts, and measures the time until `deadline`.
        deadline: a time of the monotonic clock, in seconds; no retry starts at or after it.

    Returns:
        The last attempt and the number of attempts.
    """
    attempt = await send()
    if not attempt.retryable or policy.attempts == 1:
        return attempt, 1
    return await _retry(attempt, send, policy, clock, deadline)


async def _retry(
    attempt: Attempt[T], send: Send[T], policy: RetryPolicy, clock: Clock, deadline: float
) -> tuple[Attempt[T], int]:
    made = 1
    is_replay = True

    async def next_attempt() -> None:
        nonlocal attempt, made, is_replay
        if is_replay:
            is_replay = False  # backoff makes the first call for the attempt that has failed already
        else:
            attempt = await send()
            made += 1
        if attempt.retryable:
            raise _RetryNeeded(policy.wait(made, attempt.retry_after))

    async def sleep(details: Any) -> None:
        await clock.sleep(details["exception"].wait)

    def is_too_late(error: Exception) -> bool:
        return isinstance(error, _RetryNeeded) and clock.monotonic() + error.wait >= deadline

    # backoff itself neither waits (interval=0, jitter=None: only our clock sleeps), nor logs (it would log the
    # exception), nor limits the time (max_time follows the wall clock).
    await backoff.on_exception(
        backoff.constant,
        _RetryNeeded,
        interval=0,
        max_tries=policy.attempts,
        jitter=None,
        giveup=is_too_late,
        on_backoff=sleep,
        raise_on_giveup=False,
        logger=None,
    )(next_attempt)()
    return attempt, made
