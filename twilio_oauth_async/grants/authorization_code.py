"""`AuthorizationCodeFlow`: a user approves in a browser (RFC 6749 4.1), with PKCE (RFC 7636)."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.errors import AuthorizationError, ConfigurationError
from twilio_oauth_async.grants.base import GrantBase
from twilio_oauth_async.grants.browser import OpenBrowser, UrlPrompt, show
from twilio_oauth_async.grants.loopback import LoopbackListener
from twilio_oauth_async.protocol import authorization_request, authorization_response, endpoints
from twilio_oauth_async.protocol.argument_checks import check_callable, check_seconds
from twilio_oauth_async.protocol.authorization_request import Api, PendingAuthorization
from twilio_oauth_async.protocol.loopback_redirect import port_of
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.protocol.parameters import check_client, check_parameters, check_scopes
from twilio_oauth_async.tasks import create_task

if TYPE_CHECKING:
    from twilio_oauth_async.client.id_token_verifier import IdTokenVerifier

OPENER_TIMEOUT = 1.0
"""Seconds that `AuthorizationCodeFlow.run` waits for an asynchronous opener or prompt that was cancelled."""

_log = logging.getLogger(__name__)

_MAX_USED_STATES = 10_000
"""The number of used ``state`` values that are remembered, so that each callback is accepted only once."""


class AuthorizationCodeFlow(GrantBase):
    """The authorization code grant with PKCE. One object serves any number of sign-ins at once.

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
        prompt: UrlPrompt | None = None,
        timeout: float = 300.0,
        verifier: IdTokenVerifier | None = None,
    ) -> None:
        """Create a flow; nothing is sent.

        Args:
            session: sends the requests. It must be open then; the flow does not close it.
            client_sid: the SID of the OAuth app.
            redirect_uri: the registered redirect URI, which is sent as it is given (RFC 9700 2.1). `run` needs one on
                loopback, or None for a free port on 127.0.0.1 (RFC 8252 7.3). If it has no port, a free one is added.
            scopes: the scopes to request.
            client_secret: the secret of a confidential app.
            api: the version of the endpoints to use.
            open_browser: called by `run` with the URL, for example ``webbrowser.open``. If it returns False or raises,
                no browser was opened. A plain function is called in a thread, and may block.
            prompt: called by `run` with the URL if there is no browser, as on a server. It shows the URL, and the user
                opens it in any browser. The callback arrives if that browser reaches 127.0.0.1 of this machine (over
                SSH: ``ssh -L 8000:127.0.0.1:8000`` with that port in `redirect_uri`; WSL forwards it by itself). Else
                the browser shows an error page, and the user copies its URL: `prompt` may return that. A plain function
                is called in a thread, and may block, as ``input`` does.
            timeout: seconds that `run` waits for the callback.
            verifier: verifies the ID token, with its nonce, before `run` or `finish` returns a token, and that of each
                `refresh`. A token that is returned has a verified ID token, or none: the ID token is left out if the
                keys of the server cannot be fetched. Without a verifier, ID tokens are returned as received.

        Raises:
            ConfigurationError: `client_sid` is empty, `scopes` or `client_secret` is invalid, `api` is unknown,
                `timeout` is not positive, or `redirect_uri` is neither https nor on loopback, or has a fragment.
        """
        check_client(client_sid)
        check_scopes(scopes)
        check_parameters({"client_secret": client_secret})
        if api not in ("v1", "v2"):
            raise ConfigurationError("api must be 'v1' or 'v2'")
        check_seconds("timeout", timeout)
        check_callable("open_browser", open_browser, "a function that takes the URL")
        if redirect_uri is not None and (not endpoints.is_secure(redirect_uri) or urlsplit(redirect_uri).fragment):
            raise ConfigurationError(
                "redirect_uri must be https, or http on loopback, without a fragment (RFC 6749 3.1.2)"
            )
        super().__init__(session, client_sid=client_sid, client_secret=client_secret, scopes=scopes, verifier=verifier)
        self._redirect_uri = redirect_uri
        self._api: Api = api
        self._open_browser = open_browser
        self._prompt = prompt
        self._timeout = timeout
        self._used_states: OrderedDict[str, None] = OrderedDict()

    def __repr__(self) -> str:
        return f"AuthorizationCodeFlow(client_sid={self.client_sid!r}, scopes={self.scopes!r}, api={self._api!r})"

    @property
    def redirect_uri(self) -> str | None:
        """The registered redirect URI; None if `run` chooses one on loopback."""
        return self._redirect_uri

    async def start(self) -> PendingAuthorization:
        """Create an authorization request.

        Redirect the browser to the ``url`` of the result. Keep the result on the server, in the web session of this
        browser, for `finish`.

        Raises:
            ConfigurationError: the flow has no `redirect_uri`.
            TransportError, ProtocolError, ApiError: the authorization endpoint could not be discovered (v1).
        """
        if self._redirect_uri is None:
            raise ConfigurationError("start() needs a redirect_uri; only run() can choose one itself")
        return await self._begin(self._redirect_uri)

    async def finish(self, pending: PendingAuthorization, callback_url: str) -> Token:
        """Exchange the code of the callback for a token; the request is sent once, over a new connection.

        Args:
            pending: the result of `start` for the same browser. It can be used once.
            callback_url: the URL of the callback, or its path and query.

        Raises:
            ConfigurationError: `pending` belongs to another client.
            AuthorizationError: ``state`` or ``iss`` is wrong, the callback was used before, or the user denied (see
                ``error``).
            IdTokenError: the flow has a verifier, and the ID token is invalid, or is missing although ``openid`` was
                requested (OpenID Connect Core 3.1.3.3). The tokens are revoked.
            AnswerLostError: the response was lost and the code may be used up; start again.
            TransportError, ProtocolError, ApiError: the exchange failed.
        """
        if pending.client_sid != self.client_sid:
            raise ConfigurationError("this authorization was started for another client_sid")
        code = authorization_response.parse_callback(pending, callback_url)
        if pending.state in self._used_states:
            raise AuthorizationError("this callback was used before")
        self._used_states[pending.state] = None
        if len(self._used_states) > _MAX_USED_STATES:
            self._used_states.popitem(last=False)
        return await self._accept_sign_in(await self._send_code(pending, code), pending.nonce)

    async def run(self) -> Token:
        """Open the browser, wait on loopback for the callback, and exchange the code.

        Raises:
            ConfigurationError: there is neither `open_browser` nor `prompt`, or `redirect_uri` is not ``http`` on
                127.0.0.1.
            AuthorizationError: the port cannot be opened; no browser could be opened and there is no `prompt` (then the
                error has the `url`); or no callback arrived in time.
            TwilioOAuthError: as `start` and `finish`.
            Exception: as `prompt` raises.
        """
        if self._open_browser is None and self._prompt is None:
            raise ConfigurationError(
                "run() needs open_browser, for example webbrowser.open, or a prompt; start() and finish() do not"
            )
        pending: PendingAuthorization | None = None

        def accepts(path_and_query: str) -> bool:
            return pending is not None and authorization_response.state_matches(pending, path_and_query)

        async with self._listener(accepts) as listener:
            pending = await self._begin(listener.redirect_uri)
            callback = await self._callback(listener, pending.url)
        return await self.finish(pending, callback)

    async def _callback(self, listener: LoopbackListener, url: str) -> str:
        """Show `url`, and return the callback: that of the browser, or one that the user has copied."""
        showing = create_task(show(url, self._open_browser, self._prompt))
        arriving = create_task(listener.callback())
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._timeout
        try:
            # Beside each other: a browser in the terminal blocks until its user leaves it.
            await asyncio.wait({showing, arriving}, timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
            if showing.done() and not arriving.done():
                copied = showing.result()
                if copied is not None:
                    return copied
                await asyncio.wait({arriving}, timeout=max(0.0, ends_at - loop.time()))
            if arriving.done():
                return arriving.result()
        finally:
            for task in (showing, arriving):
                task.cancel()
            await asyncio.wait({showing, arriving}, timeout=OPENER_TIMEOUT)
            if showing.done() and not showing.cancelled() and (error := showing.exception()) is not None:
                _log.debug("showing the authorization URL ended with %s", type(error).__name__)
        raise AuthorizationError("no callback from the browser within the time limit")

    async def obtain(self) -> Token:
        """Call `run`; part of the `Grant` protocol."""
        return await self.run()

    async def _begin(self, redirect_uri: str) -> PendingAuthorization:
        has_issuer = False
        if self._api == "v1":
            endpoint = await self.session.discovered_endpoint("authorization_endpoint")
            has_issuer = self.session.callbacks_have_issuer
        else:
            endpoint = self.session.base_url + endpoints.AUTHORIZE_V2
        return authorization_request.begin(
            endpoint,
            client_sid=self.client_sid,
            redirect_uri=redirect_uri,
            scopes=self.scopes,
            issuer=self.session.issuer,
            has_issuer=has_issuer,
        )

    async def _send_code(self, pending: PendingAuthorization, code: str) -> Token:
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
            return await super()._send_refresh(refresh_token)
        return await self.session.create_token_v2(
            grant_type="refresh_token",
            client_id=self.client_sid,
            client_secret=self._client_secret,
            refresh_token=refresh_token,
        )

    def _listener(self, accepts: Callable[[str], bool]) -> LoopbackListener:
        if self._redirect_uri is None:
            return LoopbackListener(accepts=accepts)
        if port_of(self._redirect_uri) is None:
            raise ConfigurationError("run() listens on 127.0.0.1: pass an http redirect_uri with that host, or None")
        return LoopbackListener(redirect_uri=self._redirect_uri, accepts=accepts)
