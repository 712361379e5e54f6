"""The authorization endpoint and its consent page: the browser comes, a person decides, the browser goes back."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import urlsplit

from aiohttp import web

from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.endpoints.exchange import FORM
from twilio_oauth_async.emulator.messages.forms import Form
from twilio_oauth_async.emulator.messages.refusal import RefusalError
from twilio_oauth_async.emulator.pages.rendering import PageMaker, redirect
from twilio_oauth_async.emulator.rules.authorization_codes import RedirectRefusalError
from twilio_oauth_async.emulator.rules.model import AuthorizationRequest

AUTHORIZE_CONSENT_PATH = "/oauth2/authorize/consent"


class AuthorizePages:
    """Handlers of the authorization code grant (RFC 6749 4.1)."""

    def __init__(self, backend: Backend, pages: PageMaker) -> None:
        self._backend = backend
        self._pages = pages

    async def authorize(self, request: web.Request) -> web.Response:
        """Show the consent page, or send the browser back with what is wrong."""
        if request.method == "GET":  # OpenID Connect Core 3.1.2.1: both methods
            request[FORM] = Form(list(request.query.items()))
        try:
            pending = begin_authorization(self._backend, request[FORM])
        except RedirectRefusalError as refusal:
            return redirect(refusal.location, HTTPStatus.FOUND)
        session = self._pages.session(request)
        return session.page(
            "authorize.html",
            # Chromium applies form-action to the redirect that answers the form as well.
            form_target=_origin(pending.redirect_uri),
            action=AUTHORIZE_CONSENT_PATH,
            request_id=pending.id,
            app_name=pending.app.name,
            scopes=pending.scopes,
            audiences=pending.audiences,
            users=list(self._backend.state.users.values()),
            destination=_origin(pending.redirect_uri).removeprefix("http://"),
        )

    async def decide(self, request: web.Request) -> web.Response:
        """Approve or deny was pressed."""
        form = request[FORM]
        self._pages.session(request).demand_own_form(request, form)
        now = self._backend.now()
        codes = self._backend.state.codes
        pending: AuthorizationRequest = codes.pending(form.required("request_id"), now)
        decision = form.required("decision")
        if decision == "approve":
            location = codes.approve(pending, self._backend.chosen_user(form.optional("user")), now)
        elif decision == "deny":
            location = codes.deny(pending)
        else:
            raise RefusalError("invalid_request", "The decision is either approve or deny.")
        return redirect(location)  # RFC 9700 4.12: never 307, which sends the form along


def begin_authorization(backend: Backend, form: Form) -> AuthorizationRequest:
    """Check an authorization request and keep it for the person.

    Raises:
        RefusalError: the client or its redirect URI is not to be trusted.
        RedirectRefusalError: anything else that is wrong.
    """
    app = backend.state.apps.get(form.required("client_id", "ClientSid"))
    if app is None:
        # RFC 6749 4.1.2.1: no redirect to an address that nobody vouches for. It is no failed login, so no 401.
        raise RefusalError("invalid_request", "There is no such client.")
    return backend.state.codes.begin(app, form, backend.now())


def _origin(uri: str) -> str:
    """What a policy and a person know `uri` by; an app's own scheme (RFC 8252 7.1) may have no host."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"
