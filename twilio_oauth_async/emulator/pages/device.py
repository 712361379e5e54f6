"""Pages of the device grant: enter the user code, see the requested scopes, approve or deny (RFC 8628 3.3)."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.endpoints.middleware import FORM
from twilio_oauth_async.emulator.endpoints.v1 import ACTIVATE_PATH
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.messages.forms import Form
from twilio_oauth_async.emulator.pages.consent_texts import permissions, time_of_day
from twilio_oauth_async.emulator.pages.csrf import BrowserSession, CsrfProtection
from twilio_oauth_async.emulator.pages.rendering import redirect, render
from twilio_oauth_async.emulator.rules.model import DeviceCode
from twilio_oauth_async.emulator.rules.user_codes import UnknownUserCodeError, UserCodeError

CONSENT_PATH = "/v1/oauth2/device/consent"
_MAX_USER_CODE = 40
"""Limit of a typed code in characters; the rest is ignored."""
_ERRORS = {
    "unknown": (HTTPStatus.NOT_FOUND, "This code is unknown. Check it on your device and enter it again."),
    "expired": (HTTPStatus.GONE, "This code has expired. Start again on your device to get a new one."),
    "used": (HTTPStatus.CONFLICT, "This code was already used. Start again on your device to get a new one."),
}


class DevicePages:
    """Handlers of the pages of the device grant. They need no scripts; their forms are protected against CSRF."""

    def __init__(self, backend: Backend, csrf: CsrfProtection) -> None:
        self._backend = backend
        self._csrf = csrf

    async def show_code_form(self, request: web.Request) -> web.Response:
        """Show the form for the user code. A code in the URL is filled in but must be submitted (RFC 8628 3.3.1)."""
        user_code = request.query.get("user_code", "")[:_MAX_USER_CODE]
        return self._code_form(self._csrf.session(request), user_code)

    async def submit_code(self, request: web.Request) -> web.Response:
        """Check the user code and show the consent page."""
        session, form = self._submitted(request)
        user_code = (form.optional("user_code") or "")[:_MAX_USER_CODE]
        try:
            found = self._find(request, user_code)
        except UserCodeError as error:
            return self._code_form(session, user_code, error=error)
        now = self._backend.now()
        return session.page(
            "consent.html",
            action=CONSENT_PATH,
            app_name=found.app.name,
            user_code=found.user_code,
            permissions=permissions(found.requested_scopes, found.audiences, self._backend.scope_texts),
            started=time_of_day(found.requested_on),
            expires=f"The code expires at {time_of_day(now.wall, found.expires_at - now.seconds)}.",
            host=request.host,
            hidden=("user_code", found.user_code),
            users=list(self._backend.server.users.values()),
        )

    async def submit_decision(self, request: web.Request) -> web.Response:
        """Approve or deny the device code."""
        session, form = self._submitted(request)
        user_code = (form.optional("user_code") or "")[:_MAX_USER_CODE]
        decision = form.required("decision")
        user = self._backend.selected_user(form.optional("user"))
        devices, now = self._backend.server.devices, self._backend.now()
        try:
            found = self._find(request, user_code)
        except UserCodeError as error:
            return self._code_form(session, user_code, error=error)
        if decision == "approve":
            devices.approve(found.user_code, user, now)
            outcome = "approved"
        elif decision == "deny":
            devices.deny(found.user_code, now)
            outcome = "denied"
        else:
            raise ErrorResponse("invalid_request", "The decision must be approve or deny.")
        return redirect(f"{CONSENT_PATH}/{outcome}")

    def _find(self, request: web.Request, user_code: str) -> DeviceCode:
        """Return the pending device code, within the rate limit on wrong user codes.

        Raises:
            UserCodeError: the user code is unknown, expired or used.
            ErrorResponse: 429, this client has entered too many wrong codes.
        """
        client, now = request.remote or "", self._backend.now()
        self._backend.user_code_limit.check_rate_limit(client, now)
        try:
            return self._backend.server.devices.find(user_code, now)
        except UnknownUserCodeError:
            self._backend.user_code_limit.record_wrong_code(client, now)
            raise

    async def show_approved(self, request: web.Request) -> web.Response:  # noqa: ARG002 - signature of a handler
        """Show that the request was approved."""
        return render("done.html", approved=True)

    async def show_denied(self, request: web.Request) -> web.Response:  # noqa: ARG002 - signature of a handler
        """Show that the request was denied."""
        return render("done.html", approved=False)

    def _submitted(self, request: web.Request) -> tuple[BrowserSession, Form]:
        """Return the browser session and the form of a request, after checking the CSRF token.

        Raises:
            ErrorResponse: 403, the form is forged.
        """
        session, form = self._csrf.session(request), request[FORM]
        session.check_csrf_token(request, form)
        return session, form

    def _code_form(
        self, session: BrowserSession, user_code: str, *, error: UserCodeError | None = None
    ) -> web.Response:
        status, text = (HTTPStatus.OK, None) if error is None else _ERRORS[error.reason]
        if status in {HTTPStatus.GONE, HTTPStatus.CONFLICT}:
            user_code = ""  # entering the same code again cannot succeed
        return session.page("enter.html", status=status, action=f"/{ACTIVATE_PATH}", user_code=user_code, problem=text)
