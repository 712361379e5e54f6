"""`BearerAuth` for aiohttp: a client middleware.

::

    http = aiohttp.ClientSession(middlewares=(BearerAuth(manager),))
    async with http.get("https://api.twilio.com/2010-04-01/Accounts.json") as response: ...
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Final

from aiohttp import ClientError, ClientHandlerType, ClientRequest, ClientResponse, hdrs
from yarl import URL

from twilio_oauth_async.adapters import refusals
from twilio_oauth_async.adapters.bearer import Bearer, Foreign, TokenSource, authorization
from twilio_oauth_async.adapters.origins import TWILIO

_REDIRECTS: Final = {301, 302, 303, 307, 308}
"""Those that aiohttp follows."""

_led_to: ContextVar[URL | None] = ContextVar("_led_to", default=None)
"""The origin that the last answer in this context redirected to, where it was another one."""


class BearerAuth:
    """Puts the token of a manager on the requests of a session, or on one request (``middlewares=``).

    - The header goes to allowed origins only. aiohttp runs middlewares anew on each hop of a redirect, after it has
      dropped ``Authorization`` on the way to another origin; this one does not put it back there, not even where that
      origin is allowed: such a hop is sent without the token.
    - A 401 that is about the token (RFC 6750 3.1 ``invalid_token``, Twilio's 20003) makes the manager refresh it, and
      the request is sent once more; a second 401 goes to the caller. A body that cannot be sent again (a stream, a
      generator) is not: then the first 401 goes to the caller, readable, and the next request has a new token.
    - A request that already has an ``Authorization`` (its own header, user and password in its URL) keeps it, and is
      none of this middleware's business beyond its origin.
    - The header stands on the request only while that is sent: neither ``response.request_info`` nor an
      ``aiohttp.ClientResponseError`` has the token. Trace configs see it, as they see all that is sent.

    What `TokenManager.access_token` raises comes out of the request; then nothing was sent, or the first answer was
    a 401 and is released. One instance serves any number of sessions and tasks of the manager's event loop.
    """

    def __init__(self, manager: TokenSource, *, origins: Sequence[str] = TWILIO, foreign: Foreign = "refuse") -> None:
        """Nothing is sent here.

        Args:
            manager: where the token comes from, and who is told when it is refused.
            origins: who may get the token: ``scheme://host[:port]``, where ``*.`` before the host stands for one or
                more whole labels; ``http://`` for a loopback host only.
            foreign: what becomes of requests to other origins. ``"refuse"``: `ConfigurationError`, nothing is sent.
                ``"skip"``: they go out without the token.

        Raises:
            ConfigurationError: `origins` or `foreign` is wrong.
        """
        self._bearer = Bearer(manager, origins=origins, foreign=foreign)

    def __repr__(self) -> str:
        return repr(self._bearer)

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send `request` through `handler`; called by aiohttp.

        Raises:
            ConfigurationError: the request is for an origin that is not allowed.
            TwilioOAuthError: there is no token.
        """
        url, target = request.url, None
        is_elsewhere = _led_to.get() == url.origin()
        try:
            if (
                is_elsewhere
                or not self._bearer.admits(url.scheme, url.raw_host or "", url.port)
                or hdrs.AUTHORIZATION in request.headers
            ):
                response = await handler(request)
            else:
                response = await self._authorized(request, handler)
            target = _target(response, url, is_elsewhere=is_elsewhere)
            return response
        finally:
            _led_to.set(target)

    async def _authorized(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        token = await self._bearer.source.access_token()
        response = await _sent(request, handler, token)
        if response.status != 401:
            return response
        try:
            if not await _is_about_the_token(response):
                return response
            again = await self._bearer.after_refusal(token, can_send_again=_can_be_sent_again(request))
        except BaseException:
            response.close()
            raise
        if again is None:
            return response
        response.release()
        # The answer may have come before all of the body was sent: whoever writes it lets go of it first.
        await request.close()
        return await _sent(request, handler, again)


async def _sent(request: ClientRequest, handler: ClientHandlerType, token: str) -> ClientResponse:
    request.headers[hdrs.AUTHORIZATION] = authorization(token)
    try:
        return await handler(request)
    finally:
        # What is left on it would be in every repr of the answer's errors, and would look like the caller's own to
        # us when a middleware around this one sends the request again.
        request.headers.popall(hdrs.AUTHORIZATION, None)


def _can_be_sent_again(request: ClientRequest) -> bool:
    body = request.body
    # By aiohttp's own rule, the one it follows a 307 by: false for streams and generators once they have run.
    return isinstance(body, bytes) or not body.consumed


async def _is_about_the_token(response: ClientResponse) -> bool:
    """Look into a 401 and leave it as it was."""
    content = response.content
    head = bytearray()
    try:
        # One byte more than is looked at tells a body that ends there from one that goes on. Read to its end, it also
        # gives its connection back before the manager asks for another one.
        while chunk := await content.read(refusals.MAX_BODY + 1 - len(head)):
            head += chunk
    except ClientError:
        # It stays with the stream: the caller meets it when he reads, as he would have without us.
        return False
    body = bytes(head)
    with warnings.catch_warnings():
        # Deprecated for years without a successor, and the one public way to put back what was read.
        warnings.simplefilter("ignore", DeprecationWarning)
        content.unread_data(body)
    challenges = response.headers.getall(hdrs.WWW_AUTHENTICATE, ())
    return refusals.is_about_the_token(challenges, body if len(body) <= refusals.MAX_BODY else None)


def _target(response: ClientResponse, url: URL, *, is_elsewhere: bool) -> URL | None:
    """The origin that the next hop must go to without the token: another one, or any once the way led elsewhere.

    Whether aiohttp will follow is not known here. Where it does not, and the caller goes there by himself in the same
    task, his next request is taken for the hop that it is.
    """
    location = response.headers.get(hdrs.LOCATION) or response.headers.get(hdrs.URI)
    if response.status not in _REDIRECTS or not location:
        return None
    try:
        origin = url.join(URL(location)).origin()
    except ValueError:
        return None  # aiohttp has its own words for it
    return origin if is_elsewhere or origin != url.origin() else None
