"""`BearerAuth` for the asynchronous clients of httpx2 and httpx (extra ``httpx``).

::

    async with httpx2.AsyncClient(auth=BearerAuth(manager)) as http:
        response = await http.get("https://api.twilio.com/2010-04-01/Accounts.json")
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import attrs

from twilio_oauth_async.adapters import unauthorized
from twilio_oauth_async.adapters.bearer_policy import BearerAuthBase, authorization
from twilio_oauth_async.adapters.httpx_body import PeekedStream, decode
from twilio_oauth_async.adapters.httpx_versions import BYTE_STREAMS, AsyncByteStream, Auth
from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol.serializable import HoldsSecrets

if TYPE_CHECKING:
    import httpx2

_EXTENSION: Final = "twilio_oauth_async"
"""Request extension with the header that this module has set. A header without it is the caller's own.

httpx copies extensions to the request that follows a redirect.
"""

_Origin: TypeAlias = tuple[str, str, int | None]


@attrs.frozen
class _SentHeader(HoldsSecrets):
    origin: _Origin
    header: str = attrs.field(repr=False)


class BearerAuth(BearerAuthBase, Auth):
    """``Auth`` for the ``AsyncClient`` of httpx2 and httpx: sends requests with the access token of a manager.

    Pass it to a client, or to one request, as ``auth=BearerAuth(manager)``. The token goes only to the allowed
    `origins`, and is refreshed once after a 401. All rules: `twilio_oauth_async.adapters.bearer_policy`.

    For httpx2 and httpx:

    - One instance works with both packages.
    - After a redirect to another origin, ``response.next_request`` gets no token even if the caller sends it.
    - After redirects, only the last request, the one that got the 401, is sent again.
    - A request with ``files=`` is not sent again.
    - User and password in a URL are ignored, because httpx prefers ``auth=``.
    - A response hook of the client runs before this class has seen the response. A hook that raises for each 401, for
      example with ``raise_for_status``, therefore prevents the refresh: let it ignore 401.
    - httpx2 is the maintained package, and the one that the extra ``httpx`` installs. httpx is its predecessor.
    - If a 401 response has a content encoding other than gzip or deflate, only its headers are read.
    """

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:  # noqa: ARG002 - httpx's signature
        """Raise `ConfigurationError`; called by a synchronous ``Client``, which cannot await a token.

        Raises:
            ConfigurationError: always; nothing was sent.
        """
        raise ConfigurationError("BearerAuth needs an AsyncClient: a synchronous Client cannot await the access token")

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Send `request` with the token; called by an ``AsyncClient``.

        Raises:
            ConfigurationError: the origin of the request is not allowed.
            TwilioOAuthError: there is no token.
        """
        if not self._needs_token(request):
            yield request
            return
        token = await self._bearer.source.access_token()
        response: httpx2.Response = yield _add_token(request, token)
        rejected = response.request
        if response.status_code != 401 or rejected.headers.get("Authorization") != authorization(token):
            return
        # The client does not read the stream before this generator ends, and closes it with the response.
        response.stream = peeked = PeekedStream(cast("AsyncByteStream", response.stream))
        if not await _means_invalid_token(response, peeked):
            return
        can_be_sent_again = isinstance(rejected.stream, BYTE_STREAMS)
        new_token = await self._bearer.token_after_401(token, can_send_again=can_be_sent_again)
        if new_token is not None:
            # The client reads a response to its end before it sends the next request.
            await peeked.discard_rest()
            yield _add_token(rejected, new_token)

    def _needs_token(self, request: httpx2.Request) -> bool:
        origin = _origin(request)
        sent: _SentHeader | None = request.extensions.get(_EXTENSION)
        if sent is not None and sent.origin != origin:
            return False  # the caller itself follows a redirect to another origin
        if not self._bearer.may_send_token(*origin):
            return False
        header = request.headers.get("Authorization")
        return header is None or (sent is not None and sent.header == header)


def _add_token(request: httpx2.Request, token: str) -> httpx2.Request:
    header = authorization(token)
    request.headers["Authorization"] = header
    request.extensions = {**request.extensions, _EXTENSION: _SentHeader(_origin(request), header)}
    return request


def _origin(request: httpx2.Request) -> _Origin:
    url = request.url
    return url.scheme, url.raw_host.decode("ascii"), url.port


async def _means_invalid_token(response: httpx2.Response, peeked: PeekedStream) -> bool:
    decided = unauthorized.challenges_say_invalid(response.headers.get_list("WWW-Authenticate"))
    if decided is not None:
        return decided
    raw = await peeked.peek(unauthorized.MAX_BODY, unauthorized.BODY_TIMEOUT)
    body = None
    if raw is not None:
        body = decode(raw, response.headers.get("Content-Encoding", ""), unauthorized.MAX_BODY)
    return unauthorized.body_says_invalid(body)
