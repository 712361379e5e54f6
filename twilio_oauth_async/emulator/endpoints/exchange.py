"""What surrounds every endpoint: the journal, faults, refusals as answers, the headers that all answers carry."""

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
from twilio_oauth_async.emulator.faults.answers import change
from twilio_oauth_async.emulator.faults.delivery import end, send_badly
from twilio_oauth_async.emulator.faults.fault import Fault
from twilio_oauth_async.emulator.messages.credentials import CLIENT_CHALLENGE
from twilio_oauth_async.emulator.messages.forms import FORM_TYPE, Form
from twilio_oauth_async.emulator.messages.journal import Headers, Parameters, RecordedRequest
from twilio_oauth_async.emulator.messages.refusal import RefusalError

Handler = Callable[[web.Request], Awaitable[web.Response]]
RefusalPage = Callable[[web.Request, RefusalError], web.Response]
FORM = web.RequestKey("form", Form)

PAGES = frozenset({"activate", "consent", "done", "authorize"})
"""Endpoints that people see, so that their refusals are pages."""
_URL_TABOO = frozenset({"clientsecret", "code", "codeverifier", "devicecode", "refreshtoken", "token"})
_HTTP_REFUSALS = {
    HTTPStatus.BAD_REQUEST: ("invalid_request", "The body cannot be read."),
    HTTPStatus.NOT_FOUND: ("not_found", "There is nothing at this path."),
    HTTPStatus.METHOD_NOT_ALLOWED: ("method_not_allowed", "This path does not have this method."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("invalid_request", "The request is too large."),
}


def form_of(request: web.Request) -> Form:
    """Return the body's form.

    Raises:
        RefusalError: a secret stands in the URL, where every log has it (RFC 6749 2.3.1).
    """
    for name in request.query:
        if name.lower().replace("_", "") in _URL_TABOO:
            raise RefusalError("invalid_request", "Secrets belong into the body, never into the URL.")
    return request[FORM]


def json_answer(body: Any, *, status: int = 200) -> web.Response:
    """Return a JSON answer that nobody may cache (RFC 6749 5.1)."""
    return web.Response(
        body=json.dumps(body).encode("ascii"),
        status=status,
        content_type="application/json",
        charset="utf-8",
        headers={"Cache-Control": "no-store", "Pragma": "no-cache"},
    )


class Exchange:
    """The middleware around all handlers."""

    def __init__(self, backend: Backend, endpoint_of: Callable[[str], str], refusal_page: RefusalPage) -> None:
        self._backend = backend
        self._endpoint_of = endpoint_of
        self._refusal_page = refusal_page

    def middleware(self) -> Middleware:
        """Return it in the form that aiohttp takes."""

        @web.middleware
        async def exchange(request: web.Request, handler: AnyHandler) -> web.StreamResponse:
            return await self._exchange(request, handler)

        return exchange

    async def _exchange(self, request: web.Request, handler: AnyHandler) -> web.Response:
        # The journal has it before the body is read, so that a request which never completes is in it as well.
        record = self._record(request)
        self._backend.journal.add(record)
        problem = await self._read(request, record)
        fault = self._backend.faults.take(record)
        if fault is None:
            answer = await self._answer(request, handler, record, problem)
            record.status = answer.status
            return answer
        return await self._go_wrong(fault, request, record, lambda: self._answer(request, handler, record, problem))

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

    async def _read(self, request: web.Request, record: RecordedRequest) -> web.HTTPException | None:
        try:
            record.body = await request.read()
        except web.HTTPException as problem:  # too large
            return problem
        except web.RequestPayloadError:  # it is not compressed as its head says
            return web.HTTPBadRequest()
        form = request[FORM] = Form.parse(record.body, request.content_type if record.body else FORM_TYPE)
        record.form.extend(form.pairs)
        if record.endpoint == "token":
            record.kind = self._token_kind(record)
        return None

    def _token_kind(self, record: RecordedRequest) -> str:
        grant_type = record.form.get("GrantType") or record.form.get("grant_type") or ""
        if grant_type == self._backend.state.policy.device_grant_type:
            return "poll"
        kinds = {"refresh_token": "refresh", "authorization_code": "code", "client_credentials": "client_credentials"}
        return kinds.get(grant_type, "token")

    async def _answer(
        self, request: web.Request, handler: AnyHandler, record: RecordedRequest, problem: web.HTTPException | None
    ) -> web.Response:
        try:
            if problem is not None:
                raise problem
            answer = await handler(request)
            assert isinstance(answer, web.Response)
        except RefusalError as refusal:
            record.error = refusal.error
            answer = self._refuse(request, record, refusal)
        except web.HTTPException as exception:
            known = _HTTP_REFUSALS.get(HTTPStatus(exception.status))
            if known is None:
                raise
            record.error = known[0]
            answer = self._refuse(request, record, RefusalError(*known, status=exception.status))
            if "Allow" in exception.headers:
                answer.headers["Allow"] = exception.headers["Allow"]
        if FORM in request:
            record.unknown_parameters = request[FORM].unknown
        self._stamp(answer)
        return answer

    def _refuse(self, request: web.Request, record: RecordedRequest, refusal: RefusalError) -> web.Response:
        seen_by_a_person = record.endpoint in PAGES or (
            not record.endpoint and "text/html" in request.headers.get("Accept", "")
        )
        if seen_by_a_person:
            answer = self._refusal_page(request, refusal)
        else:
            answer = json_answer(self._backend.dialect.error(refusal), status=refusal.status)
            if refusal.challenge is not None:
                answer.headers["WWW-Authenticate"] = refusal.challenge
            elif refusal.status == HTTPStatus.UNAUTHORIZED:
                answer.headers["WWW-Authenticate"] = CLIENT_CHALLENGE  # RFC 9110 15.5.2: there must be one
        if refusal.retry_after is not None:
            answer.headers["Retry-After"] = str(refusal.retry_after)
        return answer

    def _stamp(self, answer: web.Response) -> None:
        answer.headers["Twilio-Request-Id"] = self._backend.state.ids.sid("RQ")
        answer.headers["Twilio-Concurrent-Requests"] = "1"
        answer.headers["Twilio-Request-Duration"] = "0.001"

    async def _go_wrong(
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
            await backend.clock.sleep(plan.delay)
        answer = await process() if plan.processes else web.Response()
        if plan.success_only:
            if answer.status >= HTTPStatus.BAD_REQUEST or fault.is_used_up:
                record.status = answer.status
                return answer
            fault.count_hit()
            record.fault = repr(fault)
            await backend.clock.sleep(plan.delay)
        if plan.replacement is not None:
            answer = plan.replacement(backend.dialect)
            self._stamp(answer)
        elif plan.forgery is not None:
            forgery = plan.forgery
            change(answer, {"id_token": functools.partial(backend.keys.forge, forgery=forgery)})
        for edit in plan.edits:
            edit(answer)
        if not plan.sends_raw:
            record.status = answer.status
            return answer
        transport = request.transport
        if transport is not None:
            if plan.processes or plan.replacement is not None:
                record.status = answer.status if plan.sends_head else None
                await send_badly(answer, transport, plan, backend.clock, backend.closing)
            elif plan.broken is not None:
                await end(transport, plan.broken, backend.closing)
        return web.Response()  # the connection is gone; aiohttp finds that out and drops this
