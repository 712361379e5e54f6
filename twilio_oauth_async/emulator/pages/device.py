"""The pages of the device grant: enter or confirm the code, see who asks for what, approve or deny (RFC 8628 3.3)."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.endpoints.exchange import FORM
from twilio_oauth_async.emulator.endpoints.v1 import ACTIVATE_PATH
from twilio_oauth_async.emulator.messages.forms import Form
from twilio_oauth_async.emulator.messages.refusal import RefusalError, UnknownUserCodeError, UserCodeError
from twilio_oauth_async.emulator.pages.rendering import PageMaker, PageSession, redirect, render
from twilio_oauth_async.emulator.rules.model import DeviceCode

CONSENT_PATH = "/v1/oauth2/device/consent"
_LONGEST_TYPED_CODE = 40
_PROBLEMS = {
    "unknown": (HTTPStatus.NOT_FOUND, "We do not know this code. Check it on your device and enter it again."),
    "expired": (HTTPStatus.GONE, "This code has expired. Start again on your device to get a new one."),
    "used": (HTTPStatus.CONFLICT, "This code was already used. Start again on your device to get a new one."),
}


class DevicePages:
    """Handlers; no page needs a script, and each form carries a token that belongs to the browser it was sent to."""

    def __init__(self, backend: Backend, pages: PageMaker) -> None:
        self._backend = backend
        self._pages = pages

    async def enter(self, request: web.Request) -> web.Response:
        """Show the form for the code; one in the URL is filled in and still has to be confirmed (RFC 8628 3.3.1)."""
        typed = request.query.get("user_code", "")[:_LONGEST_TYPED_CODE]
        return self._enter(self._pages.session(request), typed)

    async def look_up(self, request: web.Request) -> web.Response:
        """Take the code that was entered: show who asks for what."""
        session, form = self._posted(request)
        typed = (form.optional("user_code") or "")[:_LONGEST_TYPED_CODE]
        try:
            found = self._find(request, typed)
        except UserCodeError as error:
            return self._enter(session, typed, problem=error)
        return session.page(
            "consent.html",
            action=CONSENT_PATH,
            app_name=found.app.name,
            scopes=found.requested_scopes,
            audiences=found.audiences,
            user_code=found.user_code,
            users=list(self._backend.state.users.values()),
        )

    async def decide(self, request: web.Request) -> web.Response:
        """Approve or deny was pressed."""
        session, form = self._posted(request)
        typed = (form.optional("user_code") or "")[:_LONGEST_TYPED_CODE]
        decision = form.required("decision")
        user = self._backend.chosen_user(form.optional("user"))
        devices, now = self._backend.state.devices, self._backend.now()
        try:
            found = self._find(request, typed)
        except UserCodeError as error:
            return self._enter(session, typed, problem=error)
        if decision == "approve":
            devices.approve(found.user_code, user, now)
            outcome = "approved"
        elif decision == "deny":
            devices.deny(found.user_code, now)
            outcome = "denied"
        else:
            raise RefusalError("invalid_request", "The decision is either approve or deny.")
        return redirect(f"{CONSENT_PATH}/{outcome}")

    def _find(self, request: web.Request, typed: str) -> DeviceCode:
        """Look a typed code up, unless this client has guessed too often.

        Raises:
            UserCodeError: it cannot be decided upon.
            RefusalError: 429.
        """
        client, now = request.remote or "", self._backend.now()
        self._backend.guesses.demand_patience(client, now)
        try:
            return self._backend.state.devices.find(typed, now)
        except UnknownUserCodeError:
            self._backend.guesses.wrong(client, now)
            raise

    async def approved(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """Show the end of a good sign-in."""
        return render("done.html", approved=True)

    async def denied(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """Show the end of a refused one."""
        return render("done.html", approved=False)

    def _posted(self, request: web.Request) -> tuple[PageSession, Form]:
        """Return the session and form of a request that this browser's own page has sent.

        Raises:
            RefusalError: somebody else's page sent it, or the form token is missing or wrong.
        """
        session, form = self._pages.session(request), request[FORM]
        session.demand_own_form(request, form)
        return session, form

    def _enter(self, session: PageSession, typed: str, *, problem: UserCodeError | None = None) -> web.Response:
        status, text = (HTTPStatus.OK, None) if problem is None else _PROBLEMS[problem.reason]
        if status in {HTTPStatus.GONE, HTTPStatus.CONFLICT}:
            typed = ""  # no use in trying the same code again
        return session.page("enter.html", status=status, action=f"/{ACTIVATE_PATH}", user_code=typed, problem=text)
