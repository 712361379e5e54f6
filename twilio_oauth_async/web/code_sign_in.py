"""`CodeSignIn`: the requests of a sign-in with a code, which the user approves on another device."""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import aclosing
from http import HTTPStatus

from twilio_oauth_async.errors import TooManySignIns, UnauthorizedClientError, UnsupportedGrantTypeError
from twilio_oauth_async.tasks import create_task
from twilio_oauth_async.web.http_messages import EventStream, Request, Response
from twilio_oauth_async.web.parts import Parts
from twilio_oauth_async.web.streams import Streams
from twilio_oauth_async.web.visitors import Visitor

_log = logging.getLogger(__name__)


class CodeSignIn:
    """Starts and cancels sign-ins with a code, and sends their events."""

    def __init__(self, parts: Parts, streams: Streams) -> None:
        """Create it."""
        self._parts = parts
        self._streams = streams
        self._starting: dict[str, asyncio.Task[Response]] = {}
        """The sign-ins whose code is being requested, by the visitor."""

    async def start(self, visitor: Visitor, next_: str, address: str) -> Response:
        """``POST /connect``: start a sign-in, or join the one that is pending."""
        # A second click, or a second tab, waits for the first.
        task = self._starting.get(visitor.key)
        if task is None:
            task = self._starting[visitor.key] = create_task(self._start(visitor, next_, address))
            task.add_done_callback(lambda task: self._started(visitor.key, task))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Wait until the sign-ins are started whose code was requested."""
        if self._starting:
            await asyncio.wait(self._starting.values())

    def _started(self, visitor: str, task: asyncio.Task[Response]) -> None:
        del self._starting[visitor]
        if not task.cancelled():
            task.exception()  # raised to the caller, unless the browser has gone away

    async def _start(self, visitor: Visitor, next_: str, address: str) -> Response:
        parts = self._parts
        pending = await parts.sign_in_of(visitor)
        if pending is not None and not pending.is_over:
            return parts.home(visitor.with_sign_in(pending.id))
        if await parts.is_signed_in(visitor):
            return parts.home()
        wait = parts.limits.start(visitor.key, address, parts.clock.monotonic())
        if wait:
            return parts.too_often(wait)
        # As a new visitor: a cookie that an attacker has planted gets no access to the sign-in (session fixation).
        renewed = visitor.renewed()
        try:
            sign_in = await parts.runner.submit(renewed.key, context=parts.context_of(next_, address))
        except TooManySignIns as error:
            retry_after = math.ceil(error.retry_after)
            page = parts.pages.problem(HTTPStatus.SERVICE_UNAVAILABLE, "busy")
            return page.with_headers(("Retry-After", str(retry_after)))
        except (UnauthorizedClientError, UnsupportedGrantTypeError) as error:
            _log.warning("the server does not allow the device flow: %s", error)
            return parts.unavailable(visitor, next_)
        parts.limits.rename(visitor.key, renewed.key)
        return parts.home(renewed.with_sign_in(sign_in.id))

    async def cancel(self, visitor: Visitor) -> Response:
        """``POST /cancel``: cancel the pending sign-in."""
        sign_in = await self._parts.cancel_pending(visitor)
        # A user of the host application may have started it in another browser, which has its id.
        return self._parts.home(visitor if sign_in is None else visitor.with_sign_in(sign_in.id))

    async def events(self, request: Request, visitor: Visitor | None) -> Response | EventStream:
        """``GET /events``: the states of the visitor's sign-in, as server-sent events."""
        sign_in = None if visitor is None else await self._parts.sign_in_of(visitor)
        if visitor is None or sign_in is None:
            return self._parts.pages.problem(HTTPStatus.NOT_FOUND, "not_found")
        if self._streams.is_full(visitor.key):
            return self._parts.pages.problem(HTTPStatus.TOO_MANY_REQUESTS, "too_often", seconds=1)
        states = self._parts.runner.events(sign_in.id)
        last_id = request.headers.get("last-event-id", "")
        chunks = self._streams.chunks(visitor.key, states, last_id)
        if request.method == "HEAD":
            async with aclosing(states), aclosing(chunks):
                return Response(content_type="text/event-stream")
        return EventStream(chunks=chunks, headers=(("X-Accel-Buffering", "no"),))  # nginx would wait for more
