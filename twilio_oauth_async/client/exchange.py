"""The one way that every request takes: credentials on, over the transport, again where it may be, and its outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TypeVar

import attrs

from twilio_oauth_async import telemetry
from twilio_oauth_async.client.retry import Attempt, RetryPolicy, send_with_retry
from twilio_oauth_async.client.transport import Failure, Transport
from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import ApiError, ProtocolError, TransportError, TwilioOAuthError
from twilio_oauth_async.protocol.messages import Context, Request, Response

T = TypeVar("T")

_log = logging.getLogger(__name__)

_RETRIED_STATUSES = frozenset({429, 502, 503, 504})


@attrs.frozen(kw_only=True)
class Exchange:
    """Sends requests of `protocol` and gives their outcome as a value: the model, or the error, not raised."""

    transport: Transport
    base_url: str
    authorization: str | None = attrs.field(repr=False)
    """The session's own ``Authorization`` header."""
    secrets: tuple[str, ...] = attrs.field(repr=False)
    """What goes out with that header; masked in what comes back."""
    retry: RetryPolicy
    clock: Clock

    async def __call__(
        self,
        request: Request,
        parse: Callable[[Response, Context], T | ApiError | ProtocolError],
        timeout: float,
    ) -> T | TwilioOAuthError:
        """Do it.

        Args:
            request: from a build function.
            parse: the parse function that belongs to it.
            timeout: seconds for all attempts and the waits between them.

        Raises:
            ConfigurationError: the transport is not open.
        """
        observer = telemetry.observer
        if observer is None:
            return (await self._send(request, parse, timeout))[0]
        told: telemetry.Attributes = {"http.request.method": request.method, "url.path": request.path}
        started = self.clock.monotonic()
        with observer.span("twilio_oauth.request", told) as later:
            outcome, attempts = await self._send(request, parse, timeout)
            result = type(outcome).__name__ if isinstance(outcome, TwilioOAuthError) else "ok"
            later.update({"attempts": attempts, "outcome": result})
        seconds = self.clock.monotonic() - started
        observer.record("twilio_oauth.request.duration", seconds, {"url.path": request.path, "outcome": result})
        if attempts > 1:
            observer.count("twilio_oauth.retries", {"url.path": request.path}, attempts - 1)
        return outcome

    async def _send(
        self,
        request: Request,
        parse: Callable[[Response, Context], T | ApiError | ProtocolError],
        timeout: float,
    ) -> tuple[T | TwilioOAuthError, int]:
        """The outcome, and how many attempts it took."""
        started = self.clock.monotonic()
        deadline = started + timeout
        headers: Mapping[str, str] = request.headers
        if self.authorization is not None and request.with_account and "Authorization" not in headers:
            headers = {"Authorization": self.authorization, **headers}
        sent = self.secrets + request.secrets

        async def attempt() -> Attempt[T | TwilioOAuthError]:
            # aiohttp takes a timeout of 0 for none at all.
            left = max(deadline - self.clock.monotonic(), 0.001)
            answer = await self.transport.send(self.base_url, request, headers, left)
            if isinstance(answer, Failure):
                return Attempt(answer.error, again=answer.retryable)
            outcome: T | TwilioOAuthError = parse(
                answer, Context(now=self.clock.now(), base_url=self.base_url, sent=sent)
            )
            retry_after = outcome.retry_after if isinstance(outcome, ApiError) else None
            return Attempt(outcome, again=answer.status in _RETRIED_STATUSES, retry_after=retry_after)

        if request.repeatable:
            last, attempts = await send_with_retry(attempt, self.retry, self.clock, deadline)
        else:
            last, attempts = await attempt(), 1
        elapsed = self.clock.monotonic() - started
        outcome = last.outcome
        if isinstance(outcome, TransportError):
            outcome.attempts = attempts
            outcome.elapsed = elapsed
        if _log.isEnabledFor(logging.DEBUG):
            result = outcome if isinstance(outcome, TwilioOAuthError) else type(outcome).__name__
            _log.debug("%s %s: %s (attempts %d, %.3f s)", request.method, request.path, result, attempts, elapsed)
        return outcome, attempts
