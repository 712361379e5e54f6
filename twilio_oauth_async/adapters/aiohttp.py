"""`BearerAuth` for aiohttp: a client middleware.

::

    http = aiohttp.ClientSession(middlewares=(BearerAuth(manager),))
    async with http.get("https://api.twilio.com/2010-04-01/Accounts.json") as response: ...
"""

from __future__ import annotations

import asyncio
import netrc
import os
import sys
import warnings
from base64 import b64encode
from contextvars import ContextVar
from pathlib import Path
from typing import Final

import attrs
from aiohttp import ClientError, ClientHandlerType, ClientRequest, ClientResponse, hdrs
from yarl import URL

from twilio_oauth_async.adapters import unauthorized
from twilio_oauth_async.adapters.bearer_policy import BearerAuthBase, authorization
from twilio_oauth_async.executor import run_blocking

_REDIRECTS: Final = {301, 302, 303, 307, 308}
"""The statuses that aiohttp follows."""


@attrs.frozen
class _Redirect:
    """The next hop of a call, which must not get the token."""

    to: URL
    """The origin."""
    call: object
    """What belongs to one call of the session, as `_call_of` returns it."""


_redirect: ContextVar[_Redirect | None] = ContextVar("_redirect", default=None)
"""What the last response in this context said; None: the next request may get the token."""


class BearerAuth(BearerAuthBase):
    """Client middleware for aiohttp: sends requests with the access token of a manager.

    Pass it to a session, or to one request, as ``middlewares=(BearerAuth(manager),)``. The token goes only to the
    allowed `origins`, and is refreshed once after a 401. All rules: `twilio_oauth_async.adapters.bearer_policy`.

    For aiohttp:

    - User and password in a URL count as the caller's own ``Authorization``. Those that a session with
      ``trust_env=True`` takes from ``~/.netrc`` do not: the token is sent instead.
    - A request of the caller to the target of a redirect that aiohttp did not follow is a request of its own: it gets
      the token if the origin is allowed.
    - The header is removed from the request when it has been sent: neither ``response.request_info`` nor an
      ``aiohttp.ClientResponseError`` contains the token. Trace configs see it, like everything that is sent.
    """

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Send `request` through `handler`; called by aiohttp, once for each hop of a redirect.

        Raises:
            ConfigurationError: the origin of the request is not allowed.
            TwilioOAuthError: there is no token.
        """
        url, next_hop, redirect = request.url, None, _redirect.get()
        was_redirected = redirect is not None and redirect == _Redirect(url.origin(), _call_of(request))
        try:
            if (
                was_redirected
                or not self._bearer.may_send_token(url.scheme, url.raw_host or "", url.port)
                or (hdrs.AUTHORIZATION in request.headers and not await _is_from_netrc(request))
            ):
                response = await handler(request)
            else:
                response = await self._send_with_token(request, handler)
            target = _target_without_token(response, url, was_redirected=was_redirected)
            next_hop = None if target is None else _Redirect(target, _call_of(request))
            return response
        finally:
            _redirect.set(next_hop)

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


async def _is_from_netrc(request: ClientRequest) -> bool:
    """Return whether aiohttp has taken the ``Authorization`` from ``~/.netrc``: the caller has given none."""
    header = request.headers[hdrs.AUTHORIZATION]
    if not (request.session.trust_env and header.startswith("Basic ")):
        return False
    return header == await run_blocking(_header_of_netrc, request.url.host or "", kind="files")


def _header_of_netrc(host: str) -> str | None:
    path = os.environ.get("NETRC") or Path.home() / ("_netrc" if sys.platform == "win32" else ".netrc")
    try:
        entry = netrc.netrc(path).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    if entry is None:
        return None
    login, account, password = entry
    return "Basic " + b64encode(f"{login or account}:{password}".encode("latin-1", "replace")).decode()


def _call_of(request: ClientRequest) -> object:
    """Return an object that all requests of one call of the session share, which are the hops of its redirects.

    aiohttp makes one timer for each call, with or without a time-out. If a later version has none, each request to the
    target of a redirect counts as a hop: it goes without the token, which is the safe side.
    """
    return getattr(request, "_timer", None)


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
    """Return whether a 401 means that the token is invalid. What is read of its body is put back."""
    decided = unauthorized.challenges_say_invalid(response.headers.getall(hdrs.WWW_AUTHENTICATE, ()))
    if decided is not None:
        return decided
    content = response.content
    head = bytearray()
    limit = asyncio.timeout(unauthorized.BODY_TIMEOUT)
    try:
        async with limit:
            # One byte more than the limit shows whether the body ends at the limit. A body that is read to its end also
            # releases its connection before the manager needs one.
            while chunk := await content.read(unauthorized.MAX_BODY + 1 - len(head)):
                head += chunk
    except ClientError:
        # The stream keeps the error and raises it when the caller reads, as without this middleware.
        return False
    except TimeoutError:
        if not limit.expired():
            raise  # the time-out of the caller's request
    body = bytes(head)
    with warnings.catch_warnings():
        # Deprecated without a replacement; it is the only public way to put back what was read.
        warnings.simplefilter("ignore", DeprecationWarning)
        content.unread_data(body)
    return unauthorized.body_says_invalid(None if limit.expired() or len(body) > unauthorized.MAX_BODY else body)


def _target_without_token(response: ClientResponse, url: URL, *, was_redirected: bool) -> URL | None:
    """Return the origin of the next hop if it must not get the token; None if there is no hop, or it may get it.

    aiohttp drops ``Authorization`` on the way to another origin, but calls middlewares for each hop; without this,
    the middleware would add the token again. After the first hop to another origin, no later hop gets the token.

    Whether aiohttp will follow the redirect is not known here. If it does not, the next request is of another call.
    """
    location = response.headers.get(hdrs.LOCATION) or response.headers.get(hdrs.URI)
    if response.status not in _REDIRECTS or not location:
        return None
    try:
        origin = url.join(URL(location)).origin()
    except ValueError:
        return None  # aiohttp raises its own error
    return origin if was_redirected or origin != url.origin() else None
