"""Faults: which requests they hit, what goes wrong, how often. A test adds one in one line.

``emulator.faults.on("token").times(2).respond(503, retry_after=3)``: the next two token requests get a 503.
``emulator.faults.on("refresh").drop_response()``: the next refresh rotates the token, and no response is sent.
``emulator.faults.on("poll").always().chance(0.2).reset("inside")``: about every fifth poll is reset within the body.

By default a fault hits one request. Each request is hit by at most one fault: the first one, in the order in which they
were added, that applies to it. `Faults.unused` lists faults that have hit less often than configured.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, Self, get_args

from aiohttp import web

from twilio_oauth_async.emulator.faults import checks, responses
from twilio_oauth_async.emulator.faults.plan import Break, Moment, Plan
from twilio_oauth_async.emulator.faults.responses import Garble, Signer
from twilio_oauth_async.emulator.messages.journal import RecordedRequest
from twilio_oauth_async.emulator.messages.response_formats import ResponseFormat

Target = Literal[
    "discovery",
    "metadata",
    "certs",
    "device_code",
    "token",
    "poll",
    "refresh",
    "code",
    "client_credentials",
    "userinfo",
    "revoke",
    "authorize",
]
"""``token``: all token requests; ``poll``, ``refresh``, ``code``, ``client_credentials``: those of one grant type."""

TARGETS: Final = frozenset(get_args(Target))


class Fault:
    """One fault. Each method configures it and returns it, so that calls can be chained."""

    def __init__(self, number: int, targets: frozenset[str], rng: random.Random) -> None:
        self.number = number
        """Number of the fault in its emulator, from 0."""
        self.hits: int = 0
        """Number of requests that the fault has hit."""
        self.plan: Plan = Plan()
        self._targets = targets
        self._rng = rng
        self._left: int | None = 1
        self._skip = 0
        self._chance = 1.0
        self._condition: Callable[[RecordedRequest], bool] | None = None
        self._calls = [f"on({', '.join(map(repr, sorted(targets & TARGETS)))})" if targets < TARGETS else "on()"]

    # -- which requests

    def times(self, count: int) -> Self:
        """Hit `count` requests."""
        self._left = checks.positive("count", count)
        return self._record(f"times({count})")

    def always(self) -> Self:
        """Hit every request until the fault is removed."""
        self._left = None
        return self._record("always()")

    def after(self, count: int) -> Self:
        """Skip the first `count` requests."""
        self._skip = checks.positive("count", count)
        return self._record(f"after({count})")

    def chance(self, probability: float) -> Self:
        """Hit each request with this probability. The emulator's seed determines which ones, so runs are repeatable."""
        if not 0 <= probability <= 1:
            raise ValueError("probability must be between 0 and 1")
        self._chance = probability
        return self._record(f"chance({probability})")

    def when(self, condition: Callable[[RecordedRequest], bool]) -> Self:
        """Hit only requests for which `condition` returns true."""
        self._condition = condition
        return self._record("when(...)")

    def on_success(self) -> Self:
        """Hit only requests that succeed. The fault takes effect after they are processed."""
        self.plan.success_only = True
        return self._record("on_success()")

    # -- instead of processing the request

    def respond(
        self,
        status: int,
        *,
        json: Any = ...,
        text: str | None = None,
        body: bytes | None = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        retry_after: float | str | datetime | None = None,
        processed: bool = False,
    ) -> Self:
        """Send this response instead of processing the request; with `processed`, after processing it.

        Without `json`, `text` and `body`, the body is an error that fits `status`, in the emulator's error format.
        `retry_after` is seconds, a date, or any text.
        """
        checks.final_status(status)
        for name, value in {**(headers or {}), "Content-Type": content_type}.items():
            checks.header(name, value)
        if isinstance(retry_after, str):
            checks.header("Retry-After", retry_after)
        self.plan.processed = processed
        return self._replace(
            f"respond({status})",
            lambda response_format: responses.build(
                response_format,
                status,
                json=json,
                text=text,
                body=body,
                content_type=content_type,
                headers=headers,
                retry_after=retry_after,
            ),
        )

    def error(self, code: str, *, status: int = 400, description: str = "Emulated fault.") -> Self:
        """Send an OAuth error response. Example of repeated ``slow_down``: ``times(20).error("slow_down")``."""
        checks.final_status(status)
        if not code:
            raise ValueError("code must not be empty")
        self.plan.processed = False
        return self._replace(
            f"error({code!r})", lambda response_format: responses.error(response_format, code, status, description)
        )

    def throttle(self, until: datetime, *, status: int = 400) -> Self:
        """Send an error with ``throttled_until``, as Twilio's v2 does for too many requests; `until` is aware."""
        checks.final_status(status)
        self.plan.processed = False
        return self._replace(
            f"throttle({until.isoformat()})",
            lambda response_format: responses.throttled(response_format, until, status),
        )

    def html(self, status: int = 502) -> Self:
        """Send an HTML page as a proxy does."""
        checks.final_status(status)
        self.plan.processed = False
        return self._replace(f"html({status})", lambda _: responses.html(status))

    def redirect(self, location: str, *, status: int = 307) -> Self:
        """Send a redirect."""
        checks.final_status(status)
        checks.header("Location", location)
        self.plan.processed = False
        return self._replace(f"redirect({status})", lambda _: responses.redirect(location, status))

    # -- processing the request and changing the response

    def change(self, /, **members: Any) -> Self:
        """Set members of the JSON response. A function as a value gets the real value and returns the new one."""
        return self._edit(f"change({', '.join(members)})", lambda response: responses.change(response, members))

    def omit(self, *names: str) -> Self:
        """Remove members of the JSON response."""
        return self._edit(f"omit({', '.join(names)})", lambda response: responses.omit(response, names))

    def garble(self, how: Garble) -> Self:
        """Corrupt the JSON response so that a strict parser must reject it."""
        checks.one_of("how", how, get_args(Garble))
        return self._edit(f"garble({how!r})", lambda response: responses.garble(response, how))

    def status(self, status: int) -> Self:
        """Send the body with another status."""
        checks.final_status(status)
        return self._edit(f"status({status})", lambda response: response.set_status(status))

    def header(self, name: str, value: str | None) -> Self:
        """Set a header of the response, or remove it if `value` is None."""
        checks.header(name, value)
        return self._edit(f"header({name!r})", lambda response: responses.header(response, name, value))

    def pad(self, size: int = 10 << 20) -> Self:
        """Extend the JSON response to `size` bytes with an additional member. It stays valid."""
        return self._edit(f"pad({size})", lambda response: responses.pad(response, size))

    def gzip_bomb(self, size: int = 64 << 20) -> Self:
        """Send a few kilobytes of gzip that decompress to `size` bytes of JSON."""
        return self._edit(f"gzip_bomb({size})", lambda response: responses.gzip_bomb(response, size))

    def id_token(
        self,
        *,
        claims: Mapping[str, Any] | None = None,
        omit: tuple[str, ...] = (),
        header: Mapping[str, Any] | None = None,
        signed_by: Signer = "emulator",
    ) -> Self:
        """Forge the ID token: set or remove claims, set header parameters, choose the signature.

        `signed_by` is the emulator's key, another key, HMAC with the public key as the secret, or no signature.
        """
        checks.one_of("signed_by", signed_by, get_args(Signer))
        self.plan.forgery = responses.Forgery(claims or {}, omit, header or {}, signed_by)
        return self._record("id_token(...)")

    # -- how the response is sent

    def delay(self, seconds: float) -> Self:
        """Wait before responding, on the emulator's clock. The request is processed even if the client disconnects."""
        self.plan.delay = seconds
        return self._record(f"delay({seconds})")

    def drip(self, seconds: float = 1.0, *, chunk: int = 1) -> Self:
        """Send the body in pieces of `chunk` bytes, `seconds` apart (slow loris)."""
        self.plan.drip = (seconds, checks.positive("chunk", chunk))
        return self._record(f"drip({seconds})")

    def truncate(self, keep: float = 0.5) -> Self:
        """Send the start of the body (0.5: half) with the ``Content-Length`` of the whole, and close the connection."""
        if not 0 <= keep < 1:
            raise ValueError("keep must be at least 0 and less than 1: the part of the body that is sent")
        self.plan.keep = keep
        return self._record(f"truncate({keep})")

    def wrong_length(self, by: int) -> Self:
        """Send a ``Content-Length`` that is `by` bytes too large (too small if negative) and close the connection."""
        self.plan.length_error = by
        return self._record(f"wrong_length({by})")

    def reset(self, moment: Moment = "before") -> Self:
        """End the connection with a TCP reset."""
        return self._break("reset", moment)

    def hang_up(self, moment: Moment = "before") -> Self:
        """Close the connection normally (TCP FIN)."""
        return self._break("hang_up", moment)

    def stall(self, moment: Moment = "before") -> Self:
        """Send nothing more and keep the connection open until the emulator stops."""
        if moment == "after":
            raise ValueError(
                "moment must be before, unanswered or inside: a stall after the whole response has no effect"
            )
        return self._break("stall", moment)

    def drop_response(self) -> Self:
        """Process the request and close the connection without a response."""
        return self.hang_up("unanswered")

    # -- called by the emulator

    def applies_to(self, record: RecordedRequest) -> bool:
        """Whether the fault hits this request. Must be called once per request, because `after` and `chance` count."""
        if self._left == 0 or not self._targets & {record.endpoint, record.kind}:
            return False
        if self._condition is not None and not self._condition(record):
            return False
        if self._skip:
            self._skip -= 1
            return False
        return self._chance >= 1 or self._rng.random() < self._chance

    def count_hit(self) -> None:
        """Count one hit."""
        self.hits += 1
        if self._left is not None:
            self._left -= 1

    @property
    def has_effect(self) -> bool:
        """Whether one of the methods was called that say what goes wrong."""
        return self.plan.has_effect

    @property
    def is_used_up(self) -> bool:
        """Whether the fault has hit as often as configured. Always False after `always`."""
        return self._left == 0

    @property
    def is_unused(self) -> bool:
        """Whether the fault has hit less often than configured. After `always`, one hit is enough."""
        return self.hits == 0 if self._left is None else self._left > 0

    @property
    def description(self) -> str:
        """The calls that configured the fault, as text."""
        return ".".join(self._calls)

    def __repr__(self) -> str:
        return f"<Fault {self.description}, {self.hits} hits>"

    def _record(self, call: str) -> Self:
        self._calls.append(call)
        return self

    def _replace(self, call: str, make: Callable[[ResponseFormat], web.Response]) -> Self:
        self.plan.replacement = make
        return self._record(call)

    def _edit(self, call: str, edit: Callable[[web.Response], None]) -> Self:
        self.plan.edits.append(edit)
        return self._record(call)

    def _break(self, how: Literal["reset", "hang_up", "stall"], moment: Moment) -> Self:
        checks.one_of("moment", moment, get_args(Moment))
        self.plan.broken = Break(how, moment)
        return self._record(f"{how}({moment!r})")
