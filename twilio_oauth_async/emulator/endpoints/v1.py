"""The endpoints of the contract, version 1, and RFC 7009 revocation."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.endpoints.exchange import form_of, json_answer
from twilio_oauth_async.emulator.messages.credentials import read_basic, read_bearer
from twilio_oauth_async.emulator.messages.forms import Form
from twilio_oauth_async.emulator.messages.refusal import RefusalError
from twilio_oauth_async.emulator.rules.model import App, User
from twilio_oauth_async.emulator.rules.state import Issue

ACTIVATE_PATH = "v1/oauth2/device/activate"
"""Where a person goes. Twilio sends it relative, without a leading slash."""
_GRANTS_PARAMETERS = ("ClientSecret", "Code", "CodeVerifier", "DeviceCode", "DeviceId", "RefreshToken")


class Api:
    """One method per endpoint; each takes a request and gives the answer or raises `RefusalError`."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def discovery(self, request: web.Request) -> web.Response:
        """``GET /v1/.well-known/openid-configuration``."""
        self._demand_account(request)
        base = self._backend.base_url
        scopes = {scope for app in self._backend.state.apps.values() for scope in app.scopes or ()}
        return json_answer(
            {  # The spellings are Twilio's: jwk_uri, response_type_supported, subject_type_supported, ECDSA, RSA256.
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
        self._demand_account(request)
        return json_answer({"keys": self._backend.keys.published(), "url": f"{self._backend.base_url}/v1/certs"})

    async def device_code(self, request: web.Request) -> web.Response:
        """``POST /v1/device/code`` (RFC 8628 3.1, 3.2)."""
        self._demand_account(request)
        form = form_of(request)
        state = self._backend.state
        app = state.identify(form.required("ClientSid"))
        scopes = form.many("Scopes")
        if not scopes:
            raise RefusalError("invalid_request", "The parameter Scopes is missing.")
        issued = state.start_device(app, scopes, form.many("Audiences"), self._backend.now())
        return json_answer(
            {
                "device_code": issued.device_code,
                "user_code": issued.user_code,
                "verification_uri": ACTIVATE_PATH,
                "verification_uri_complete": f"{ACTIVATE_PATH}?user_code={issued.user_code}",
                "expires_in": state.policy.expires_in,
                "interval": state.policy.interval,
            },
            status=201,
        )

    async def token(self, request: web.Request) -> web.Response:
        """``POST /v1/token``: every grant of the contract."""
        self._demand_account(request)
        form = form_of(request)
        grant_type = form.required("GrantType")
        client_sid = form.required("ClientSid")
        form.known(*_GRANTS_PARAMETERS)
        if grant_type == self._backend.state.policy.device_grant_type:
            issue = self._device_grant(form, client_sid)
        elif grant_type == "authorization_code":
            issue = self._code_grant(form, client_sid)
        elif grant_type == "refresh_token":
            issue = self._refresh_grant(form, client_sid)
        else:
            raise RefusalError("unsupported_grant_type", "There is no such grant type.", twilio_code=321403)
        answer = self._backend.tokens.issue(issue, self._backend.now())
        date = self._backend.dialect.date
        body: dict[str, Any] = {
            "access_token": answer.access_token,
            "access_token_expires_at": date(answer.access_token_expires_at),
            "id_token": answer.id_token,
            "refresh_token": answer.refresh_token,
            "refresh_token_expires_at": date(answer.refresh_token_expires_at),
        }
        if answer.scope is not None:
            body["scope"] = answer.scope
        return json_answer(body, status=201)

    async def userinfo(self, request: web.Request) -> web.Response:
        """``GET /v1/userinfo``: whose access token it is, or with Basic credentials whose account."""
        user = self._person(request)
        return json_answer(
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
        """``POST /oauth2/revoke`` (RFC 7009), with the RFC's names or the contract's."""
        form = form_of(request)
        token = form.required("token", "Token")
        form.known("token_type_hint", "TokenTypeHint")  # RFC 7009 2.1: a hint only; the search goes on without it
        app = self._revoking_client(request, form)
        self._backend.state.grants.revoke(token, app, self._backend.now())
        return web.Response()  # RFC 7009 2.2: 200 whether there was such a token or not; the body is ignored

    def _demand_account(self, request: web.Request) -> None:
        self._backend.accounts.demand(request.headers.get("Authorization"))

    def _device_grant(self, form: Form, client_sid: str) -> Issue:
        state = self._backend.state
        required = state.policy.device_secret_required
        app, authenticated = state.authenticate(client_sid, form.optional("ClientSecret"), required=required)
        return state.exchange_device(
            app,
            form.required("DeviceCode"),
            self._backend.now(),
            authenticated=authenticated,
            device_id=form.optional("DeviceId"),
        )

    def _code_grant(self, form: Form, client_sid: str) -> Issue:
        state = self._backend.state
        app, authenticated = state.authenticate(client_sid, form.optional("ClientSecret"))
        return state.exchange_code(
            app,
            form.required("Code"),
            self._backend.now(),
            verifier=form.optional("CodeVerifier"),
            authenticated=authenticated,
            device_id=form.optional("DeviceId"),
        )

    def _refresh_grant(self, form: Form, client_sid: str) -> Issue:
        state = self._backend.state
        # Whether the secret is demanded is up to how the grant began; `refresh` looks.
        app, authenticated = state.authenticate(client_sid, form.optional("ClientSecret"), required=False)
        return state.refresh(
            app,
            form.required("RefreshToken"),
            self._backend.now(),
            authenticated=authenticated,
            device_id=form.optional("DeviceId"),
        )

    def _person(self, request: web.Request) -> User:
        """Return whose access token it is; the account's owner where the account itself asks."""
        authorization = request.headers.get("Authorization")
        token = read_bearer(authorization)
        if token is None:
            self._backend.accounts.demand(authorization)
            return self._backend.default_user
        issued = self._backend.state.grants.find_access(token, self._backend.now())
        if issued is None:
            raise RefusalError(
                "invalid_token",
                "The access token is unknown, expired or revoked.",
                status=401,
                challenge='Bearer error="invalid_token"',
            )
        if issued.grant.user is None:
            raise RefusalError(
                "insufficient_scope",
                "This access token stands for an app, not for a person.",
                status=403,
                challenge='Bearer error="insufficient_scope"',
            )
        return issued.grant.user

    def _revoking_client(self, request: web.Request, form: Form) -> App:
        state = self._backend.state
        client_sid = form.optional("client_id", "ClientSid")
        secret = form.optional("client_secret", "ClientSecret")
        basic = read_basic(request.headers.get("Authorization"))
        if basic is not None and not self._backend.accounts.matches(*basic):
            # RFC 6749 2.3.1: the client's own credentials as Basic; not together with others in the body.
            if secret is not None or client_sid not in {None, basic[0]}:
                raise RefusalError("invalid_request", "The client authenticates in more than one way.")
            return state.authenticate(*basic)[0]
        if client_sid is None:
            raise RefusalError("invalid_request", "The parameter client_id is missing.")
        # The account owns its apps, so its credentials stand for the app's secret here.
        return state.authenticate(client_sid, secret, required=basic is None)[0]
