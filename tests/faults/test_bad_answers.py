"""Rows 5 to 9, 15, 16 and 21: what stands in an answer."""

import asyncio
import gzip
import tracemalloc
import zlib

import pytest

from tests.helpers.calls import EVERY_CALL
from tests.helpers.raw_server import RawServer, http
from tests.helpers.scripted_flow import CODE, PENDING, TOKEN, ScriptedFlow
from twilio_oauth_async import (
    ApiError,
    InvalidClientError,
    OAuthSession,
    ProtocolError,
    Token,
    TwilioOAuthError,
    Unreachable,
    VirtualClock,
)

BAD_JSON = {
    "invalid": b"{'canary': 1}",
    "empty": b"",
    "byte order mark": b'\xef\xbb\xbf{"access_token":"canary"}',
    "not UTF-8": b'{"access_token":"canary\xff"}',
    "list": b'["canary"]',
    "string": b'"canary"',
    "null": b"null",
    "100k nesting": b'{"access_token":"canary","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "5,000 digits": b'{"access_token":"canary","expires_in":' + b"9" * 5000 + b"}",
    "NaN": b'{"access_token":"canary","x":NaN}',
    "duplicate keys": b'{"access_token":"canary","access_token":"canary"}',
    "lone surrogate": b'{"access_token":"canary","x":"\\ud800"}',
}
BAD_ANSWERS = {
    **{name: http(201, body) for name, body in BAD_JSON.items()},
    "HTML page": http(200, b"<html>canary", "text/html"),
    "JSON as HTML": http(200, b'{"access_token":"canary"}', "text/html"),
    "wrong charset": http(200, b'{"access_token":"canary"}', "application/json; charset=utf-16"),
    "204": http(204, b"", None),
    "HTML 404": http(404, b"<html>canary", "text/html"),
}
NOT_ENOUGH = {
    "device code": [{}, {"device_code": "d", "user_code": "u"}, {"device_code": None}],
    "refresh": [{}, {"refresh_token": "r"}, {"access_token": None}],
    "code exchange": [{}, {"access_token": ["a"]}, {"access_token": "a", "token_type": "mac"}],
}


def session_for(server, **options):
    return OAuthSession("AC1", "pw-canary", base_url=server.base_url, clock=VirtualClock(), **options)


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", BAD_ANSWERS)
@pytest.mark.parametrize("name", EVERY_CALL)
async def test_an_answer_that_cannot_be_read(name, fault):
    async with RawServer(BAD_ANSWERS[fault]) as server, session_for(server) as session:
        with pytest.raises(ProtocolError) as caught:
            await EVERY_CALL[name][0](session)
        assert len(server.requests) == 1
    assert caught.value.status in {200, 201, 204, 404}
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", BAD_ANSWERS)
async def test_a_poll_s_answer_that_cannot_be_read_is_polled_again(fault):
    async with ScriptedFlow(BAD_ANSWERS[fault], PENDING, TOKEN) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 10.1, 5.05])


@pytest.mark.asyncio
@pytest.mark.parametrize(("name", "body"), [(name, body) for name, bodies in NOT_ENOUGH.items() for body in bodies])
async def test_an_answer_without_what_it_is_for(name, body):
    async with RawServer(http(200, body)) as server, session_for(server) as session:
        with pytest.raises(ProtocolError) as caught:
            await EVERY_CALL[name][0](session)
    assert caught.value.status == 200


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "make_answer",
    [
        lambda: http(200, b"[" + b" " * 10_000_000 + b"]"),
        lambda: http(200, gzip.compress(b"[" + b" " * 10_000_000 + b"]"), Content_Encoding="gzip"),
        lambda: http(200, zlib.compress(b"\0" * 300_000_000), Content_Encoding="deflate"),
    ],
    ids=["10 MB", "10 MB packed", "bomb"],
)
async def test_a_body_over_the_cap_takes_no_memory(make_answer):
    answer = make_answer()
    async with RawServer(answer) as server, session_for(server) as session:
        with pytest.raises(ProtocolError):
            await session.fetch_certs()  # what is imported late is there now
        tracemalloc.start()
        try:
            for call, _ in EVERY_CALL.values():
                with pytest.raises(ProtocolError, match="more than 1048576 bytes"):
                    await call(session)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    # The server in this process holds a copy of what it has not sent yet.
    assert peak < 8 * (1 << 20) + 3 * (len(answer) if len(answer) > 1 << 20 else 0)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(401, {"error": "invalid_client"}), InvalidClientError),
        (http(401, {"code": 20003, "message": "Authenticate", "status": 401}), InvalidClientError),
        (http(403, {"code": 20006, "message": "No"}), ApiError),
        (http(404, {"code": 20404, "message": "Not found"}), ApiError),
    ],
)
@pytest.mark.parametrize("name", EVERY_CALL)
async def test_a_refusal_is_fatal_and_keeps_its_status(name, answer, kind):
    async with RawServer(answer) as server, session_for(server) as session:
        with pytest.raises(kind) as caught:
            await EVERY_CALL[name][0](session)
        assert len(server.requests) == 1
    assert caught.value.status in {401, 403, 404}


