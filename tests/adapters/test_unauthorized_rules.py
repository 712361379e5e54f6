"""Rule 21 (docs/reliability.md), for each client: a rejected token is refreshed once, the request sent once more."""

import asyncio
import contextlib
import json

import pytest
from aiohttp import web

from tests.helpers.http_clients import client_for, stream_once
from tests.helpers.resource_server import INVALID_TOKEN, UNAUTHORIZED_BODY, ResourceServer, ok, unauthorized
from twilio_oauth_async import TransportError
from twilio_oauth_async.adapters import unauthorized as unauthorized_response

pytestmark = pytest.mark.asyncio
FIRST, SECOND = "Bearer acc-canary-1", "Bearer acc-canary-2"
BIG = b"x" * 400_000


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(unauthorized(), id="20003"),
        pytest.param(unauthorized(INVALID_TOKEN, body=b""), id="challenge"),
        pytest.param(unauthorized('Basic realm="x"', INVALID_TOKEN, body=b""), id="second challenge"),
        pytest.param(unauthorized(chunked=True), id="chunked"),
        pytest.param(unauthorized(gzip=True), id="gzip"),
        pytest.param(unauthorized(INVALID_TOKEN, body=BIG), id="long"),
        pytest.param(unauthorized(INVALID_TOKEN, body=BIG, gzip=True), id="long when decoded"),
    ],
)
async def test_rejected_token_is_refreshed_and_the_request_sent_once_more(kind, handler):
    async with ResourceServer(handler, ok()) as server, client_for(kind, server, connections=1) as client:
        # If the first response kept the only connection, the second request would wait forever.
        async with asyncio.timeout(5):
            assert (await client.send("GET", server.base_url)).body == b'{"ok": true}'
        assert client.setup.grant.refreshed == ["ref-canary-1"]
    assert server.tokens == [[FIRST], [SECOND]]


def stalled(*challenges, start=b""):
    """A handler for a 401 whose body does not arrive before `released` is set."""
    released = asyncio.Event()

    async def respond(request):
        response = web.StreamResponse(status=401)
        for challenge in challenges:
            response.headers.add("WWW-Authenticate", challenge)
        response.content_length = len(start) + 2
        await response.prepare(request)
        await response.write(start)
        await released.wait()
        with contextlib.suppress(ConnectionError):
            await response.write(b"{}")
        return response

    return respond, released


async def test_58_stalled_body_of_a_401_that_the_headers_explain_is_not_waited_for(kind, monkeypatch):
    monkeypatch.setattr(unauthorized_response, "BODY_TIMEOUT", 60)
    handler, released = stalled(INVALID_TOKEN)
    async with ResourceServer(handler, ok()) as server, client_for(kind, server) as client:
        async with asyncio.timeout(5):
            assert (await client.send("GET", server.base_url)).status == 200
        released.set()
    assert server.tokens == [[FIRST], [SECOND]]


@pytest.mark.parametrize("start", [b"", b"{"], ids=["nothing", "start"])
async def test_58_stalled_body_of_a_401_is_waited_for_a_limited_time_and_can_still_be_read(kind, start, monkeypatch):
    monkeypatch.setattr(unauthorized_response, "BODY_TIMEOUT", 0.05)
    handler, released = stalled(start=start)
    async with ResourceServer(handler) as server, client_for(kind, server) as client, asyncio.timeout(5):
        async with client.stream("GET", server.base_url) as (status, parts):
            assert status == 401
            released.set()
            assert b"".join([part async for part in parts]) == start + b"{}"
        assert client.setup.grant.refreshed == []


async def test_58_response_whose_body_stalls_can_be_closed(kind, monkeypatch):
    monkeypatch.setattr(unauthorized_response, "BODY_TIMEOUT", 0.05)
    handler, released = stalled()
    async with ResourceServer(handler) as server, client_for(kind, server) as client, asyncio.timeout(5):
        async with client.stream("GET", server.base_url) as (status, _):
            assert status == 401
        released.set()


