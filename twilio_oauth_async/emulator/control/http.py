"""Control over HTTP: what `Console` offers, for tests in other languages. It exists only where a token was chosen.

Every request carries ``Authorization: Bearer <control token>``. What is sent and what comes back is a JSON object; an
order without arguments may go without a body. No request of these stands in the journal, and no fault hits one.

=========================== ===================================================== ===================================
request                     takes (a ? marks what may be left out)                answers
=========================== ===================================================== ===================================
GET  /_control/                                                                   what the emulator is: base_url,
                                                                                  issuer, account_sid, auth_token,
                                                                                  client_sid, client_secret, users,
                                                                                  policy, clock, device_codes
GET  /_control/requests     ?endpoint=, for example poll                          requests, oldest first; secrets are
                                                                                  replaced by their lengths
GET  /_control/faults                                                             faults: id, fault, hits, unused
POST /_control/approve      user_code, user?, scopes?
POST /_control/deny         user_code
POST /_control/expire       user_code
POST /_control/revoke       token
POST /_control/authorize    url, user?, approve?, scopes?                         location
POST /_control/advance      seconds                                               clock; 409 on the machine's own
POST /_control/rotate_keys  keep?
POST /_control/add_user     first_name, last_name, email                          sid
POST /_control/add_app      name, public?, scopes?, audiences?, redirect_uris?    sid, secret
POST /_control/add_api_key                                                        sid, secret
POST /_control/add_fault    on?, and the methods of `Fault`: see `fault_orders`   id, fault
POST /_control/remove_fault id
POST /_control/poll_gaps    device_code?, interval?                               gaps, interval, polled_faster
POST /_control/clear        only?: a list of requests, faults                     after: as before the first request
=========================== ===================================================== ===================================

``user`` is a user's ``sid``; durations are seconds. What cannot be done answers ``{"error": text}`` with 400 (the
request is wrong; the text says what would be right), 401 (no or another token), 404 (no such path, code, token, user
or fault), 405, 409 (the code has expired or was decided upon; the clock is not virtual) or 413.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from twilio_oauth_async.emulator.control.arguments import Arguments, ControlError, read_object
from twilio_oauth_async.emulator.control.commands import COMMANDS
from twilio_oauth_async.emulator.control.console import Console
from twilio_oauth_async.emulator.endpoints.exchange import json_answer
from twilio_oauth_async.emulator.messages.secret import same_secret

CONTROL_PATH = "/_control/"
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*", re.ASCII)
"""RFC 6750 2.1: b64token."""


class Control:
    """Carries out what comes in under `CONTROL_PATH`."""

    def __init__(self, console: Console, token: str) -> None:
        """Serve `console` to whoever knows `token`.

        Raises:
            ValueError: no header can carry `token`.
        """
        if not _TOKEN.fullmatch(token):
            raise ValueError("a control token is made of letters, digits and -._~+/, with = at its end only")
        self._console = console
        self._token = token

    def middleware(self) -> Middleware:
        """Return it in the form that aiohttp takes."""

        @web.middleware
        async def control(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path.startswith(CONTROL_PATH):
                return await self._respond(request)
            return await handler(request)

        return control

    async def _respond(self, request: web.Request) -> web.Response:
        try:
            self._demand_token(request)
            return json_answer(await self._carry_out(request))
        except ControlError as error:
            answer = json_answer({"error": str(error)}, status=error.status)
        except web.HTTPRequestEntityTooLarge:
            answer = json_answer({"error": "the request is too large"}, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except web.RequestPayloadError:
            answer = json_answer({"error": "the body cannot be read"}, status=HTTPStatus.BAD_REQUEST)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            answer.headers["WWW-Authenticate"] = 'Bearer realm="emulator control"'  # RFC 9110 15.5.2
        if answer.status == HTTPStatus.METHOD_NOT_ALLOWED:
            answer.headers["Allow"] = COMMANDS[_name(request)].method  # RFC 9110 15.5.6
        return answer

    def _demand_token(self, request: web.Request) -> None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not same_secret(given.strip(), self._token):
            raise ControlError("send the control token as Authorization: Bearer <token>", HTTPStatus.UNAUTHORIZED)

    async def _carry_out(self, request: web.Request) -> dict[str, Any]:
        name = _name(request)
        command = COMMANDS.get(name)
        if command is None:
            there_are = ", ".join(f"{each.method} {CONTROL_PATH}{path}" for path, each in COMMANDS.items())
            raise ControlError(f"there is nothing at this path; there are {there_are}", HTTPStatus.NOT_FOUND)
        if request.method != command.method:
            raise ControlError(f"this path has the method {command.method} only", HTTPStatus.METHOD_NOT_ALLOWED)
        given = dict(request.query) if command.method == "GET" else read_object(await request.read())
        arguments = Arguments(name or CONTROL_PATH, given, command.needed, command.optional)
        return await command.run(self._console, arguments)


def _name(request: web.Request) -> str:
    return request.path.removeprefix(CONTROL_PATH)
