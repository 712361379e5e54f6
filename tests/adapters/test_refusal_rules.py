"""Rule 21, for each client: a token that is refused is refreshed, once, and the request is sent once more."""

import asyncio
import contextlib
import json

import pytest
from aiohttp import web

from tests.helpers.http_clients import client_for, once
from tests.helpers.resource_server import INVALID_TOKEN, UNAUTHORIZED, ResourceServer, ok, refusal
from twilio_oauth_async import TransportError

pytestmark = pytest.mark.asyncio
FIRST, SECOND = "Bearer acc-canary-1", "Bearer acc-canary-2"
BIG = b"x" * 400_000


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(refusal(), id="20003"),
        pytest.param(refusal(INVALID_TOKEN, body=b""), id="challenge"),
        pytest.param(refusal('Basic realm="x"', INVALID_TOKEN, body=b""), id="second challenge"),
        pytest.param(refusal(chunked=True), id="chunked"),
        pytest.param(refusal(gzip=True), id="gzip"),
        pytest.param(refusal(INVALID_TOKEN, body=BIG), id="long"),
        pytest.param(refusal(INVALID_TOKEN, body=BIG, gzip=True), id="long when unpacked"),
    ],
)
async def test_a_refused_token_is_refreshed_and_the_request_sent_once_more(kind, answer):
    async with ResourceServer(answer, ok()) as server, client_for(kind, server, connections=1) as client:
        # A first answer that kept its connection would hold up the second request without end.
        async with asyncio.timeout(5):
            assert (await client.send("GET", server.base_url)).body == b'{"ok": true}'
        assert client.setup.grant.refreshed == ["ref-canary-1"]
    assert server.tokens == [[FIRST], [SECOND]]


async def test_endless_401_makes_two_calls_and_the_second_answer_goes_to_the_caller(kind):
    second = {"code": 20003, "message": "second"}
    async with ResourceServer(refusal(), refusal(body=second)) as server, client_for(kind, server) as client:
        answer = await client.send("GET", server.base_url)
        assert (answer.status, json.loads(answer.body)) == (401, second)
    assert server.tokens == [[FIRST], [SECOND]]


async def test_another_refusal_at_once_does_not_refresh_again(kind):
    """The manager's gap: whoever is refused again a moment later is not helped by yet another token."""
    async with ResourceServer(refusal()) as server, client_for(kind, server) as client:
        await client.send("GET", server.base_url)
        answer = await client.send("GET", server.base_url)
        assert (answer.status, json.loads(answer.body)) == (401, UNAUTHORIZED)
        assert len(client.setup.grant.refreshed) == 1
    assert server.tokens == [[FIRST], [SECOND], [SECOND]]


@pytest.mark.parametrize("status", [400, 403, 407, 500])
async def test_only_a_401_is_about_the_token(kind, status):
    """RFC 6750 3.1: a 403 says that another token of the same kind would not help."""
    async with ResourceServer(refusal(INVALID_TOKEN, status=status)) as server, client_for(kind, server) as client:
        assert (await client.send("GET", server.base_url)).status == status
        assert client.setup.grant.refreshed == []
    assert server.tokens == [[FIRST]]


@pytest.mark.parametrize("streamed", [False, True], ids=["read", "streamed"])
@pytest.mark.parametrize(
    ("answer", "body"),
    [
        pytest.param(refusal('Bearer error="insufficient_scope"', body=b"{}"), b"{}", id="other challenge"),
        pytest.param(refusal('Basic realm="x"', body=b"no JSON"), b"no JSON", id="no JSON"),
        pytest.param(refusal(body=b""), b"", id="empty"),
        pytest.param(refusal(body=BIG), BIG, id="long"),
        pytest.param(refusal(body=BIG, chunked=True), BIG, id="long and chunked"),
        pytest.param(refusal(body=BIG, gzip=True), BIG, id="long when unpacked"),
        pytest.param(refusal(body=b'{"code": 20004}', chunked=True), b'{"code": 20004}', id="other code"),
        pytest.param(refusal(body=b'{"code": 20004}', gzip=True), b'{"code": 20004}', id="other code, packed"),
    ],
)
async def test_a_401_for_another_reason_goes_to_the_caller_as_it_came(kind, answer, body, streamed):
    async with ResourceServer(answer) as server, client_for(kind, server) as client:
        if streamed:
            async with client.stream("GET", server.base_url) as (status, parts):
                got = b"".join([part async for part in parts])
        else:
            whole = await client.send("GET", server.base_url)
            status, got = whole.status, whole.body
        assert (status, got) == (401, body)
        assert client.setup.grant.refreshed == []
    assert server.tokens == [[FIRST]]


