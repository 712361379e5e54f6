"""``POST /v2/token``: Twilio's public token endpoint, with the parameter names of RFC 6749."""

from __future__ import annotations

from urllib.parse import unquote_plus

from aiohttp import web

from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.endpoints.middleware import form_of, json_response
from twilio_oauth_async.emulator.messages.credentials import CLIENT_CHALLENGE, read_basic
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.messages.forms import Form
from twilio_oauth_async.emulator.rules.authorization_server import Issuance
from twilio_oauth_async.emulator.rules.client_authentication import authenticate_client
from twilio_oauth_async.emulator.rules.model import App
from twilio_oauth_async.emulator.rules.scopes import allow_refresh_token

_GRANT_PARAMETERS = ("audience", "code", "code_verifier", "redirect_uri", "refresh_token", "scope")


class ApiV2:
    """The token endpoint of v2. It authenticates the app, not the account."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def token(self, request: web.Request) -> web.Response:
        """``POST /v2/token``: client credentials grant, authorization code grant, refresh."""
        form = form_of(request)
        form.declare(*_GRANT_PARAMETERS)
        grant_type = form.required("grant_type")
        app, authenticated = self._client(request, form)
        account_sid = request.query.get("account_sid")
        if account_sid is not None and not self._backend.accounts.exists(account_sid):
            raise ErrorResponse("unauthorized_client", "The client is not allowed to use this account.")
        if grant_type == "client_credentials":
            issuance = self._client_credentials(form, app)
        elif grant_type == "authorization_code":
            issuance = self._code(form, app, authenticated=authenticated)
        elif grant_type == "refresh_token":
            issuance = self._refresh(form, app, authenticated=authenticated)
        else:
            raise ErrorResponse("unsupported_grant_type", "There is no such grant type.", twilio_code=321403)
        with_refresh = allow_refresh_token(issuance.scopes, refreshed=issuance.refreshed)
        tokens = self._backend.token_issuer.issue(issuance, self._backend.now(), with_refresh=with_refresh)
        body = {
            "access_token": tokens.access_token,
            "refresh_token": tokens.refresh_token,
            "id_token": tokens.id_token,
            "token_type": "Bearer",
            "expires_in": tokens.expires_in,
        }
        if tokens.scope is not None:
            body["scope"] = tokens.scope
        return json_response(body)

    def _client(self, request: web.Request, form: Form) -> tuple[App, bool]:
        """Authenticate the client with its credentials in the body or as Basic credentials (RFC 6749 2.3.1)."""
        client_id, secret = form.optional("client_id"), form.optional("client_secret")
        basic = read_basic(request.headers.get("Authorization"))
        if basic is not None and not self._backend.accounts.matches(*basic):
            # RFC 6749 2.3.1: a client form-encodes its ID and secret before it encodes them for Basic.
            # The account's credentials are not form-encoded. Some clients always send them; they do not authenticate
            # the client.
            name, password = (unquote_plus(part) for part in basic)
            if secret is not None or client_id not in {None, name}:
                raise ErrorResponse("invalid_request", "The client used more than one authentication method.")
            try:
                return authenticate_client(self._backend.server.apps, name, password)
            except ErrorResponse as error:
                error.challenge = CLIENT_CHALLENGE  # RFC 6749 5.2
                raise
        if client_id is None:
            raise ErrorResponse("invalid_request", "The parameter client_id is missing.", twilio_code=321402)
        return authenticate_client(self._backend.server.apps, client_id, secret)

    def _client_credentials(self, form: Form, app: App) -> Issuance:
        audience = form.optional("audience")
        audiences = () if audience is None else (audience,)
        return self._backend.server.client_credentials(app, _scopes(form) or (), audiences, self._backend.now())

    def _code(self, form: Form, app: App, *, authenticated: bool) -> Issuance:
        return self._backend.server.exchange_code(
            app,
            form.required("code"),
            self._backend.now(),
            verifier=form.optional("code_verifier"),
            redirect_uri=form.optional("redirect_uri"),
            compare_redirect_uri=True,
            authenticated=authenticated,
        )

    def _refresh(self, form: Form, app: App, *, authenticated: bool) -> Issuance:
        return self._backend.server.refresh(
            app,
            form.required("refresh_token"),
            self._backend.now(),
            authenticated=authenticated,
            scopes=_scopes(form),
        )


def _scopes(form: Form) -> list[str] | None:
    """Return the scopes of a request: one parameter, separated by single spaces (RFC 6749 3.3)."""
    scope = form.optional("scope")
    return None if scope is None else scope.split(" ")
