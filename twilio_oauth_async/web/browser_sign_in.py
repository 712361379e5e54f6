"""`BrowserSignIn`: the requests of a sign-in in the same browser, with the authorization code grant and PKCE."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus

import attrs

from twilio_oauth_async.errors import AuthorizationError, StoreError, TwilioOAuthError
from twilio_oauth_async.grants.authorization_code import AuthorizationCodeFlow
from twilio_oauth_async.protocol.authorization_response import state_matches
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.tasks import create_task
from twilio_oauth_async.web.authorization_cookie import RequestCipher, RequestInCookie
from twilio_oauth_async.web.http_messages import Request, Response
from twilio_oauth_async.web.parts import Parts
from twilio_oauth_async.web.visitors import Visitor

_log = logging.getLogger(__name__)


class BrowserSignIn:
    """Sends the browser to Twilio, and takes it back."""

    def __init__(self, parts: Parts, flow: AuthorizationCodeFlow, cipher: RequestCipher) -> None:
        """Create it."""
        self._parts = parts
        self._flow = flow
        self._cipher = cipher
        self._completing: dict[str, asyncio.Task[None]] = {}
        """The exchanges under way, by the ``state`` of the callback."""

    async def close(self) -> None:
        """Wait until the sign-ins whose code is being exchanged are completed."""
        if self._completing:
            await asyncio.wait(self._completing.values())

    async def start(self, request: Request, visitor: Visitor, next_: str, address: str) -> Response:
        """``POST /login``: send the browser to Twilio."""
        parts = self._parts
        if await parts.is_signed_in(visitor):
            return parts.home()
        wait = parts.limits.start(visitor.key, address, parts.clock.monotonic())
        if wait:
            return parts.too_often(wait)
        pending = await self._flow.start()
        kept = RequestInCookie(
            # The URL is not needed any more, and is half of the size.
            pending=attrs.evolve(pending, url=""),
            visitor=visitor.key,
            next=next_,
            started_at=parts.clock.now(),
        )
        cookie = parts.cookies.set_request(self._free_cookie(request), self._cipher.encrypt(kept))
        return parts.pages.page("continue", url=pending.url).with_headers(cookie)

    async def finish(self, request: Request, visitor: Visitor | None) -> Response:
        """``GET /callback``: complete the sign-in, if it was started in this browser by the same visitor."""
        parts, callback = self._parts, f"/callback?{request.query}"
        for name, kept in self._requests(request).items():
            if visitor is not None and kept.visitor == visitor.key and state_matches(kept.pending, callback):
                response = await self._complete(kept, visitor, callback)
                return response.with_headers(parts.cookies.delete(name))  # a callback is valid once
        return parts.pages.problem(HTTPStatus.BAD_REQUEST, "callback")

    async def _complete(self, kept: RequestInCookie, visitor: Visitor, callback: str) -> Response:
        parts = self._parts
        # As a new visitor: a cookie that an attacker has planted gets no access (session fixation). Its secret follows
        # from the code: if the response is lost, the same callback leads to the same visitor again.
        renewed = visitor.renewed(self._cipher.visitor_secret(kept.pending.state, callback))
        try:
            if not await parts.is_signed_in(renewed):
                await self._exchange_once(kept, callback, renewed.key)
        except AuthorizationError as error:
            if error.error == "access_denied":
                return parts.pages.page("ended", **parts.form_of(visitor, kept.next), state="denied", problem=None)
            return parts.pages.problem(HTTPStatus.BAD_REQUEST, "refused", error=str(error))
        await self._cancel_code_of(visitor)
        return parts.home(renewed, kept.next)

    async def _cancel_code_of(self, visitor: Visitor) -> None:
        """Cancel a code that waits for approval: the user has signed in in the other way."""
        try:
            await self._parts.cancel_pending(visitor)
        except TwilioOAuthError as error:
            _log.warning("a code that is not needed any more was not cancelled: %s", error)

    async def _exchange(self, kept: RequestInCookie, callback: str, user: str) -> None:
        token = await self._flow.finish(kept.pending, callback)
        try:
            await self._parts.runner.manager(user).adopt(token)
        except StoreError as error:
            # Fault 24: it is in use, and is saved in the background. The user is signed in.
            _log.error("the token of a sign-in is not saved yet: %s", error)
        except TwilioOAuthError:
            await self._revoke(token)
            raise

    async def _revoke(self, token: Token) -> None:
        """Revoke a token that was not accepted, so that it is not valid without an owner."""
        try:
            await self._flow.revoke(token)
        except TwilioOAuthError as error:
            _log.warning("a token that was not accepted was not revoked: %s", error)

    async def _exchange_once(self, kept: RequestInCookie, callback: str, user: str) -> None:
        """Exchange the code, once also for callbacks that arrive together.

        In a task of its own: a token that has arrived must be saved, even if the browser has gone away.
        """
        state = kept.pending.state
        task = self._completing.get(state)
        if task is None:
            task = self._completing[state] = create_task(self._exchange(kept, callback, user))
            task.add_done_callback(lambda task: self._completed(state, task))
        await asyncio.shield(task)

    def _completed(self, state: str, task: asyncio.Task[None]) -> None:
        del self._completing[state]
        if not task.cancelled():
            task.exception()  # raised to the caller, unless the browser has gone away

    def _requests(self, request: Request) -> dict[str, RequestInCookie]:
        """Return the authorization requests in the cookies of `request`, by the name of the cookie."""
        now = self._parts.clock.now()
        values = {name: request.cookies.get(name) for name in self._parts.cookies.requests}
        decrypted = {name: self._cipher.decrypt(value, now) for name, value in values.items() if value}
        return {name: kept for name, kept in decrypted.items() if kept is not None}

    def _free_cookie(self, request: Request) -> str:
        """Return the name of a cookie that is free, or that has the oldest authorization request."""
        used = self._requests(request)
        free = [name for name in self._parts.cookies.requests if name not in used]
        return free[0] if free else min(used, key=lambda name: used[name].started_at)
