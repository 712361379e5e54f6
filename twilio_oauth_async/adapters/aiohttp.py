"""`BearerAuth` for aiohttp: a client middleware.

::

    http = aiohttp.ClientSession(middlewares=(BearerAuth(manager),))
    async with http.get("https://api.twilio.com/2010-04-01/Accounts.json") as response: ...
"""

from __future__ import annotations

import warnings
from contextvars import ContextVar
from typing import Final

from aiohttp import ClientError, ClientHandlerType, ClientRequest, ClientResponse, hdrs
from yarl import URL

from twilio_oauth_async.adapters import unauthorized
from twilio_oauth_async.adapters.bearer_policy import BearerAuthBase, authorization

_REDIRECTS: Final = {301, 302, 303, 307, 308}
"""The statuses that aiohttp follows."""

_redirected_to: ContextVar[URL | None] = ContextVar("_redirected_to", default=None)
"""The origin to which the last response in this context redirected, if it must not get the token; else None."""


class BearerAuth(BearerAuthBase):
    """Client middleware for aiohttp: sends requests with the access token of a manager.

    Pass it to a session, or to one request, as ``middlewares=(BearerAuth(manager),)``. The token goes only to the
    allowed `origins`, and is refreshed once after a 401. All rules: `twilio_oauth_async.adapters.bearer_policy`.

    For aiohttp:

    - User and password in a URL count as the caller's own ``Authorization``.
    - The header is removed from the request when it has been sent: neither ``response.request_info`` nor an
      ``aiohttp.ClientResponseError`` contains the token. Trace configs see it, like everything that is sent.
    """

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send `request` through `handler`; called by aiohttp, once for each hop of a redirect.

        Raises:
            ConfigurationError: the origin of the request is not allowed.
            TwilioOAuthError: there is no token.
        """
        url, next_target = request.url, None
        was_redirected = _redirected_to.get() == url.origin()
        try:
            if (
                was_redirected
                or not self._bearer.may_send_token(url.scheme, url.raw_host or "", url.port)
                or hdrs.AUTHORIZATION in request.headers
            ):
                response = await handler(request)
            else:
                response = await self._send_with_token(request, handler)
            next_target = _target_without_token(response, url, was_redirected=was_redirected)
            return response
        finally:
            _redirected_to.set(next_target)

    async def _send_with_token(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        token = await self._bearer.source.access_token()
        response = await _send(request, handler, token)
        if response.status != 401:
            return response
        try:
            if not await _means_invalid_token(response):
                return response
            new_token = await self._bearer.token_after_401(token, can_send_again=_can_be_sent_again(request))
        except BaseException:
            response.close()
            raise
        if new_token is None:
            return response
        response.release()
        # The response may have arrived before all of the body was sent. Closing stops the task that still writes it.
        await request.close()
        return await _send(request, handler, new_token)


async def _send(request: ClientRequest, handler: ClientHandlerType, token: str) -> ClientResponse:
    request.headers[hdrs.AUTHORIZATION] = authorization(token)
    try:
        return await handler(request)
    finally:
        # With the header, exceptions about the response would show the token in their repr. And if an outer middleware
        # sent the request again, this middleware would treat the header as the caller's own.
        request.headers.popall(hdrs.AUTHORIZATION, None)


def _can_be_sent_again(request: ClientRequest) -> bool:
    body = request.body
    # The rule by which aiohttp follows a 307: false for streams and generators that have been read.
    return isinstance(body, bytes) or not body.consumed


async def _means_invalid_token(response: ClientResponse) -> bool:
    """Read the start of a 401 response, put it back, and return whether the token is invalid."""
    content = response.content
    head = bytearray()
    try:
        # One byte more than the limit shows whether the body ends at the limit. A body that is read to its end also
        # releases its connection before the manager needs one.
        while chunk := await content.read(unauthorized.MAX_BODY + 1 - len(head)):
            head += chunk
    except ClientError:
        # The stream keeps the error and raises it when the caller reads, as without this middleware.
        return False
    body = bytes(head)
    with warnings.catch_warnings():
        # Deprecated without a replacement; it is the only public way to put back what was read.
        warnings.simplefilter("ignore", DeprecationWarning)
        content.unread_data(body)
    challenges = response.headers.getall(hdrs.WWW_AUTHENTICATE, ())
    return unauthorized.means_invalid_token(challenges, body if len(body) <= unauthorized.MAX_BODY else None)


def _target_without_token(response: ClientResponse, url: URL, *, was_redirected: bool) -> URL | None:
    """Return the origin of the next hop if it must not get the token; None if there is no hop, or it may get it.

    aiohttp drops ``Authorization`` on the way to another origin, but calls middlewares for each hop; without this,
    the middleware would add the token again. After the first hop to another origin, no later hop gets the token.

    Whether aiohttp will follow the redirect is not known here. If it does not, and the caller requests the target next
    in the same task, that request also counts as a hop.
    """
    location = response.headers.get(hdrs.LOCATION) or response.headers.get(hdrs.URI)
    if response.status not in _REDIRECTS or not location:
        return None
    try:
        origin = url.join(URL(location)).origin()
    except ValueError:
        return None  # aiohttp raises its own error
    return origin if was_redirected or origin != url.origin() else None
