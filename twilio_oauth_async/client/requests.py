"""`Requests`: sends the requests of a session with its credentials and retries, and parses the responses."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping
from datetime import datetime
from typing import Any, TypeVar

from multidict import CIMultiDict

from twilio_oauth_async import in_flight, telemetry
from twilio_oauth_async.client.credentials import basic_authorization
from twilio_oauth_async.client.endpoint_methods import Parse
from twilio_oauth_async.client.failures import Failure
from twilio_oauth_async.client.retry import RETRIED_STATUSES, Attempt, RetryPolicy, send_with_retry
from twilio_oauth_async.client.transport import Result, Transport
from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import ApiError, RateLimitedError, TransportError, TwilioOAuthError
from twilio_oauth_async.protocol.endpoints import TOKEN_ENDPOINTS
from twilio_oauth_async.protocol.messages import Context, Request
from twilio_oauth_async.protocol.parameters import FORM_HEADERS
from twilio_oauth_async.protocol.serializable import HoldsSecrets
from twilio_oauth_async.protocol.server_time import measure_skew

T = TypeVar("T")

FIRST_ATTEMPT_SHARE = 0.5
"""The share of the time limit that the first attempt of a request has, if the request can be repeated."""

_log = logging.getLogger("twilio_oauth_async.client.session")  # one logger for all records of a session


class Requests(HoldsSecrets):
    """The requests of one session."""

    def __init__(
        self,
        transport: Transport,
        *,
        username: str | None,
        password: str | None,
        retry: RetryPolicy,
        clock: Clock,
    ) -> None:
        """Create it; nothing is sent. `OAuthSession` documents the arguments.

        Raises:
            ConfigurationError: the credentials are not complete, or not valid.
        """
        self.authorization: str | None = basic_authorization(username, password)
        self.clock_skew: float = 0.0
        """Seconds: see `OAuthSession.clock_skew`."""
        # Masked where a response repeats them: the password, and the header value that holds it in base64.
        self._secrets = tuple(filter(None, (password, (self.authorization or "").removeprefix("Basic "))))
        authorization = {} if self.authorization is None else {"Authorization": self.authorization}
        # Of nearly all requests; aiohttp copies it. From a dict, it would first build another CIMultiDict.
        self._form_headers: Mapping[str, str] = CIMultiDict({**authorization, **FORM_HEADERS})
        self._transport = transport
        self._retry = retry
        self._clock = clock

    def outcome_of(
        self, base_url: str, request: Request, parse: Parse[T], timeout: float
    ) -> Coroutine[Any, Any, T | TwilioOAuthError]:
        """Send `request`, with retries where they are allowed, and return the model or the error, when it is awaited.

        Args:
            base_url: the URL of the API, without a trailing slash.
            request: from a build function of `protocol`.
            parse: the parse function that belongs to it.
            timeout: seconds for all attempts and the waits between them.

        Raises:
            ConfigurationError: the transport is not open.
        """
        if telemetry.observer is None:
            return self._send(base_url, request, parse, timeout, telemetry.UNOBSERVED)
        return self._send_observed(base_url, request, parse, timeout)

    async def _send_observed(
        self, base_url: str, request: Request, parse: Parse[T], timeout: float
    ) -> T | TwilioOAuthError:
        method: telemetry.Attributes = {"http.request.method": request.method}
        path: telemetry.Attributes = {"url.path": request.path}
        with telemetry.observe("twilio_oauth.request", self._clock, method, labels=path) as operation:
            outcome = await self._send(base_url, request, parse, timeout, operation)
            operation.set_result(outcome)
            return outcome

    async def _send(
        self, base_url: str, request: Request, parse: Parse[T], timeout: float, operation: telemetry.Operation
    ) -> T | TwilioOAuthError:
        started = self._clock.monotonic()
        if request.repeatable:
            outcome, attempts = await self._send_repeatedly(base_url, request, parse, timeout, operation)
        else:
            attempts = 1
            operation.set_attribute("attempts", attempts)
            sent_at = self._clock.now()
            sending = self._transport.send(base_url, request, self._headers_of(request), timeout)
            outcome = self._outcome(await in_flight.counted(sending), base_url, request, parse, sent_at)
        if isinstance(outcome, TransportError):
            outcome.attempts, outcome.elapsed = attempts, self._clock.monotonic() - started
        if _log.isEnabledFor(logging.DEBUG):
            result = outcome if isinstance(outcome, TwilioOAuthError) else type(outcome).__name__
            elapsed = self._clock.monotonic() - started
            _log.debug("%s %s: %s (attempts %d, %.3f s)", request.method, request.path, result, attempts, elapsed)
        return outcome

    async def _send_repeatedly(
        self, base_url: str, request: Request, parse: Parse[T], timeout: float, operation: telemetry.Operation
    ) -> tuple[T | TwilioOAuthError, int]:
        """Return the outcome and the number of attempts."""
        deadline = self._clock.monotonic() + timeout
        # So that there is time for a second attempt if the server is silent.
        first = timeout if self._retry.attempts == 1 else timeout * FIRST_ATTEMPT_SHARE
        attempts = 0

        async def attempt() -> Attempt[T | TwilioOAuthError]:
            nonlocal attempts
            attempts += 1
            operation.set_attribute("attempts", attempts)
            if attempts > 1:
                operation.count("twilio_oauth.retries", {"url.path": request.path})
            left = first if attempts == 1 else deadline - self._clock.monotonic()
            sent_at = self._clock.now()
            sending = self._transport.send(base_url, request, self._headers_of(request), left)
            result = await in_flight.counted(sending)
            outcome = self._outcome(result, base_url, request, parse, sent_at)
            if isinstance(result, Failure):
                return Attempt(outcome, retryable=result.retryable)
            retry_after = outcome.retry_after if isinstance(outcome, ApiError) else None
            is_retryable = result.status in RETRIED_STATUSES or isinstance(outcome, RateLimitedError)
            return Attempt(outcome, retryable=is_retryable, retry_after=retry_after)

        last, _ = await send_with_retry(attempt, self._retry, self._clock, deadline)
        return last.outcome, attempts

    def _outcome(
        self, result: Result, base_url: str, request: Request, parse: Parse[T], sent_at: datetime
    ) -> T | TwilioOAuthError:
        """Return the model or the error, and measure the clock skew."""
        if isinstance(result, Failure):
            return result.error
        now = self._clock.now()
        if request.path in TOKEN_ENDPOINTS:  # responses that no cache stores (RFC 6749 5.1)
            skew = measure_skew(result.headers, sent_at, now)
            self.clock_skew = self.clock_skew if skew is None else skew
        sent = self._secrets + request.secrets
        return parse(result, Context(now=now, clock_skew=self.clock_skew, base_url=base_url, sent=sent))

    def _headers_of(self, request: Request) -> Mapping[str, str]:
        if request.headers is FORM_HEADERS and request.with_account:
            return self._form_headers
        headers = request.headers
        if self.authorization is not None and request.with_account and "Authorization" not in headers:
            return {"Authorization": self.authorization, **headers}
        return headers
