"""No secret in a log, a repr, a message, a chain of exceptions, a pickle or a URL, whatever the server does."""

import asyncio
import json
import logging
import pickle
import traceback
from urllib.parse import unquote_plus

import pytest

from tests.faults.test_bad_answers import BAD_ANSWERS
from tests.faults.test_connection import CUT
from tests.helpers.calls import EVERY_CALL, GOOD_CODE, GOOD_TOKEN, PASSWORD, SECRETS, flow
from tests.helpers.raw_server import RawServer, http, silence
from tests.helpers.scripted_flow import PENDING, SLOW_DOWN
from twilio_oauth_async import OAuthSession, RetryPolicy, TwilioOAuthError, VirtualClock

LOGGERS = ("twilio_oauth_async", "aiohttp", "asyncio", "backoff")


class Echo:
    """Answers with all that it was sent, in a form of error."""

    def __init__(self, server, form):
        self.server, self.form = server, form

    async def __call__(self, writer):
        request = self.server.requests[-1]
        body = request.body.decode()
        heard = f"{request.headers.get('authorization')} {body} {unquote_plus(body)}"
        answer = {
            "oauth": {"error": heard, "error_description": heard, "error_uri": heard},
            "twilio": {"code": 20001, "message": heard, "more_info": heard, "status": 400},
            "problem": {"title": heard, "detail": heard, "type": heard, "status": 400},
            "list": {"errors": [{"message": heard, "code": heard}]},
            "page": heard.encode(),
            "success": {
                "access_token": None,
                "device_code": [heard],
                "user_sid": heard,
                "keys": heard,
                "issuer": [heard],
            },
        }[self.form]
        status = {"page": 502, "success": 200}.get(self.form, 400)
        writer.write(http(status, answer, Twilio_Request_Id=heard.replace("\n", " "), X=heard))
        await writer.drain()


FAULTS = {
    **{f"cut {number}": [fault] for number, fault in enumerate(CUT)},
    **{f"bad {name}": [answer] for name, answer in BAD_ANSWERS.items()},
    "silence": [silence],
    "redirect": [http(307, b"", None, Location="http://127.0.0.1:9/")],
    **{f"status {status}": [http(status, {"error": "odd"})] for status in (400, 401, 403, 404, 408, 429, 500, 503)},
    **{f"echo {form}": form for form in ("oauth", "twilio", "problem", "list", "page", "success")},
    "good": [],
}


def told_by(error):
    """All that an exception can tell to a log, a debugger or another process."""
    yield "".join(traceback.format_exception(error))
    seen = error
    while seen is not None:
        yield repr(seen)
        yield repr(vars(seen))
        yield repr(seen.args)
        if isinstance(seen, TwilioOAuthError):
            yield repr(pickle.dumps(seen))
        seen = seen.__cause__ or seen.__context__


@pytest.fixture
def heard(caplog):
    """Everything that was logged, by anybody, at DEBUG."""
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, name)
    caplog.set_level(logging.DEBUG)
    return lambda: [caplog.text, *(repr(vars(record)) for record in caplog.records)]


def canaries_in(texts):
    return [(secret, text) for text in texts for secret in SECRETS if secret in text]


def patience(fault):
    """Seconds of a session's deadline: only silence is to be met by it, also on a busy machine."""
    return 0.05 if fault == [silence] else 10


async def provoke(fault, call, good):
    """Let `call` meet `fault`; what it told, and the server."""
    asyncio.get_running_loop().set_debug(True)
    told = []
    async with RawServer() as server:
        server.answers = [Echo(server, fault)] if isinstance(fault, str) else fault or [good]
        async with OAuthSession(
            "AC1",
            PASSWORD,
            base_url=server.base_url,
            clock=VirtualClock(),
            retry=RetryPolicy(attempts=2),
            timeout=patience(fault),
        ) as session:
            try:
                told.append(repr(await call(session)))
            except TwilioOAuthError as error:
                told.extend(told_by(error))
            told.append(repr(session))
            told.append(repr(vars(session._transport)))
    return told, server


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", EVERY_CALL)
async def test_calls(name, fault, heard):
    told, server = await provoke(FAULTS[fault], *EVERY_CALL[name])
    assert server.requests or fault == "silence"  # a busy machine may not get as far within its short deadline
    assert canaries_in([*told, *heard()]) == []
    assert canaries_in([request.target for request in server.requests]) == []


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", FAULTS)
async def test_the_device_flow(fault, heard):
    told = []

    def prompt(authorization):
        told.extend([repr(authorization), str(authorization), authorization.instructions()])

    async def run(session):
        own = flow(session, prompt=prompt)
        told.append(repr(own))
        authorization = await own.start()
        session.timeout = patience(FAULTS[fault])
        async for event in own.events(authorization):
            told.append(repr(event))
            told.extend(told_by(event.error) if hasattr(event, "error") else ())
        session.timeout = 10
        return await own.run()

    asyncio.get_running_loop().set_debug(True)
    async with RawServer() as server:
        tail = (
            [Echo(server, FAULTS[fault])]
            if isinstance(FAULTS[fault], str)
            else FAULTS[fault] or [http(201, GOOD_TOKEN)]
        )
        server.answers = [http(201, GOOD_CODE), PENDING, SLOW_DOWN, *tail, http(400, {"error": "expired_token"})]
        async with OAuthSession("AC1", PASSWORD, base_url=server.base_url, clock=VirtualClock(), timeout=10) as session:
            try:
                told.append(repr(await run(session)))
            except TwilioOAuthError as error:
                told.extend(told_by(error))
    assert len(server.requests) >= 4
    assert canaries_in([*told, *heard()]) == []
    assert canaries_in([request.target for request in server.requests]) == []


def test_the_canaries_would_be_seen():
    """The test above can fail: each way of telling is one that it looks at."""
    error = TwilioOAuthError("plain")
    error.__context__ = ValueError(PASSWORD)
    assert canaries_in(told_by(error))
    assert canaries_in([json.dumps({"x": PASSWORD})])
    assert not canaries_in(told_by(TwilioOAuthError("plain")))
