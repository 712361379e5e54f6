"""v2: the metadata, and ``POST /v2/token``, Twilio's public token endpoint, with the parameter names of RFC 6749."""

from __future__ import annotations

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
    """The token endpoint of v2, which authenticates the app, not the account, and the document that describes it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def metadata(self, request: web.Request) -> web.Response:  # noqa: ARG002 - the same for each client
        """``GET /.well-known/oauth-authorization-server`` (RFC 8414)."""
        base = self._backend.base_url
        return json_response(
            {
                "issuer": self._backend.issuer,
                "authorization_endpoint": f"{base}/v2/authorize",
                "token_endpoint": f"{base}/v2/token",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["client_secret_post", "none"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

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
            "scope": tokens.scope,
        }
        return json_response({name: value for name, value in body.items() if value is not None})

    def _client(self, request: web.Request, form: Form) -> tuple[App, bool]:
        """Authenticate the client with credentials in the body (RFC 6749 2.3.1), the only method of the metadata."""
        client_id, secret = form.optional("client_id"), form.optional("client_secret")
        basic = read_basic(request.headers.get("Authorization"))
        if basic is not None and not self._backend.accounts.matches(*basic):
            # Some clients always send the account's credentials; they do not authenticate the client.
            raise ErrorResponse(
                "invalid_client",
                "The client must send client_id and client_secret in the body; Basic is not supported.",
                status=401,
                challenge=CLIENT_CHALLENGE,  # RFC 6749 5.2: the scheme that the client used
            )
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