async def test_58_cancelled_while_the_body_stalls(kind, monkeypatch):
    monkeypatch.setattr(unauthorized_response, "BODY_TIMEOUT", 60)
    handler, released = stalled()
    async with ResourceServer(handler, ok()) as server, client_for(kind, server, connections=1) as client:
        sending = asyncio.create_task(client.send("GET", server.base_url))
        while not server.received:
            await asyncio.sleep(0)
        for _ in range(200):  # until the headers have arrived
            await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        released.set()
        async with asyncio.timeout(5):  # the connection is free again
            assert (await client.send("GET", server.base_url)).status == 200


async def test_second_401_is_returned_after_two_requests(kind):
    second = {"code": 20003, "message": "second"}
    async with ResourceServer(unauthorized(), unauthorized(body=second)) as server, client_for(kind, server) as client:
        response = await client.send("GET", server.base_url)
        assert (response.status, json.loads(response.body)) == (401, second)
    assert server.tokens == [[FIRST], [SECOND]]


async def test_401_right_after_a_refresh_does_not_refresh_again(kind):
    """The manager does not refresh twice in a short time: another new token would not help."""
    async with ResourceServer(unauthorized()) as server, client_for(kind, server) as client:
        await client.send("GET", server.base_url)
        response = await client.send("GET", server.base_url)
        assert (response.status, json.loads(response.body)) == (401, UNAUTHORIZED_BODY)
        assert len(client.setup.grant.refreshed) == 1
    assert server.tokens == [[FIRST], [SECOND], [SECOND]]


@pytest.mark.parametrize("status", [400, 403, 407, 500])
async def test_other_status_than_401_does_not_refresh(kind, status):
    """RFC 6750 3.1: after a 403, another token with the same scope would not help."""
    async with ResourceServer(unauthorized(INVALID_TOKEN, status=status)) as server, client_for(kind, server) as client:
        assert (await client.send("GET", server.base_url)).status == status
        assert client.setup.grant.refreshed == []
    assert server.tokens == [[FIRST]]


@pytest.mark.parametrize("streamed", [False, True], ids=["read", "streamed"])
@pytest.mark.parametrize(
    ("handler", "body"),
    [
        pytest.param(unauthorized('Bearer error="insufficient_scope"', body=b"{}"), b"{}", id="other challenge"),
        pytest.param(unauthorized('Basic realm="x"', body=b"not JSON"), b"not JSON", id="not JSON"),
        pytest.param(unauthorized(body=b""), b"", id="empty"),
        pytest.param(unauthorized(body=BIG), BIG, id="long"),
        pytest.param(unauthorized(body=BIG, chunked=True), BIG, id="long and chunked"),
        pytest.param(unauthorized(body=BIG, gzip=True), BIG, id="long when decoded"),
        pytest.param(unauthorized(body=b'{"code": 20004}', chunked=True), b'{"code": 20004}', id="other code"),
        pytest.param(unauthorized(body=b'{"code": 20004}', gzip=True), b'{"code": 20004}', id="other code, gzip"),
    ],
)
async def test_401_for_another_reason_is_returned_unchanged(kind, handler, body, streamed):
    async with ResourceServer(handler) as server, client_for(kind, server) as client:
        if streamed:
            async with client.stream("GET", server.base_url) as (status, parts):
                received = b"".join([part async for part in parts])
        else:
            complete = await client.send("GET", server.base_url)
            status, received = complete.status, complete.body
        assert (status, received) == (401, body)
        assert client.setup.grant.refreshed == []
    assert server.tokens == [[FIRST]]


async def test_endless_401_body_is_read_up_to_the_limit_only(kind):
    """Only the start of the body is read; the caller can read on or close the response."""
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

    received = 0
    async with ResourceServer(endless) as server, client_for(kind, server) as client:
        async with client.stream("GET", server.base_url) as (status, parts):
            assert status == 401
            async for part in parts:
                received += len(part)
                if received > 100_000:
                    break
            await parts.aclose() if hasattr(parts, "aclose") else None
    # As much as the buffers of two sockets and a stream hold.
    assert sent < 30_000_000


