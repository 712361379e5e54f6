"""The authorization endpoint and its consent page (RFC 6749 4.1, 3.1)."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import web

from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.endpoints.middleware import FORM
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.messages.forms import Form
from twilio_oauth_async.emulator.pages.consent_texts import permissions, time_of_day
from twilio_oauth_async.emulator.pages.csrf import CsrfProtection
from twilio_oauth_async.emulator.pages.rendering import redirect
from twilio_oauth_async.emulator.rules.authorization_codes import RedirectErrorResponse
from twilio_oauth_async.emulator.rules.model import AuthorizationRequest

AUTHORIZE_CONSENT_PATH = "/oauth2/authorize/consent"


class AuthorizePages:
    """Handlers of the pages of the authorization code grant."""

    def __init__(self, backend: Backend, csrf: CsrfProtection) -> None:
        self._backend = backend
        self._csrf = csrf

    async def authorize(self, request: web.Request) -> web.Response:
        """Show the consent page, or redirect the browser to the client with an error."""
        if request.method == "GET":  # OpenID Connect Core 3.1.2.1: both methods
            request[FORM] = Form(list(request.query.items()))
        try:
            pending = begin_authorization(self._backend, request[FORM])
        except RedirectErrorResponse as error:
            return redirect(error.location, HTTPStatus.FOUND)
        session, now = self._csrf.session(request), self._backend.now()
        return session.page(
            "authorize.html",
            # Chromium also applies form-action to the redirect after a form is submitted.
            form_target=_origin(pending.redirect_uri),
            action=AUTHORIZE_CONSENT_PATH,
            hidden=("request_id", pending.id),
            app_name=pending.app.name,
            permissions=permissions(pending.scopes, pending.audiences, self._backend.scope_texts),
            started=time_of_day(now.wall),
            expires=f"You can decide until {time_of_day(now.wall, pending.expires_at - now.seconds)}.",
            host=request.host,
            users=list(self._backend.server.users.values()),
            destination=_origin(pending.redirect_uri).removeprefix("http://"),
        )

    async def submit_decision(self, request: web.Request) -> web.Response:
        """Approve or deny the request and redirect the browser to the client."""
        form = request[FORM]
        self._csrf.session(request).check_csrf_token(request, form)
        now = self._backend.now()
        codes = self._backend.server.codes
        pending: AuthorizationRequest = codes.pending(form.required("request_id"), now)
        decision = form.required("decision")
        if decision == "approve":
            location = codes.approve(pending, self._backend.selected_user(form.optional("user")), now)
        elif decision == "deny":
            location = codes.deny(pending)
        else:
            raise ErrorResponse("invalid_request", "The decision must be approve or deny.")
        return redirect(location)  # RFC 9700 4.12: never 307; the browser would send the form to the client


def begin_authorization(backend: Backend, form: Form) -> AuthorizationRequest:
    """Check an authorization request and store it for the user's decision.

    Raises:
        ErrorResponse: the client is unknown or the redirect URI is not valid.
        RedirectErrorResponse: another parameter is not valid.
    """
    app = backend.server.apps.get(form.required("client_id", "ClientSid"))
    if app is None:
        # RFC 6749 4.1.2.1: no redirect, because the redirect URI cannot be checked. 400 and not 401, because no client
        # authentication failed.
        raise ErrorResponse("invalid_request", "There is no such client.")
    return backend.server.codes.begin(app, form, backend.now())


def _origin(uri: str) -> str:
    """Return scheme and host of `uri`; only the scheme if it has no host (RFC 8252 7.1)."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"
