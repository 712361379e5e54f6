"""No secret is in a log, a repr, a message, a chain of exceptions, a pickle or a URL, whatever the server sends."""

import asyncio
import json
import logging
from urllib.parse import unquote_plus

import pytest

from tests.helpers.client_requests import ALL_REQUESTS, SECRETS, TOKEN_BODY, device_flow
from tests.helpers.faulty_responses import CUT_OFF, UNREADABLE, UNUSUAL_FORM
from tests.helpers.raw_server import http, silence
from tests.helpers.scripted_server import CODE_BODY, PASSWORD, PENDING, SLOW_DOWN, scripted
from tests.helpers.secrecy import texts_of
from twilio_oauth_async import RetryPolicy, TwilioOAuthError

LOGGERS = ("twilio_oauth_async", "aiohttp", "asyncio", "backoff")


class Echo:
    """A behaviour that sends back all that it received, in one format of errors."""

    def __init__(self, server, error_format):
        self.server, self.error_format = server, error_format

    async def __call__(self, writer):
        request = self.server.requests[-1]
        body = request.body.decode()
        received = f"{request.headers.get('authorization')} {body} {unquote_plus(body)}"
        response = {
            "oauth": {"error": received, "error_description": received, "error_uri": received},
            "twilio": {"code": 20001, "message": received, "more_info": received, "status": 400},
            "problem": {"title": received, "detail": received, "type": received, "status": 400},
            "list": {"errors": [{"message": received, "code": received}]},
            "page": received.encode(),
            "success": {
                "access_token": None,
                "device_code": [received],
                "user_sid": received,
                "keys": received,
                "issuer": [received],
            },
        }[self.error_format]
        status = {"page": 502, "success": 200}.get(self.error_format, 400)
        writer.write(http(status, response, Twilio_Request_Id=received.replace("\n", " "), X=received))
        await writer.drain()


FAULTS = {
    **{f"cut off {number}": [fault] for number, fault in enumerate(CUT_OFF)},
    **{f"unreadable {name}": [response] for name, response in {**UNREADABLE, **UNUSUAL_FORM}.items()},
    "silence": [silence],
    "redirect": [http(307, b"", None, Location="http://127.0.0.1:9/")],
    **{f"status {status}": [http(status, {"error": "odd"})] for status in (400, 401, 403, 404, 408, 429, 500, 503)},
    **{f"echo {name}": name for name in ("oauth", "twilio", "problem", "list", "page", "success")},
    "no fault": [],
}


@pytest.fixture
def logged(caplog):
    """A function that returns everything that was logged by any library at DEBUG."""
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, name)
    caplog.set_level(logging.DEBUG)
    return lambda: [caplog.text, *(repr(vars(record)) for record in caplog.records)]


def secrets_in(texts):
    return [(secret, text) for text in texts for secret in SECRETS if secret in text]


def timeout_for(fault):
    """Return the time limit of a session in seconds: only silence may reach it, also on a busy machine."""
    return 0.05 if fault == [silence] else 10


def responses_of(fault, server, success):
    """Return what `server` sends for `fault` of `FAULTS`."""
    return [Echo(server, fault)] if isinstance(fault, str) else fault or [success]


async def send_and_collect_texts(fault, call, success):
    """Send a request that meets `fault`; return all texts that the session and its error show, and the server."""
    asyncio.get_running_loop().set_debug(True)
    texts = []
    async with scripted(retry=RetryPolicy(attempts=2), timeout=timeout_for(fault)) as (server, session):
        server.responses = responses_of(fault, server, success)
        try:
            texts.append(repr(await call(session)))
        except TwilioOAuthError as error:
            texts.extend(texts_of(error))
        texts.extend([repr(session), repr(vars(session._transport))])
    return texts, server


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ALL_REQUESTS)
async def test_request_with_any_fault_shows_no_secret(name, fault, logged):
    texts, server = await send_and_collect_texts(FAULTS[fault], *ALL_REQUESTS[name])
    assert server.requests or fault == "silence"  # on a busy machine the short time limit may end it before
    assert secrets_in([*texts, *logged()]) == []
    assert secrets_in([request.target for request in server.requests]) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", FAULTS)
async def test_device_flow_with_any_fault_shows_no_secret(fault, logged):
    texts = []

    def prompt(authorization):
        texts.extend([repr(authorization), str(authorization), authorization.instructions()])

    async def run(session):
        flow = device_flow(session, prompt=prompt)
        texts.append(repr(flow))
        authorization = await flow.start()
        session.timeout = timeout_for(FAULTS[fault])
        async for event in flow.events(authorization):
            texts.append(repr(event))
            texts.extend(texts_of(event.error) if hasattr(event, "error") else ())
        session.timeout = 10
        return await flow.run()

    asyncio.get_running_loop().set_debug(True)
    async with scripted(http(201, CODE_BODY), PENDING, SLOW_DOWN, timeout=10) as (server, session):
        server.responses += responses_of(FAULTS[fault], server, http(201, TOKEN_BODY))
        server.responses.append(http(400, {"error": "expired_token"}))
        try:
            texts.append(repr(await run(session)))
        except TwilioOAuthError as error:
            texts.extend(texts_of(error))
    assert len(server.requests) >= 4
    assert secrets_in([*texts, *logged()]) == []
    assert secrets_in([request.target for request in server.requests]) == []


def test_secrets_in_finds_a_secret_in_each_kind_of_text():
    """The tests above can fail: a secret in an exception or in a text is found."""
    error = TwilioOAuthError("plain")
    error.__context__ = ValueError(PASSWORD)
    assert secrets_in(texts_of(error))
    assert secrets_in([json.dumps({"x": PASSWORD})])
    assert not secrets_in(texts_of(TwilioOAuthError("plain")))