async def test_incomplete_401_body_is_returned_and_fails_when_read(kind):
    async def abort(request):
        response = web.StreamResponse(status=401)
        response.content_length = 100
        await response.prepare(request)
        await response.write(b'{"code": 20003')
        request.transport.abort()
        return response

    async with ResourceServer(abort) as server, client_for(kind, server) as client:
        async with client.stream("GET", server.base_url) as (status, parts):
            assert status == 401
            with pytest.raises((client.incomplete_response_error, OSError)):
                [part async for part in parts]
        assert client.setup.grant.refreshed == []


@pytest.mark.parametrize(
    "body",
    [{"content": b"bytes"}, {"content": "text"}, {"form": {"To": "+1", "From": "+2"}}, {"json": {"a": 1}}, {}],
    ids=str,
)
async def test_repeatable_body_is_sent_again(kind, body):
    async with ResourceServer(unauthorized(), ok()) as server, client_for(kind, server) as client:
        assert (await client.send("POST", server.base_url, **body)).status == 200
    first, second = server.received
    assert first.body == second.body
    assert bool(first.body) == bool(body)


async def test_stream_is_not_sent_again_but_the_next_request_has_a_new_token(kind):
    async with ResourceServer(unauthorized(), ok()) as server, client_for(kind, server) as client:
        response = await client.send("POST", server.base_url, content=stream_once(b"once"))
        assert (response.status, json.loads(response.body)) == (401, UNAUTHORIZED_BODY)
        assert client.setup.grant.refreshed == []
        assert (await client.send("GET", server.base_url)).status == 200
    assert [received.body for received in server.received] == [b"once", b""]
    assert server.tokens == [[FIRST], [SECOND]]


async def test_many_concurrent_401_responses_cause_one_refresh(kind):
    async with ResourceServer(accepted="acc-canary-2") as server, client_for(kind, server) as client:
        server.gate = asyncio.Event()
        calls = [asyncio.create_task(client.send("GET", server.base_url)) for _ in range(20)]
        while len(server.received) < 20:
            await asyncio.sleep(0.001)
        server.gate.set()
        assert {(await call).status for call in calls} == {200}
        assert client.setup.grant.refreshed == ["ref-canary-1"]
    assert server.tokens == [[FIRST]] * 20 + [[SECOND]] * 20


@pytest.mark.parametrize("body", [UNAUTHORIZED_BODY, BIG], ids=["short", "long"])
async def test_failed_refresh_is_raised_and_the_first_response_closed(kind, body):
    async with ResourceServer(unauthorized(INVALID_TOKEN, body=body)) as server:
        async with client_for(kind, server, script=[TransportError("no")], connections=1) as client:
            with pytest.raises(TransportError, match="no"):
                await client.send("GET", server.base_url)
            # If the first response kept the only connection, this request would wait forever.
            async with asyncio.timeout(5):
                await client.send("GET", server.base_url, headers={"Authorization": "mine"})
    assert server.tokens == [[FIRST], ["mine"]]


@pytest.mark.parametrize("body", [UNAUTHORIZED_BODY, BIG], ids=["short", "long"])
async def test_request_cancelled_during_the_refresh_closes_the_first_response(kind, body):
    async with ResourceServer(unauthorized(INVALID_TOKEN, body=body), ok()) as server:
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


async def test_connection_is_released_before_the_refresh(kind):
    """A refresh over the only connection would otherwise wait for the request that waits for the refresh."""
    async with ResourceServer(unauthorized(), ok(), ok()) as server, client_for(kind, server, connections=1) as client:
        send, refreshes = client.setup.grant.refresh, []

        async def refresh(token):
            refreshes.append(await client.send("GET", server.base_url, headers={"Authorization": "mine"}))
            return await send(token)

        client.setup.grant.refresh = refresh
        async with asyncio.timeout(5):
            assert (await client.send("GET", server.base_url)).status == 200
    assert server.tokens == [[FIRST], ["mine"], [SECOND]]