async def test_what_is_looked_at_is_capped(kind):
    """A 401 that never ends is looked at in its beginning, and is the caller's to read or to drop."""
    sent = 0

    async def endless(request):
        nonlocal sent
        response = web.StreamResponse(status=401)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b" " * 65_536)
                sent += 65_536
        return response

    got = 0
    async with ResourceServer(endless) as server, client_for(kind, server) as client:
        async with client.stream("GET", server.base_url) as (status, parts):
            assert status == 401
            async for part in parts:
                got += len(part)
                if got > 100_000:
                    break
            await parts.aclose() if hasattr(parts, "aclose") else None
    # What the buffers of two sockets and a stream hold, and no more.
    assert sent < 30_000_000


async def test_a_401_that_breaks_off_is_one_all_the_same(kind):
    async def broken(request):
        response = web.StreamResponse(status=401)
        response.content_length = 100
        await response.prepare(request)
        await response.write(b'{"code": 20003')
        request.transport.abort()
        return response

    async with ResourceServer(broken) as server, client_for(kind, server) as client:
        async with client.stream("GET", server.base_url) as (status, parts):
            assert status == 401
            with pytest.raises((client.broken, OSError)):
                [part async for part in parts]
        assert client.setup.grant.refreshed == []


@pytest.mark.parametrize(
    "body",
    [{"content": b"bytes"}, {"content": "text"}, {"form": {"To": "+1", "From": "+2"}}, {"json": {"a": 1}}, {}],
    ids=str,
)
async def test_a_body_that_can_be_sent_again_is(kind, body):
    async with ResourceServer(refusal(), ok()) as server, client_for(kind, server) as client:
        assert (await client.send("POST", server.base_url, **body)).status == 200
    first, second = server.received
    assert first.body == second.body
    assert bool(first.body) == bool(body)


async def test_a_stream_is_not_sent_again_but_the_next_request_has_a_new_token(kind):
    async with ResourceServer(refusal(), ok()) as server, client_for(kind, server) as client:
        answer = await client.send("POST", server.base_url, content=once(b"once"))
        assert (answer.status, json.loads(answer.body)) == (401, UNAUTHORIZED)
        assert client.setup.grant.refreshed == []
        assert (await client.send("GET", server.base_url)).status == 200
    assert [received.body for received in server.received] == [b"once", b""]
    assert server.tokens == [[FIRST], [SECOND]]


async def test_many_requests_that_are_refused_at_once_refresh_once(kind):
    async with ResourceServer(accepted="acc-canary-2") as server, client_for(kind, server) as client:
        server.gate = asyncio.Event()
        calls = [asyncio.create_task(client.send("GET", server.base_url)) for _ in range(20)]
        while len(server.received) < 20:
            await asyncio.sleep(0.001)
        server.gate.set()
        assert {(await call).status for call in calls} == {200}
        assert client.setup.grant.refreshed == ["ref-canary-1"]
    assert server.tokens == [[FIRST]] * 20 + [[SECOND]] * 20


@pytest.mark.parametrize("body", [UNAUTHORIZED, BIG], ids=["short", "long"])
async def test_a_refresh_that_fails_is_told_and_the_first_answer_closed(kind, body):
    async with ResourceServer(refusal(INVALID_TOKEN, body=body)) as server:
        async with client_for(kind, server, script=[TransportError("no")], connections=1) as client:
            with pytest.raises(TransportError, match="no"):
                await client.send("GET", server.base_url)
            # A connection that had been kept would be waited for here without end.
            async with asyncio.timeout(5):
                await client.send("GET", server.base_url, headers={"Authorization": "mine"})
    assert server.tokens == [[FIRST], ["mine"]]


@pytest.mark.parametrize("body", [UNAUTHORIZED, BIG], ids=["short", "long"])
async def test_cancelled_during_the_refresh(kind, body):
    async with ResourceServer(refusal(INVALID_TOKEN, body=body), ok()) as server:
        async with client_for(kind, server, connections=1) as client:
            client.setup.grant.gate = asyncio.Event()
            call = asyncio.create_task(client.send("GET", server.base_url))
            while not client.setup.grant.refreshed:
                await asyncio.sleep(0.001)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            client.setup.grant.gate.set()
            async with asyncio.timeout(5):
                assert (await client.send("GET", server.base_url)).status == 200
    assert server.tokens == [[FIRST], [SECOND]]


async def test_the_connection_is_free_before_the_refresh(kind):
    """With one connection in all, whoever refreshes over it would else wait for the request that waits for him."""
    async with ResourceServer(refusal(), ok(), ok()) as server, client_for(kind, server, connections=1) as client:
        send, refreshes = client.setup.grant.refresh, []

        async def refresh(token):
            refreshes.append(await client.send("GET", server.base_url, headers={"Authorization": "mine"}))
            return await send(token)

        client.setup.grant.refresh = refresh
        async with asyncio.timeout(5):
            assert (await client.send("GET", server.base_url)).status == 200
    assert server.tokens == [[FIRST], ["mine"], [SECOND]]
