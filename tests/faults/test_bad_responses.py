"""Faults 5 to 9, 15, 16, 21 and 46 (docs/reliability.md): the content of a response."""

import asyncio
import gzip
import tracemalloc
import zlib

import pytest

from tests.helpers.client_requests import ALL_REQUESTS, REFRESH_TOKEN, RETRIED, SENT_ONCE, device_flow
from tests.helpers.faulty_responses import UNREADABLE, UNUSUAL_FORM
from tests.helpers.raw_server import http
from tests.helpers.scripted_server import CODE_BODY, PENDING, TOKEN, scripted, scripted_device_flow
from twilio_oauth_async import (
    ApiError,
    InvalidClientError,
    ProtocolError,
    Token,
    TwilioOAuthError,
    Unreachable,
)
from twilio_oauth_async.protocol import token_response

INCOMPLETE = {
    "device code": [{}, {"device_code": "d", "user_code": "u"}, {"device_code": None}],
    "refresh": [{}, {"refresh_token": "r"}, {"access_token": None}],
    "code exchange": [{}, {"access_token": ["a"]}, {"access_token": "a", "token_type": "mac"}],
}


@pytest.fixture(autouse=True)
def nothing_logged_yet(monkeypatch):
    monkeypatch.setattr(token_response, "_logged", set())


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("name", "fault"),
    [(name, fault) for name in ALL_REQUESTS for fault in UNREADABLE]
    + [(name, fault) for name in RETRIED for fault in UNUSUAL_FORM],
)
async def test_unreadable_response_raises_protocol_error_without_its_content(name, fault):
    async with scripted({**UNREADABLE, **UNUSUAL_FORM}[fault]) as (server, session):
        with pytest.raises(ProtocolError) as caught:
            await ALL_REQUESTS[name][0](session)
        assert len(server.requests) == 1
    assert caught.value.status in {200, 201, 204, 404}
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", UNREADABLE)
async def test_unreadable_poll_response_is_followed_by_another_poll(fault):
    async with scripted_device_flow(UNREADABLE[fault], PENDING, TOKEN) as setup:
        await setup.flow.run()
        assert setup.gaps == pytest.approx([5.05, 10.1, 5.05])


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", UNUSUAL_FORM)
@pytest.mark.parametrize("name", SENT_ONCE)
async def test_token_in_a_response_of_unusual_form_is_used(name, fault, caplog):
    async with scripted(UNUSUAL_FORM[fault]) as (_, session):
        assert await ALL_REQUESTS[name][0](session) == Token(access_token="canary")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "canary" not in caplog.text


@pytest.mark.asyncio
@pytest.mark.parametrize("fault", UNUSUAL_FORM)
async def test_token_for_a_poll_in_a_response_of_unusual_form_ends_the_flow(fault):
    async with scripted_device_flow(PENDING, UNUSUAL_FORM[fault]) as setup:
        assert await setup.flow.run() == Token(access_token="canary")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "member",
    ["refresh_token", "id_token", "scope", "expires_in", "access_token_expires_at", "refresh_token_expires_at"],
)
@pytest.mark.parametrize("value", ["", " ", "\x00", True, [], {}, [1]])
async def test_optional_member_of_unusual_kind_does_not_lose_the_refreshed_token(member, value, caplog):
    """The server has rotated the refresh token, and the old one may not be accepted any more."""
    old = Token(access_token="a1", refresh_token=REFRESH_TOKEN, id_token="i1", scope="s1")
    async with scripted(http(200, {"access_token": "a2", member: value})) as (_, session):
        new = await device_flow(session).refresh(old)
    assert new == Token(access_token="a2", refresh_token=REFRESH_TOKEN, id_token="i1", scope="s1")
    assert [f"{member}: " in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.asyncio
async def test_scope_as_list_and_token_type_with_space_are_read():
    body = {"access_token": "a", "scope": ["openid", "email"], "token_type": "Bearer "}
    async with scripted_device_flow(http(201, body)) as setup:
        assert await setup.flow.run() == Token(access_token="a", scope="openid email")


@pytest.mark.asyncio
@pytest.mark.parametrize(("name", "body"), [(name, body) for name, bodies in INCOMPLETE.items() for body in bodies])
async def test_response_without_required_member_raises_protocol_error(name, body):
    async with scripted(http(200, body)) as (_, session):
        with pytest.raises(ProtocolError) as caught:
            await ALL_REQUESTS[name][0](session)
    assert caught.value.status == 200


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "make_response",
    [
        lambda: http(200, b"[" + b" " * 10_000_000 + b"]"),
        lambda: http(200, gzip.compress(b"[" + b" " * 10_000_000 + b"]"), Content_Encoding="gzip"),
        lambda: http(200, zlib.compress(b"\0" * 300_000_000), Content_Encoding="deflate"),
    ],
    ids=["10 MB", "10 MB compressed", "decompression bomb"],
)
async def test_body_over_the_size_limit_raises_protocol_error_in_bounded_memory(make_response):
    response = make_response()
    async with scripted(response) as (_, session):
        with pytest.raises(ProtocolError):
            await session.fetch_certs()  # imports that happen on first use are done now
        tracemalloc.start()
        try:
            for call, _ in ALL_REQUESTS.values():
                with pytest.raises(ProtocolError, match="more than 262144 bytes"):
                    await call(session)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    # The server in this process keeps a copy of what it has not sent yet.
    assert peak < 8 * (1 << 20) + 3 * (len(response) if len(response) > 1 << 20 else 0)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("response", "error"),
    [
        (http(401, {"error": "invalid_client"}), InvalidClientError),
        (http(401, {"code": 20003, "message": "Authenticate", "status": 401}), InvalidClientError),
        (http(403, {"code": 20006, "message": "No"}), ApiError),
        (http(404, {"code": 20404, "message": "Not found"}), ApiError),
    ],
)
@pytest.mark.parametrize("name", ALL_REQUESTS)
async def test_401_403_and_404_are_not_retried_and_keep_their_status(name, response, error):
    async with scripted(response) as (server, session):
        with pytest.raises(error) as caught:
            await ALL_REQUESTS[name][0](session)
        assert len(server.requests) == 1
    assert caught.value.status in {401, 403, 404}


