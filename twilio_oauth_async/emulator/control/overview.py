"""The overview page at ``/``: codes, users, tokens, faults and requests, with buttons. Needs the control token."""

from __future__ import annotations

import hmac
from http import HTTPStatus
from itertools import islice
from typing import Any, Final, get_args

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator.control.in_process import InProcessControl
from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.endpoints.v1 import ACTIVATE_PATH
from twilio_oauth_async.emulator.messages.credentials import same_secret
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.messages.forms import Form
from twilio_oauth_async.emulator.pages.consent_texts import permissions, time_of_day
from twilio_oauth_async.emulator.pages.csrf import BrowserSession, CsrfProtection
from twilio_oauth_async.emulator.pages.rendering import asset, error_page, redirect
from twilio_oauth_async.emulator.rules.tokens import TokenState

PATH: Final = "/"
ASSETS: Final = {"/assets/overview.css": "text/css", "/assets/overview.js": "text/javascript"}
SHOWN_REQUESTS: Final = 100


class Overview:
    """Handles the requests to `PATH` and `ASSETS`. They are not recorded, and no fault hits them."""

    def __init__(self, control: InProcessControl, backend: Backend, control_token: str | None) -> None:
        """Show the page to browsers that send `control_token`; None: to none."""
        self._control = control
        self._backend = backend
        self._token = control_token
        self._csrf = CsrfProtection(backend.csrf_key)
        # Each emulator has its own key, and browsers share cookies between the ports of a host.
        self._pass = hmac.digest(backend.csrf_key, f"overview:{control_token}".encode(), "sha256").hex()
        self._cookie = f"emulator_control_{self._pass[:8]}"

    def middleware(self) -> Middleware:
        """Return the middleware as an aiohttp function."""

        @web.middleware
        async def overview_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path not in {PATH, *ASSETS}:
                return await handler(request)
            try:
                return await self._respond(request)
            except ErrorResponse as error:
                return error_page(request, error)

        return overview_middleware

    async def _respond(self, request: web.Request) -> web.Response:
        self._backend.hosts.check(request.headers.get("Host", ""))
        if request.path in ASSETS and request.method in {"GET", "HEAD"}:
            return asset(request.path.rpartition("/")[2], ASSETS[request.path])
        session = self._csrf.session(request)
        if request.path == PATH and request.method == "POST":
            return await self._submit(request, session)
        if request.method not in {"GET", "HEAD"}:
            raise ErrorResponse("method_not_allowed", "This method is not allowed at this path.", status=405)
        return self._page(session) if self._may_control(request) else self._closed(session)

    def _may_control(self, request: web.Request) -> bool:
        return self._token is not None and same_secret(request.cookies.get(self._cookie, ""), self._pass[8:])

    async def _submit(self, request: web.Request, session: BrowserSession) -> web.Response:
        form = Form.parse(await request.read(), request.content_type)
        session.check_csrf_token(request, form)
        action = form.required("action")
        if action == "sign_in":
            return self._sign_in(form, session)
        if not self._may_control(request):
            return self._closed(session, "Enter the control token first.")
        try:
            await self._act(action, form)
        except (LookupError, ValueError) as error:  # another user, or a test, was faster
            return self._page(session, f"Nothing was changed: {error}.")
        return redirect(PATH)

    def _sign_in(self, form: Form, session: BrowserSession) -> web.Response:
        if self._token is None or not same_secret(form.optional("control_token") or "", self._token):
            return self._closed(session, "This is not the control token.")
        response = redirect(PATH)
        response.set_cookie(self._cookie, self._pass[8:], httponly=True, samesite="Strict", path="/")
        return response

    async def _act(self, action: str, form: Form) -> None:
        control = self._control
        user = self._backend.selected_user(form.optional("user"))
        code = form.optional("user_code") or ""
        if action == "approve":
            await control.approve(code, user)
        elif action == "deny":
            await control.deny(code)
        elif action == "expire":
            await control.expire(code)
        elif action == "revoke_user":
            await control.revoke_user(user)
        elif action == "expire_access_tokens":
            await control.expire_access_tokens()
        elif action == "fail_refreshes":
            control.fail_refreshes()
        elif action == "remove_fault":
            for fault in control.faults:
                if str(fault.number) == form.optional("id"):
                    control.faults.remove(fault)
        elif action == "clear":
            control.clear()
        else:
            raise ErrorResponse("invalid_request", "There is no such action.")

    def _closed(self, session: BrowserSession, problem: str | None = None) -> web.Response:
        status = HTTPStatus.OK if problem is None else HTTPStatus.FORBIDDEN
        return session.page(
            "overview_closed.html",
            status=status,
            problem=problem,
            has_control=self._token is not None,
            activate=f"/{ACTIVATE_PATH}",
        )

    def _page(self, session: BrowserSession, problem: str | None = None) -> web.Response:
        control, now = self._control, self._backend.now()
        journal = control.requests
        shown = list(islice(reversed(list(journal)), SHOWN_REQUESTS))
        assets: list[str] = list(ASSETS)
        return session.page(
            "overview.html",
            status=HTTPStatus.OK if problem is None else HTTPStatus.CONFLICT,
            scripts=True,
            problem=problem,
            overview_stylesheet=assets[0],
            script=assets[1],
            activate=f"/{ACTIVATE_PATH}",
            base_url=control.base_url,
            issuer=control.issuer,
            app=self._backend.default_app,
            virtual_time=time_of_day(now.wall) if isinstance(control.clock, VirtualClock) else None,
            codes=self._codes(),
            users=list(control.users),
            tokens=self._backend.server.tokens.count(now),
            token_states=get_args(TokenState),
            faults=list(control.faults),
            requests=shown,
            older=len(journal) - len(shown),
            forgotten=journal.forgotten,
            zip=zip,
        )

    def _codes(self) -> list[dict[str, Any]]:
        now = self._backend.now()
        return [
            {
                "user_code": code.user_code,
                "app": code.app.name,
                "permissions": permissions(code.requested_scopes, code.audiences, self._backend.scope_texts),
                "started": time_of_day(code.requested_on),
                "expires": time_of_day(now.wall, code.expires_at - now.seconds),
            }
            for code in self._control.device_codes
        ]
