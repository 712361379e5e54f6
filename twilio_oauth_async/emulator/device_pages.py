"""The pages of the device grant: enter or confirm the code, see who asks for what, approve or deny (RFC 8628 3.3)."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from twilio_oauth_async.emulator.api import ACTIVATE_PATH
from twilio_oauth_async.emulator.backend import Backend
from twilio_oauth_async.emulator.exchange import FORM
from twilio_oauth_async.emulator.forms import Form
from twilio_oauth_async.emulator.pages import PageMaker, PageSession
from twilio_oauth_async.emulator.refusal import RefusalError, UserCodeError

CONSENT_PATH = "/v1/oauth2/device/consent"
_LONGEST_TYPED_CODE = 40
_PROBLEMS = {
    "unknown": (HTTPStatus.NOT_FOUND, "We do not know this code. Check it on your device and enter it again."),
    "expired": (HTTPStatus.GONE, "This code has expired. Start again on your device to get a new one."),
    "used": (HTTPStatus.CONFLICT, "This code was already used. Start again on your device to get a new one."),
}


class DevicePages:
    """Handlers; no page needs a script, and each form carries a token that belongs to the browser it was sent to."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._pages = PageMaker(backend.page_key)

    async def enter(self, request: web.Request) -> web.Response:
        """Show the form for the code; one in the URL is filled in and still has to be confirmed (RFC 8628 3.3.1)."""
        typed = request.query.get("user_code", "")[:_LONGEST_TYPED_CODE]
        return self._enter(self._pages.session(request), typed)

    async def look_up(self, request: web.Request) -> web.Response:
        """Take the code that was entered: show who asks for what."""
        session, form = self._posted(request)
        typed = (form.optional("user_code") or "")[:_LONGEST_TYPED_CODE]
        try:
            found = self._backend.state.devices.find(typed, self._backend.now())
        except UserCodeError as error:
            return self._enter(session, typed, problem=error)
        return session.page(
            "consent.html",
            action=CONSENT_PATH,
            app_name=found.app.name,
            scopes=found.requested_scopes,
            audiences=found.audiences,
            user_code=found.user_code,
            user=self._backend.default_user,
        )

    async def decide(self, request: web.Request) -> web.Response:
        """Approve or deny was pressed."""
        session, form = self._posted(request)
        typed = (form.optional("user_code") or "")[:_LONGEST_TYPED_CODE]
        decision = form.required("decision")
        devices, now = self._backend.state.devices, self._backend.now()
        try:
            if decision == "approve":
                devices.approve(typed, self._backend.default_user, now)
                outcome = "approved"
            elif decision == "deny":
                devices.deny(typed, now)
                outcome = "denied"
            else:
                raise RefusalError("invalid_request", "The decision is either approve or deny.")
        except UserCodeError as error:
            return self._enter(session, typed, problem=error)
        # Answered with a redirect, so that reloading the last page sends nothing again.
        return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": f"{CONSENT_PATH}/{outcome}"})

    async def approved(self, request: web.Request) -> web.Response:
        """Show the end of a good sign-in."""
        return self._pages.session(request).page("done.html", approved=True)

    async def denied(self, request: web.Request) -> web.Response:
        """Show the end of a refused one."""
        return self._pages.session(request).page("done.html", approved=False)

    async def stylesheet(self, request: web.Request) -> web.Response:  # noqa: ARG002 - a handler's signature
        """Return the one stylesheet."""
        return self._pages.stylesheet()

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
        return session.page("enter.html", status=status, action=f"/{ACTIVATE_PATH}", user_code=typed, problem=text)