@pytest.mark.asyncio
@pytest.mark.parametrize("expires_in", [0, -1, "0"])
async def test_a_code_that_has_expired_on_receipt(expires_in):
    async with ScriptedFlow(TOKEN, code={**CODE, "expires_in": expires_in}) as setup:
        with pytest.raises(TwilioOAuthError, match="expired"):
            await setup.flow.run()
        assert setup.times == []


@pytest.mark.asyncio
@pytest.mark.parametrize(("expires_in", "lifetime"), [(None, 900), ("soon", 900), (True, 900), (10**15, 86_400)])
async def test_an_odd_lifetime(expires_in, lifetime):
    async with ScriptedFlow(TOKEN, code={**CODE, "expires_in": expires_in}) as setup:
        authorization = await setup.flow.start()
        assert (authorization.expires_at - setup.clock.now()).total_seconds() == lifetime


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "date",
    [
        "Thu, 01 Jan 2026 01:00:00 GMT",
        "Thu, 01 Jan 2026 01:00:00 +0000",
        "Thu, 01 Jan 2026 01:00:00 -0000",
        "2026-01-01T01:00:00Z",
    ],
)
async def test_every_form_of_date_is_the_same_instant(date):
    async with ScriptedFlow(http(201, {"access_token": "a", "access_token_expires_at": date})) as setup:
        start = setup.clock.now()
        token = await setup.flow.run()
    assert (token.access_token_expires_at - start).total_seconds() == 3600
    assert token.access_token_expires_at.utcoffset().total_seconds() == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("date", ["garbage", "20260-01-01T00:00:00Z", 5, [], "9" * 100_000])
async def test_a_date_that_cannot_be_read_does_not_cost_the_token(date, caplog):
    async with ScriptedFlow(http(201, {"access_token": "a", "access_token_expires_at": date})) as setup:
        assert await setup.flow.run() == Token(access_token="a")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.asyncio
@pytest.mark.parametrize("value", ["a\\rb", "a\\nb", "a\\u0000b"])
@pytest.mark.parametrize("member", ["access_token", "refresh_token", "id_token"])
async def test_a_token_that_would_break_a_header_is_refused(member, value):
    body = f'{{"access_token":"a","{member}2":1,"{member}":"{value}"}}'.encode()
    if member == "access_token":
        body = f'{{"access_token":"{value}"}}'.encode()
    async with RawServer(http(201, body)) as server, session_for(server) as session:
        with pytest.raises(ProtocolError, match=f"^{member}: "):
            await EVERY_CALL["refresh"][0](session)


@pytest.mark.asyncio
async def test_reading_does_not_block_the_loop():
    """While a body of the largest size is on its way the loop goes on turning."""
    turns = 0

    async def turn():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with ScriptedFlow(http(200, b" " * (1 << 20)), PENDING, TOKEN) as setup:
        ticker = asyncio.create_task(turn())
        events = [event async for event in setup.flow.events()]
        ticker.cancel()
    assert type(events[1]) is Unreachable
    assert turns > 20


@pytest.mark.asyncio
async def test_a_narrowed_scope_is_exposed():
    async with ScriptedFlow(http(201, {"access_token": "a", "scope": "openid"}), scopes=["openid", "email"]) as setup:
        assert (await setup.flow.run()).scope == "openid"
