"""The endpoints of Twilio's OAuth API v1, and revocation (RFC 7009)."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.endpoints.middleware import form_of, json_response
from twilio_oauth_async.emulator.messages.credentials import client_credentials, read_basic, read_bearer
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.messages.forms import Form
from twilio_oauth_async.emulator.rules.authorization_server import Issuance
from twilio_oauth_async.emulator.rules.client_authentication import authenticate_client, find_client
from twilio_oauth_async.emulator.rules.model import App, User

ACTIVATE_PATH = "v1/oauth2/device/activate"
"""Path of the page where the user enters the code. It has no leading slash, as in Twilio's responses."""
_GRANT_PARAMETERS = ("ClientSecret", "Code", "CodeVerifier", "DeviceCode", "DeviceId", "RefreshToken")


class Api:
    """The endpoints of v1 and revocation, one method each. A method returns the response or raises `ErrorResponse`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def discovery(self, request: web.Request) -> web.Response:
        """``GET /v1/.well-known/openid-configuration``."""
        self._authenticate_account(request)
        base = self._backend.base_url
        scopes = {scope for app in self._backend.server.apps.values() for scope in app.scopes or ()}
        return json_response(
            {  # Spelled as Twilio does: jwk_uri, response_type_supported, subject_type_supported, ECDSA, RSA256.
                "issuer": self._backend.issuer,
                "authorization_endpoint": f"{base}/oauth2/authorize",
                "device_authorization_endpoint": f"{base}/oauth2/device/code",
                "token_endpoint": f"{base}/oauth2/token",
                "userinfo_endpoint": f"{base}/oauth2/userinfo",
                "revocation_endpoint": f"{base}/oauth2/revoke",
                "jwk_uri": f"{base}/oauth2/certs",
                "response_type_supported": ["code"],
                "subject_type_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ECDSA", "RSA256"],
                "scopes_supported": sorted(scopes | {"openid", "profile", "email", "offline_access"}),
                "claims_supported": ["iss", "sub", "aud", "azp", "exp", "iat", "nbf", "nonce", "at_hash", "auth_time"],
                "url": f"{base}/v1/.well-known/openid-configuration",
            }
        )

    async def certs(self, request: web.Request) -> web.Response:
        """``GET /v1/certs``."""
        self._authenticate_account(request)
        return json_response({"keys": self._backend.keys.published(), "url": f"{self._backend.base_url}/v1/certs"})

    async def device_code(self, request: web.Request) -> web.Response:
        """``POST /v1/device/code`` (RFC 8628 3.1, 3.2)."""
        self._authenticate_account(request)
        form = form_of(request)
        server = self._backend.server
        app = find_client(server.apps, form.required("ClientSid"))
        scopes = form.many("Scopes")
        if not scopes:
            raise ErrorResponse("invalid_request", "The parameter Scopes is missing.")
        issued = server.start_device(app, scopes, form.many("Audiences"), self._backend.now())
        return json_response(
            {
                "device_code": issued.device_code,
                "user_code": issued.user_code,
                "verification_uri": ACTIVATE_PATH,
                "verification_uri_complete": f"{ACTIVATE_PATH}?user_code={issued.user_code}",
                "expires_in": server.policy.expires_in,
                "interval": server.policy.interval,
            },
            status=201,
        )

    async def token(self, request: web.Request) -> web.Response:
        """``POST /v1/token``: device grant, authorization code grant, refresh."""
        self._authenticate_account(request)
        form = form_of(request)
        grant_type = form.required("GrantType")
        client_sid = form.required("ClientSid")
        form.declare(*_GRANT_PARAMETERS)
        if grant_type == self._backend.server.policy.device_grant_type:
            issuance = self._device_grant(form, client_sid)
        elif grant_type == "authorization_code":
            issuance = self._code_grant(form, client_sid)
        elif grant_type == "refresh_token":
            issuance = self._refresh_grant(form, client_sid)
        else:
            raise ErrorResponse("unsupported_grant_type", "There is no such grant type.", twilio_code=321403)
        tokens = self._backend.token_issuer.issue(issuance, self._backend.now())
        date = self._backend.response_format.date
        body: dict[str, Any] = {
            "access_token": tokens.access_token,
            "access_token_expires_at": date(tokens.access_token_expires_at),
            "id_token": tokens.id_token,
            "refresh_token": tokens.refresh_token,
            "refresh_token_expires_at": date(tokens.refresh_token_expires_at),
        }
        if tokens.scope is not None:
            body["scope"] = tokens.scope
        return json_response(body, status=201)

    async def userinfo(self, request: web.Request) -> web.Response:
        """``GET /v1/userinfo``: the user of the access token, or with Basic credentials the owner of the account."""
        user = self._user(request)
        return json_response(
            {
                "user_sid": user.sid,
                "first_name": user.first_name,
                "last_name": user.last_name,
                "friendly_name": user.friendly_name,
                "email": user.email,
                "url": f"{self._backend.base_url}/v1/userinfo",
            }
        )

    async def revoke(self, request: web.Request) -> web.Response:
        """``POST /oauth2/revoke`` (RFC 7009), with the parameter names of the RFC or of Twilio."""
        form = form_of(request)
        token = form.required("token", "Token")
        form.declare("token_type_hint", "TokenTypeHint")  # RFC 7009 2.1: only a hint; not needed here
        app = self._revoking_client(request, form)
        self._backend.server.tokens.revoke(token, app, self._backend.now())
        return web.Response()  # RFC 7009 2.2: 200 also for an unknown token; clients ignore the body

    def _authenticate_account(self, request: web.Request) -> None:
        self._backend.accounts.authenticate(request.headers.get("Authorization"))

    def _device_grant(self, form: Form, client_sid: str) -> Issuance:
        server = self._backend.server
        required = server.policy.device_secret_required
        app, authenticated = authenticate_client(
            server.apps, client_sid, form.optional("ClientSecret"), required=required
        )
        return server.exchange_device(
            app,
            form.required("DeviceCode"),
            self._backend.now(),
            authenticated=authenticated,
            device_id=form.optional("DeviceId"),
        )

    def _code_grant(self, form: Form, client_sid: str) -> Issuance:
        server = self._backend.server
        app, authenticated = authenticate_client(server.apps, client_sid, form.optional("ClientSecret"))
        return server.exchange_code(
            app,
            form.required("Code"),
            self._backend.now(),
            verifier=form.optional("CodeVerifier"),
            authenticated=authenticated,
            device_id=form.optional("DeviceId"),
        )

    def _refresh_grant(self, form: Form, client_sid: str) -> Issuance:
        server = self._backend.server
        # Whether the secret is required depends on how the grant started; `refresh` checks that.
        app, authenticated = authenticate_client(server.apps, client_sid, form.optional("ClientSecret"), required=False)
        return server.refresh(
            app,
            form.required("RefreshToken"),
            self._backend.now(),
            authenticated=authenticated,
            device_id=form.optional("DeviceId"),
        )

    def _user(self, request: web.Request) -> User:
        """Return the user of the access token, or with Basic credentials the owner of the account."""
        authorization = request.headers.get("Authorization")
        token = read_bearer(authorization)
        if token is None:
            self._backend.accounts.authenticate(authorization)
            return self._backend.default_user
        issued = self._backend.server.tokens.find_access_token(token, self._backend.now())
        if issued is None:
            raise ErrorResponse(
                "invalid_token",
                "The access token is unknown, expired or revoked.",
                status=401,
                challenge='Bearer error="invalid_token"',
            )
        if issued.grant.user is None:
            raise ErrorResponse(
                "insufficient_scope",
                "This access token belongs to an app, not to a user.",
                status=403,
                challenge='Bearer error="insufficient_scope"',
            )
        return issued.grant.user

    def _revoking_client(self, request: web.Request, form: Form) -> App:
        server = self._backend.server
        client_sid = form.optional("client_id", "ClientSid")
        secret = form.optional("client_secret", "ClientSecret")
        basic = read_basic(request.headers.get("Authorization"))
        if basic is not None and not self._backend.accounts.matches(*basic):
            # The client's own credentials, with Basic (RFC 6749 2.3.1). It must not use a second method as well (2.3).
            basic_sid, basic_secret = client_credentials(*basic)
            if secret is not None or client_sid not in {None, basic_sid}:
                raise ErrorResponse("invalid_request", "The client used more than one authentication method.")
            return authenticate_client(server.apps, basic_sid, basic_secret)[0]
        if client_sid is None:
            raise ErrorResponse("invalid_request", "The parameter client_id is missing.")
        # The account owns its apps, so its credentials are accepted in place of the app's secret.
        return authenticate_client(server.apps, client_sid, secret, required=basic is None)[0]
