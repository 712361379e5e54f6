"""What surrounds every endpoint: the journal, refusals as answers, the headers that all answers carry."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import web

from twilio_oauth_async.emulator.backend import Backend
from twilio_oauth_async.emulator.forms import FORM_TYPE, Form
from twilio_oauth_async.emulator.journal import Headers, Parameters, RecordedRequest
from twilio_oauth_async.emulator.refusal import RefusalError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
FORM = web.RequestKey("form", Form)
RECORD = web.RequestKey("record", RecordedRequest)

_HTTP_REFUSALS = {
    HTTPStatus.NOT_FOUND: ("not_found", "There is nothing at this path."),
    HTTPStatus.METHOD_NOT_ALLOWED: ("method_not_allowed", "This path does not have this method."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("invalid_request", "The request is too large."),
}


def json_answer(body: Any, *, status: int = 200) -> web.Response:
    """Return a JSON answer that nobody may cache (RFC 6749 5.1)."""
    return web.Response(
        body=json.dumps(body).encode("ascii"),
        status=status,
        content_type="application/json",
        charset="utf-8",
        headers={"Cache-Control": "no-store", "Pragma": "no-cache"},
    )


def refusal_answer(backend: Backend, refusal: RefusalError) -> web.Response:
    """Return a refusal in the backend's dialect."""
    answer = json_answer(backend.dialect.error(refusal), status=refusal.status)
    if refusal.challenge is not None:
        answer.headers["WWW-Authenticate"] = refusal.challenge
    elif refusal.status == HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = 'Basic realm="OAuth client"'  # RFC 9110 15.5.2: a 401 must have one
    return answer


def exchange_middleware(backend: Backend, endpoint_of: Callable[[web.Request], str]) -> Any:
    """Return the middleware that records every request and turns refusals into answers."""

    @web.middleware
    async def exchange(request: web.Request, handler: Handler) -> web.StreamResponse:
        record = _record(backend, request, endpoint_of(request))
        request[RECORD] = record
        try:
            answer = await _answer(backend, request, handler, record)
        finally:
            if FORM in request:
                record.unknown_parameters = request[FORM].unknown
        record.status = answer.status
        answer.headers["Twilio-Request-Id"] = backend.state.ids.sid("RQ")
        answer.headers["Twilio-Concurrent-Requests"] = "1"
        answer.headers["Twilio-Request-Duration"] = "0.001"
        return answer

    return exchange


def _record(backend: Backend, request: web.Request, endpoint: str) -> RecordedRequest:
    # The journal gets it before the body is read, so that a request which never completes is in it as well.
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    record = RecordedRequest(
        method=request.method,
        path=request.path,
        endpoint=endpoint,
        query=Parameters(request.query),
        form=Parameters(),
        headers=Headers(request.headers),
        body=b"",
        received_at=backend.clock.monotonic(),
        received_on=backend.clock.now(),
        peer_port=peer[1] if peer else None,
    )
    backend.journal.add(record)
    return record


async def _answer(
    backend: Backend, request: web.Request, handler: Handler, record: RecordedRequest
) -> web.StreamResponse:
    try:
        record.body = await request.read()
        form = Form.parse(record.body, request.content_type if record.body else FORM_TYPE)
        request[FORM] = form
        record.form.extend(form.pairs)
        return await handler(request)
    except RefusalError as refusal:
        record.error = refusal.error
        return refusal_answer(backend, refusal)
    except web.HTTPException as answer:
        known = _HTTP_REFUSALS.get(HTTPStatus(answer.status))
        if known is None:
            raise
        record.error = known[0]
        refused = refusal_answer(backend, RefusalError(*known, status=answer.status))
        if "Allow" in answer.headers:
            refused.headers["Allow"] = answer.headers["Allow"]
        return refused