@pytest.mark.asyncio
@pytest.mark.parametrize("expires_in", [0, -1, "0"])
async def test_device_code_expired_on_receipt_is_never_polled(expires_in):
    async with scripted_device_flow(TOKEN, code={**CODE_BODY, "expires_in": expires_in}) as setup:
        with pytest.raises(TwilioOAuthError, match="expired"):
            await setup.flow.run()
        assert setup.times == []


@pytest.mark.asyncio
@pytest.mark.parametrize(("expires_in", "lifetime"), [(None, 900), ("soon", 900), (True, 900), (10**15, 86_400)])
async def test_invalid_or_missing_code_lifetime_uses_a_default(expires_in, lifetime):
    async with scripted_device_flow(TOKEN, code={**CODE_BODY, "expires_in": expires_in}) as setup:
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
async def test_date_in_each_format_is_the_same_instant(date):
    async with scripted_device_flow(http(201, {"access_token": "a", "access_token_expires_at": date})) as setup:
        start = setup.clock.now()
        token = await setup.flow.run()
    assert (token.access_token_expires_at - start).total_seconds() == 3600
    assert token.access_token_expires_at.utcoffset().total_seconds() == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("date", ["garbage", "20260-01-01T00:00:00Z", 5, [], "9" * 100_000])
async def test_unreadable_date_is_logged_and_the_token_is_returned(date, caplog):
    async with scripted_device_flow(http(201, {"access_token": "a", "access_token_expires_at": date})) as setup:
        assert await setup.flow.run() == Token(access_token="a")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.asyncio
@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\x00b"])
async def test_access_token_with_control_characters_raises_protocol_error(value):
    async with scripted(http(201, {"access_token": value})) as (_, session):
        with pytest.raises(ProtocolError, match=r"^access_token: "):
            await ALL_REQUESTS["refresh"][0](session)


@pytest.mark.asyncio
@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\x00b"])
@pytest.mark.parametrize("member", ["refresh_token", "id_token"])
async def test_other_token_with_control_characters_is_never_used(member, value):
    async with scripted(http(201, {"access_token": "a", member: value})) as (_, session):
        assert await ALL_REQUESTS["refresh"][0](session) == Token(access_token="a")


@pytest.mark.asyncio
async def test_reading_a_large_body_does_not_block_the_event_loop():
    """While the largest allowed body is read, other tasks run."""
    turns = 0

    async def count_turns():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with scripted_device_flow(http(200, b" " * (1 << 20)), PENDING, TOKEN) as setup:
        ticker = asyncio.create_task(count_turns())
        events = [event async for event in setup.flow.events()]
        ticker.cancel()
    assert type(events[1]) is Unreachable
    assert turns > 20


@pytest.mark.asyncio
async def test_narrowed_scope_is_returned_in_the_token():
    narrowed = http(201, {"access_token": "a", "scope": "openid"})
    async with scripted_device_flow(narrowed, scopes=["openid", "email"]) as setup:
        assert (await setup.flow.run()).scope == "openid"
