"""`AuthorizationCodeFlow`: a person approves in a browser that comes back with a code (RFC 6749 4.1, RFC 7636)."""

from __future__ import annotations

import asyncio
import inspect
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.errors import AuthorizationError, ConfigurationError
from twilio_oauth_async.grants.base import refresh_with, revocable
from twilio_oauth_async.grants.loopback import LoopbackListener
from twilio_oauth_async.protocol import authorization_request, endpoints
from twilio_oauth_async.protocol.authorization_request import Api, PendingAuthorization
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.protocol.v1 import check_client, check_scopes

if TYPE_CHECKING:
    from twilio_oauth_async.client.id_token_verifier import IdTokenVerifier

OpenBrowser: TypeAlias = Callable[[str], Awaitable[Any] | Any]

_MAX_REMEMBERED = 10_000


class AuthorizationCodeFlow:
    """Signs people in through their browser, with PKCE. One serves any number of sign-ins at once. A grant.

    A web backend uses `start` and `finish`; a local program uses `run`.
    """

    def __init__(
        self,
        session: OAuthSession,
        *,
        client_sid: str,
        redirect_uri: str | None = None,
        scopes: Sequence[str] = (),
        client_secret: str | None = None,
        api: Api = "v1",
        open_browser: OpenBrowser | None = None,
        timeout: float = 300.0,
        verifier: IdTokenVerifier | None = None,
    ) -> None:
        """Nothing is sent here.

        Args:
            session: lent; it must be open when something is sent, and stays so.
            client_sid: the SID of the OAuth app.
            redirect_uri: where the browser is sent back to, as registered. `run` takes a loopback one, or None for a
                free port on 127.0.0.1 (RFC 8252 7.3).
            scopes: what the program wants to do.
            client_secret: of a confidential app.
            api: the generation of endpoints to use.
            open_browser: is given the URL by `run`, for example ``webbrowser.open``; nothing is opened unasked. A plain
                function is called in a thread.
            timeout: seconds that `run` waits for the browser to come back.
            verifier: checks the id token, the nonce included, before a token is given out.

        Raises:
            ConfigurationError: any of these cannot be used.
        """
        check_client(client_sid)
        check_scopes(scopes)
        if api not in {"v1", "v2"}:
            raise ConfigurationError("api must be 'v1' or 'v2'")
        if not timeout > 0:
            raise ConfigurationError("timeout must be a positive number of seconds")
        if redirect_uri is not None and (not endpoints.is_secure(redirect_uri) or urlsplit(redirect_uri).fragment):
            raise ConfigurationError(
                "redirect_uri must be https, or http on loopback, without a fragment (RFC 6749 3.1.2)"
            )
        self.session = session
        self.client_sid = client_sid
        self.scopes = tuple(scopes)
        self._redirect_uri = redirect_uri
        self._client_secret = client_secret
        self._api: Api = api
        self._open_browser = open_browser
        self._timeout = timeout
        self._verifier = verifier
        self._used: OrderedDict[str, None] = OrderedDict()

    def __repr__(self) -> str:
        return f"AuthorizationCodeFlow(client_sid={self.client_sid!r}, scopes={self.scopes!r}, api={self._api!r})"

    @property
    def interactive(self) -> bool:
        """True: a person approves."""
        return True

    async def start(self) -> PendingAuthorization:
        """Make a request: send the browser to its ``url``, and keep it with the browser that began.

        Raises:
            ConfigurationError: no `redirect_uri` was given.
            TransportError, ProtocolError, ApiError: the authorization endpoint could not be discovered (v1).
        """
        if self._redirect_uri is None:
            raise ConfigurationError("start() needs a redirect_uri; only run() can listen on one of its own")
        return await self._begin(self._redirect_uri)

    async def finish(self, pending: PendingAuthorization, callback_url: str) -> Token:
        """Exchange the code that the browser came back with; the exchange is sent once, over a fresh connection.

        Args:
            pending: what `start` gave for this browser. Good once.
            callback_url: the URL that was called, or its path and query.

        Raises:
            AuthorizationError: a wrong ``state`` or ``iss``, a second use, or the person refused (see ``error``).
            IdTokenError: the id token must not be believed.
            AnswerLostError: the code may have been used up: begin anew.
            TransportError, ProtocolError, ApiError: the exchange failed.
        """
        if pending.client_sid != self.client_sid:
            raise ConfigurationError("this authorization was started for another client_sid")
        code = authorization_request.code_of(pending, callback_url)
        if pending.state in self._used:
            raise AuthorizationError("this callback was used before")
        self._used[pending.state] = None
        if len(self._used) > _MAX_REMEMBERED:
            self._used.popitem(last=False)
        token = await self._exchange(pending, code)
        if self._verifier is not None and token.id_token is not None:
            await self._verifier.verify(token.id_token, nonce=pending.nonce, access_token=token.access_token)
        return token

    async def run(self) -> Token:
        """Open the browser, wait on loopback for it to come back, and exchange the code.

        Raises:
            ConfigurationError: there is no `open_browser`, or the `redirect_uri` is not on 127.0.0.1.
            AuthorizationError: nobody came back in time; or as `finish`, with all that it raises.
        """
        if self._open_browser is None:
            raise ConfigurationError(
                "run() needs open_browser, for example webbrowser.open; start() and finish() do without"
            )
        pending: PendingAuthorization | None = None

        def accepts(path_and_query: str) -> bool:
            return pending is not None and authorization_request.is_answer_to(pending, path_and_query)

        async with self._listener(accepts) as listener:
            pending = await self._begin(listener.redirect_uri)
            try:
                async with asyncio.timeout(self._timeout):
                    await self._show(self._open_browser, pending.url)
                    callback = await listener.answer()
            except TimeoutError:
                callback = None
        if callback is None:
            raise AuthorizationError("the browser did not come back in time")
        return await self.finish(pending, callback)

    async def obtain(self) -> Token:
        """`run`, as a grant calls it."""
        return await self.run()

    async def refresh(self, token: Token) -> Token:
        """The next token by the refresh token; raises as `Grant.refresh`."""
        return await refresh_with(self._send_refresh, token)

    async def revoke(self, token: Token) -> None:
        """Make `token` worthless (RFC 7009); raises as `OAuthSession.revoke_token`."""
        await self.session.revoke_token(revocable(token), client_sid=self.client_sid, client_secret=self._client_secret)

    async def _begin(self, redirect_uri: str) -> PendingAuthorization:
        if self._api == "v1":
            endpoint = await self.session.discovered_endpoint("authorization_endpoint")
        else:
            endpoint = self.session.base_url + endpoints.AUTHORIZE_V2
        return authorization_request.begin(
            endpoint,
            client_sid=self.client_sid,
            redirect_uri=redirect_uri,
            scopes=self.scopes,
            issuer=self.session.issuer,
        )

    async def _exchange(self, pending: PendingAuthorization, code: str) -> Token:
        if self._api == "v1":
            return await self.session.create_token(
                grant_type="authorization_code",
                client_sid=self.client_sid,
                client_secret=self._client_secret,
                code=code,
                code_verifier=pending.code_verifier,
            )
        return await self.session.create_token_v2(
            grant_type="authorization_code",
            client_id=self.client_sid,
            client_secret=self._client_secret,
            code=code,
            code_verifier=pending.code_verifier,
            redirect_uri=pending.redirect_uri,
        )

    async def _send_refresh(self, refresh_token: str) -> Token:
        if self._api == "v1":
            return await self.session.create_token(
                grant_type="refresh_token",
                client_sid=self.client_sid,
                client_secret=self._client_secret,
                refresh_token=refresh_token,
            )
        return await self.session.create_token_v2(
            grant_type="refresh_token",
            client_id=self.client_sid,
            client_secret=self._client_secret,
            refresh_token=refresh_token,
        )

    def _listener(self, accepts: Callable[[str], bool]) -> LoopbackListener:
        if self._redirect_uri is None:
            return LoopbackListener(accepts=accepts)
        parts = urlsplit(self._redirect_uri)
        if parts.scheme != "http" or parts.hostname != "127.0.0.1":
            raise ConfigurationError("run() listens on 127.0.0.1: give such a redirect_uri, or none")
        # RFC 8252 7.3: a port that is not named is any.
        return LoopbackListener(port=parts.port or 0, path=parts.path or "/", accepts=accepts)

    @staticmethod
    async def _show(open_browser: OpenBrowser, url: str) -> None:
        if inspect.iscoroutinefunction(open_browser):
            await open_browser(url)
            return
        # webbrowser.open may wait for the browser to start.
        shown = await asyncio.to_thread(open_browser, url)
        if inspect.isawaitable(shown):
            await shown
