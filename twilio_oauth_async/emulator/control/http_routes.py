"""Control over HTTP, for tests in other languages: `InProcessControl` as an API. Enabled only with a control token.

Each request needs ``Authorization: Bearer <control token>``. Bodies of requests and responses are JSON objects; a form
(``application/x-www-form-urlencoded``) is accepted too, in which the items of a list are separated by spaces. A command
without arguments needs no body. These requests are not recorded in the journal, and no fault hits them.
``GET /_control/openapi.json`` describes the commands in OpenAPI 3.1, and docs/emulator.md in a table.

``user`` is the ``sid`` of a user. Durations are seconds. An error is ``{"error": message}`` with the status 400 (the
request is not valid; the message says what is expected), 401 (the control token is missing or wrong), 404 (no such
path, code, token, user or fault), 405, 409 (the code has expired or was already approved or denied; the clock is not
virtual; the journal has forgotten requests) or 413.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from twilio_oauth_async.emulator.control.arguments import Arguments, ControlError, read_form, read_object
from twilio_oauth_async.emulator.control.http_commands import COMMANDS
from twilio_oauth_async.emulator.control.in_process import InProcessControl
from twilio_oauth_async.emulator.control.openapi import arguments_of, describe_api
from twilio_oauth_async.emulator.endpoints.middleware import json_response
from twilio_oauth_async.emulator.messages.credentials import BEARER_TOKEN, same_secret
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.messages.forms import FORM_TYPE
from twilio_oauth_async.emulator.messages.hosts import AllowedHosts

CONTROL_PATH = "/_control/"
OPENAPI = "openapi.json"


class HttpControl:
    """Runs the commands that are sent to `CONTROL_PATH`."""

    def __init__(self, control: InProcessControl, token: str, hosts: AllowedHosts) -> None:
        """Serve `control` to clients that send `token`, and that name one of `hosts`.

        Raises:
            ValueError: `token` contains characters that a Bearer token cannot have.
        """
        if not BEARER_TOKEN.fullmatch(token):
            raise ValueError("a control token can contain only letters, digits and -._~+/, and = at its end")
        self._control = control
        self._token = token
        self._hosts = hosts

    def middleware(self) -> Middleware:
        """Return the middleware as an aiohttp function."""

        @web.middleware
        async def control_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path.startswith(CONTROL_PATH):
                return await self._respond(request)
            return await handler(request)

        return control_middleware

    async def _respond(self, request: web.Request) -> web.Response:
        try:
            self._hosts.check(request.headers.get("Host", ""))
            self._check_token(request)
            return json_response(await self._run(request))
        except ControlError as error:
            response = json_response({"error": str(error)}, status=error.status)
        except ErrorResponse as error:
            response = json_response({"error": error.description}, status=error.status)
        except web.HTTPRequestEntityTooLarge:
            response = json_response({"error": "the request is too large"}, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except web.RequestPayloadError:
            response = json_response({"error": "the body cannot be read"}, status=HTTPStatus.BAD_REQUEST)
        if response.status == HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = 'Bearer realm="emulator control"'  # RFC 9110 15.5.2
        if response.status == HTTPStatus.METHOD_NOT_ALLOWED:
            response.headers["Allow"] = COMMANDS[_name(request)].method  # RFC 9110 15.5.6
        return response

    def _check_token(self, request: web.Request) -> None:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not same_secret(given.strip(), self._token):
            raise ControlError("send the header Authorization: Bearer <control token>", HTTPStatus.UNAUTHORIZED)

    async def _run(self, request: web.Request) -> dict[str, Any]:
        name = _name(request)
        if name == OPENAPI and request.method == "GET":
            return describe_api(self._control.base_url, CONTROL_PATH)
        command = COMMANDS.get(name)
        if command is None:
            commands = ", ".join(f"{each.method} {CONTROL_PATH}{path}" for path, each in COMMANDS.items())
            commands += f", GET {CONTROL_PATH}{OPENAPI}"
            raise ControlError(f"no such path; use {commands}", HTTPStatus.NOT_FOUND)
        if request.method != command.method:
            raise ControlError(f"method not allowed; use {command.method}", HTTPStatus.METHOD_NOT_ALLOWED)
        if command.method == "GET":
            given: dict[str, Any] = dict(request.query)
        else:
            body = await request.read()
            # curl -d sends JSON with the content type of a form, unless it gets the option -H.
            is_form = request.content_type == FORM_TYPE and not body.lstrip().startswith(b"{")
            given = read_form(body, arguments_of(name, command)) if is_form else read_object(body)
        arguments = Arguments(name or CONTROL_PATH, given, command.required, command.optional)
        return await command.run(self._control, arguments)


def _name(request: web.Request) -> str:
    return request.path.removeprefix(CONTROL_PATH)
