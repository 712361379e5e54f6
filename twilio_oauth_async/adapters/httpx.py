"""`BearerAuth` for httpx2 and httpx: an ``Auth`` for their asynchronous clients (extra ``httpx``).

::

    async with httpx2.AsyncClient(auth=BearerAuth(manager)) as http:
        response = await http.get("https://api.twilio.com/2010-04-01/Accounts.json")
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import attrs

from twilio_oauth_async.adapters import refusals
from twilio_oauth_async.adapters.bearer import Bearer, Foreign, TokenSource, authorization
from twilio_oauth_async.adapters.httpx_body import PeekedStream, decoded
from twilio_oauth_async.adapters.httpx_versions import BYTE_STREAMS, AsyncByteStream, Auth
from twilio_oauth_async.adapters.origins import TWILIO
from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol.serializable import Secretive

if TYPE_CHECKING:
    import httpx2

_OURS: Final = "twilio_oauth_async"
"""The request extension that tells a header of ours from the caller's; httpx copies it to redirected requests."""

_Origin: TypeAlias = tuple[str, str, int | None]


@attrs.frozen
class _Ours(Secretive):
    origin: _Origin
    header: str = attrs.field(repr=False)


class BearerAuth(Auth):
    """Puts the token of a manager on the requests of an ``AsyncClient``, or on one request (``auth=``).

    It takes part in either line, httpx2 and httpx, whichever is installed; one instance may serve both.

    - The header goes to allowed origins only. On a redirect to another origin httpx drops it, and it stays dropped,
      not only where httpx follows but also where ``response.next_request`` is sent by hand.
    - A 401 that is about the token (RFC 6750 3.1 ``invalid_token``, Twilio's 20003) makes the manager refresh it, and
      the request that was refused, after redirects the last of them, is sent once more; a second 401 goes to the
      caller. A body that cannot be sent again (a stream, a generator, ``files=``) is not: then the first 401 goes to
      the caller, readable, and the next request has a new token.
    - A request that already has an ``Authorization`` header keeps it, and is none of this class's business beyond its
      origin. User and password in a URL are not used: ``auth=`` goes before them, as always in httpx.
    - A 401 that is compressed with something else than gzip or deflate is judged by its headers alone.

    What `TokenManager.access_token` raises comes out of the request; then nothing was sent, or the first answer was
    a 401 and is closed. One instance serves any number of clients and tasks of the manager's event loop.
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

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:  # noqa: ARG002 - httpx's signature
        """Refuse: called by a synchronous ``Client``, where no token can be awaited.

        Raises:
            ConfigurationError: always; nothing was sent.
        """
        raise ConfigurationError("BearerAuth is for AsyncClient: a synchronous Client cannot wait for its manager")

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Send `request` with the token; called by an ``AsyncClient``.

        Raises:
            ConfigurationError: the request is for an origin that is not allowed.
            TwilioOAuthError: there is no token.
        """
        if not self._is_for_the_token(request):
            yield request
            return
        token = await self._bearer.source.access_token()
        response: httpx2.Response = yield _authorized(request, token)
        refused = response.request
        if response.status_code != 401 or refused.headers.get("Authorization") != authorization(token):
            return
        # The client has no use for the stream before this flow is over, and closes it with the answer.
        response.stream = peeked = PeekedStream(cast("AsyncByteStream", response.stream))
        if not await _is_about_the_token(response, peeked):
            return
        can_be_sent_again = isinstance(refused.stream, BYTE_STREAMS)
        again = await self._bearer.after_refusal(token, can_send_again=can_be_sent_again)
        if again is not None:
            # The client reads an answer to its end before it sends the next request.
            await peeked.drop_the_rest()
            yield _authorized(refused, again)

    def _is_for_the_token(self, request: httpx2.Request) -> bool:
        origin = _origin(request)
        ours: _Ours | None = request.extensions.get(_OURS)
        if ours is not None and ours.origin != origin:
            return False  # a redirect to another origin that is followed by hand
        if not self._bearer.admits(*origin):
            return False
        header = request.headers.get("Authorization")
        return header is None or (ours is not None and ours.header == header)


def _authorized(request: httpx2.Request, token: str) -> httpx2.Request:
    header = authorization(token)
    request.headers["Authorization"] = header
    request.extensions = {**request.extensions, _OURS: _Ours(_origin(request), header)}
    return request


def _origin(request: httpx2.Request) -> _Origin:
    url = request.url
    return url.scheme, url.raw_host.decode("ascii"), url.port


async def _is_about_the_token(response: httpx2.Response, peeked: PeekedStream) -> bool:
    raw = await peeked.peek(refusals.MAX_BODY)
    body = None
    if raw is not None:
        body = decoded(raw, response.headers.get("Content-Encoding", ""), refusals.MAX_BODY)
    return refusals.is_about_the_token(response.headers.get_list("WWW-Authenticate"), body)
