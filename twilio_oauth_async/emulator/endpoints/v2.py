"""``POST /v2/token``: what Twilio serves publicly today, with the names of RFC 6749."""

from __future__ import annotations

from urllib.parse import unquote_plus

from aiohttp import web

from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.endpoints.exchange import form_of, json_answer
from twilio_oauth_async.emulator.messages.credentials import CLIENT_CHALLENGE, read_basic
from twilio_oauth_async.emulator.messages.forms import Form
from twilio_oauth_async.emulator.messages.refusal import RefusalError
from twilio_oauth_async.emulator.rules.model import App
from twilio_oauth_async.emulator.rules.state import Issue

_GRANTS_PARAMETERS = ("audience", "code", "code_verifier", "redirect_uri", "refresh_token", "scope")


class ApiV2:
    """The second generation's token endpoint; the app's credentials are all that it asks for."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def token(self, request: web.Request) -> web.Response:
        """Answer a token request."""
        form = form_of(request)
        form.known(*_GRANTS_PARAMETERS)
        grant_type = form.required("grant_type")
        app, authenticated = self._client(request, form)
        account_sid = request.query.get("account_sid")
        if account_sid is not None and not self._backend.accounts.knows(account_sid):
            raise RefusalError("unauthorized_client", "The client may not act for this account.")
        if grant_type == "client_credentials":
            issue = self._client_credentials(form, app)
        elif grant_type == "authorization_code":
            issue = self._code(form, app, authenticated=authenticated)
        elif grant_type == "refresh_token":
            issue = self._refresh(form, app, authenticated=authenticated)
        else:
            raise RefusalError("unsupported_grant_type", "There is no such grant type.", twilio_code=321403)
        # A refresh token comes only with offline_access, or in exchange for another one.
        lasting = issue.refreshed or "offline_access" in issue.scopes
        answer = self._backend.tokens.issue(issue, self._backend.now(), with_refresh=lasting)
        body = {
            "access_token": answer.access_token,
            "refresh_token": answer.refresh_token,
            "id_token": answer.id_token,
            "token_type": "Bearer",
            "expires_in": answer.expires_in,
        }
        if answer.scope is not None:
            body["scope"] = answer.scope
        return json_answer(body)

    def _client(self, request: web.Request, form: Form) -> tuple[App, bool]:
        """Let the client prove itself, in the body or with Basic (RFC 6749 2.3.1)."""
        client_id, secret = form.optional("client_id"), form.optional("client_secret")
        basic = read_basic(request.headers.get("Authorization"))
        if basic is not None and not self._backend.accounts.matches(*basic):
            # RFC 6749 2.3.1: form-encoded first; the account's credentials, which some clients always send, are not.
            name, password = (unquote_plus(part) for part in basic)
            if secret is not None or client_id not in {None, name}:
                raise RefusalError("invalid_request", "The client authenticates in more than one way.")
            try:
                return self._backend.state.authenticate(name, password)
            except RefusalError as refusal:
                refusal.challenge = CLIENT_CHALLENGE  # RFC 6749 5.2
                raise
        if client_id is None:
            raise RefusalError("invalid_request", "The parameter client_id is missing.", twilio_code=321402)
        return self._backend.state.authenticate(client_id, secret)

    def _client_credentials(self, form: Form, app: App) -> Issue:
        audience = form.optional("audience")
        audiences = () if audience is None else (audience,)
        return self._backend.state.client_credentials(app, _scopes(form) or (), audiences, self._backend.now())

    def _code(self, form: Form, app: App, *, authenticated: bool) -> Issue:
        return self._backend.state.exchange_code(
            app,
            form.required("code"),
            self._backend.now(),
            verifier=form.optional("code_verifier"),
            redirect_uri=form.optional("redirect_uri"),
            compare_redirect_uri=True,
            authenticated=authenticated,
        )

    def _refresh(self, form: Form, app: App, *, authenticated: bool) -> Issue:
        return self._backend.state.refresh(
            app,
            form.required("refresh_token"),
            self._backend.now(),
            authenticated=authenticated,
            scopes=_scopes(form),
        )


def _scopes(form: Form) -> list[str] | None:
    """RFC 6749 3.3: one parameter, its scopes parted by single spaces."""
    scope = form.optional("scope")
    return None if scope is None else scope.split(" ")
