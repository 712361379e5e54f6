"""The middleware around all endpoints: journal, faults, error responses, and Twilio's headers."""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler as AnyHandler
from aiohttp.typedefs import Middleware

from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.endpoints.date_header import keep_date
from twilio_oauth_async.emulator.faults.delivery import end_connection, send_raw, wait
from twilio_oauth_async.emulator.faults.fault import Fault
from twilio_oauth_async.emulator.faults.responses import change
from twilio_oauth_async.emulator.messages.credentials import CLIENT_CHALLENGE, check_url_parameters
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.messages.forms import FORM_TYPE, Form
from twilio_oauth_async.emulator.messages.journal import Headers, Parameters, RecordedRequest
from twilio_oauth_async.emulator.messages.response_formats import http_date, is_page

Handler = Callable[[web.Request], Awaitable[web.Response]]
ErrorPage = Callable[[web.Request, ErrorResponse], web.Response]
FORM = web.RequestKey("form", Form)

_HTTP_ERRORS = {
    HTTPStatus.BAD_REQUEST: ("invalid_request", "The body cannot be read."),
    HTTPStatus.NOT_FOUND: ("not_found", "There is nothing at this path."),
    HTTPStatus.METHOD_NOT_ALLOWED: ("method_not_allowed", "This method is not allowed at this path."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("invalid_request", "The request is too large."),
}


def form_of(request: web.Request) -> Form:
    """Return the form in the body.

    Raises:
        ErrorResponse: ``invalid_request``: the URL contains a secret.
    """
    check_url_parameters(request.query)
    return request[FORM]


def json_response(body: Any, *, status: int = 200) -> web.Response:
    """Return a JSON response that must not be cached (RFC 6749 5.1)."""
    return web.Response(
        body=json.dumps(body).encode("ascii"),
        status=status,
        content_type="application/json",
        charset="utf-8",
        headers={"Cache-Control": "no-store", "Pragma": "no-cache"},
    )


class EndpointMiddleware:
    """Records each request, applies faults, and turns exceptions into error responses."""

    def __init__(self, backend: Backend, endpoint_of: Callable[[str], str], error_page: ErrorPage) -> None:
        self._backend = backend
        self._endpoint_of = endpoint_of
        self._error_page = error_page

    def middleware(self) -> Middleware:
        """Return the middleware as an aiohttp function."""

        @web.middleware
        async def endpoint_middleware(request: web.Request, handler: AnyHandler) -> web.StreamResponse:
            return await self._handle(request, handler)

        return endpoint_middleware

    async def _handle(self, request: web.Request, handler: AnyHandler) -> web.Response:
        # Recorded before the body is read, so that a request that is never completed is in the journal too.
        record = self._record(request)
        self._backend.journal.add(record)
        problem = await self._read_body(request, record)
        fault = self._backend.faults.select(record)
        if fault is None:
            response = await self._respond(request, handler, record, problem)
            record.status = response.status
            return response
        return await self._apply_fault(fault, request, record, lambda: self._respond(request, handler, record, problem))

    def _record(self, request: web.Request) -> RecordedRequest:
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        endpoint = self._endpoint_of(request.path)
        return RecordedRequest(
            method=request.method,
            path=request.path,
            endpoint=endpoint,
            kind=endpoint,
            query=Parameters(request.query),
            form=Parameters(),
            headers=Headers(request.headers),
            body=b"",
            received_at=self._backend.clock.monotonic(),
            received_on=self._backend.clock.now(),
            peer_port=peer[1] if peer else None,
        )

    async def _read_body(self, request: web.Request, record: RecordedRequest) -> web.HTTPException | None:
        try:
            self._backend.journal.add_body(record, await request.read())
        except web.HTTPException as problem:  # too large
            return problem
        except web.RequestPayloadError:  # the body does not match its Content-Encoding
            return web.HTTPBadRequest()
        form = request[FORM] = Form.parse(record.body, request.content_type if record.body else FORM_TYPE)
        record.form.extend(form.pairs)
        if record.endpoint == "token":
            record.kind = self._token_kind(record)
        return None

    def _token_kind(self, record: RecordedRequest) -> str:
        grant_type = record.form.get("GrantType") or record.form.get("grant_type") or ""
        if grant_type == self._backend.server.policy.device_grant_type:
            return "poll"
        kinds = {"refresh_token": "refresh", "authorization_code": "code", "client_credentials": "client_credentials"}
        return kinds.get(grant_type, "token")

    async def _respond(
        self, request: web.Request, handler: AnyHandler, record: RecordedRequest, problem: web.HTTPException | None
    ) -> web.Response:
        try:
            self._backend.hosts.check(request.headers.get("Host", ""))
            if problem is not None:
                raise problem
            response = await handler(request)
            assert isinstance(response, web.Response)
        except ErrorResponse as error:
            record.error = error.code
            response = self._error_response(request, record, error)
        except web.HTTPException as exception:
            known = _HTTP_ERRORS.get(HTTPStatus(exception.status))
            if known is None:
                raise
            record.error = known[0]
            response = self._error_response(request, record, ErrorResponse(*known, status=exception.status))
            if "Allow" in exception.headers:
                response.headers["Allow"] = exception.headers["Allow"]
        if FORM in request:
            record.unknown_parameters = request[FORM].unknown
        self._add_twilio_headers(response)
        return response

    def _error_response(self, request: web.Request, record: RecordedRequest, error: ErrorResponse) -> web.Response:
        if is_page(record.endpoint, request.headers.get("Accept", "")):
            response = self._error_page(request, error)
        else:
            response = json_response(self._backend.response_format.error(error), status=error.status)
            if error.challenge is not None:
                response.headers["WWW-Authenticate"] = error.challenge
            elif error.status == HTTPStatus.UNAUTHORIZED:
                response.headers["WWW-Authenticate"] = CLIENT_CHALLENGE  # RFC 9110 15.5.2: required
        if error.retry_after is not None:
            response.headers["Retry-After"] = str(error.retry_after)
        return response

    def _add_twilio_headers(self, response: web.Response) -> None:
        response.headers["Twilio-Request-Id"] = self._backend.server.ids.sid("RQ")
        response.headers["Twilio-Concurrent-Requests"] = "1"
        response.headers["Twilio-Request-Duration"] = "0.001"

    async def _apply_fault(
        self,
        fault: Fault,
        request: web.Request,
        record: RecordedRequest,
        process: Callable[[], Awaitable[web.Response]],
    ) -> web.Response:
        plan, backend = fault.plan, self._backend
        if not plan.success_only:
            fault.count_hit()
            record.fault = repr(fault)
            await wait(plan.delay, backend.clock)
        response = await process() if plan.processes else web.Response()
        if plan.success_only:
            # Another request may have used up the fault while this one was processed.
            if response.status >= HTTPStatus.BAD_REQUEST or fault.is_used_up:
                record.status = response.status
                return response
            fault.count_hit()
            record.fault = repr(fault)
            await wait(plan.delay, backend.clock)
        if plan.replacement is not None:
            response = plan.replacement(backend.response_format)
            self._add_twilio_headers(response)
        elif plan.forgery is not None:
            change(response, {"id_token": functools.partial(backend.keys.forge, forgery=plan.forgery)})
        # Before the edits, which can change or remove the header.
        response.headers.setdefault("Date", http_date(backend.clock.now()))
        for edit in plan.edits:
            edit(response)
        keep_date(request, response)
        if not plan.sends_raw:
            record.status = response.status
            return response
        transport = request.transport
        if transport is not None:
            if plan.processes or plan.replacement is not None:
                record.status = response.status if plan.sends_head else None
                await send_raw(response, transport, plan, backend.clock, backend.closing)
            elif plan.broken is not None:
                await end_connection(transport, plan.broken, backend.closing)
        return web.Response()  # not sent: aiohttp finds the connection closed
