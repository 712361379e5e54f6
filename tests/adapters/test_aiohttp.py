"""Behaviour of the aiohttp adapter only; the shared rules are in test_origin_rules and test_unauthorized_rules."""

import asyncio
import contextlib
import gc

import aiohttp
import pytest

from tests.helpers.http_clients import signed_in
from tests.helpers.resource_server import INVALID_TOKEN, UNAUTHORIZED_BODY, ResourceServer, ok, redirect, unauthorized
from twilio_oauth_async import OAuthSession, VirtualClock
from twilio_oauth_async.adapters.aiohttp import BearerAuth
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.grants.client_credentials import ClientCredentials
from twilio_oauth_async.tokens.manager import TokenManager

pytestmark = pytest.mark.asyncio
FIRST, SECOND = "Bearer acc-canary-1", "Bearer acc-canary-2"


@contextlib.asynccontextmanager
async def session(server, *, outer=(), inner=(), **options):
    """A session that sends the token of its `manager` to `server`; middlewares outside and inside of `BearerAuth`."""
    setup = await signed_in()
    auth = BearerAuth(setup.manager, origins=[server.base_url])
    async with aiohttp.ClientSession(server.base_url, middlewares=(*outer, auth, *inner), **options) as http:
        yield http, setup


async def test_redirect_with_invalid_location_raises_the_error_of_aiohttp():
    async with ResourceServer(redirect("http://[")) as server, session(server) as (http, _):
        with pytest.raises(aiohttp.InvalidUrlRedirectClientError):
            await http.get("/")
        async with http.get("/", allow_redirects=False) as response:
            assert response.status == 302


async def test_request_after_a_redirect_that_was_not_followed_has_the_token():
    async with ResourceServer(ok()) as other, ResourceServer(redirect(other.base_url)) as server:
        setup = await signed_in()
        auth = BearerAuth(setup.manager, origins=[server.base_url, other.base_url])
        async with aiohttp.ClientSession(middlewares=(auth,)) as http:
            for timeout in (None, aiohttp.ClientTimeout(total=5)):
                async with http.get(server.base_url, allow_redirects=False, timeout=timeout) as response:
                    assert response.status == 302
                async with http.get(other.base_url, timeout=timeout) as response:
                    assert response.status == 200
                async with http.get(server.base_url, timeout=timeout) as response:  # this one is followed
                    assert response.status == 200
    assert server.tokens == [[FIRST]] * 4
    assert other.tokens == [[FIRST], []] * 2


async def test_failed_request_after_redirect_does_not_affect_the_next_request():
    async with ResourceServer() as other, ResourceServer() as server:
        other.handlers = [ok()]
        server.handlers = [redirect(other.base_url), ok()]
        setup = await signed_in()
        auth = BearerAuth(setup.manager, origins=[server.base_url, other.base_url])
        async with aiohttp.ClientSession(middlewares=(auth,)) as http:
            with pytest.raises(aiohttp.TooManyRedirects):
                await http.get(server.base_url, max_redirects=1)
            with pytest.raises(aiohttp.ClientConnectorError):
                await http.get(server.base_url, proxy="http://127.0.0.1:1")
            async with http.get(other.base_url):
                pass
    assert other.tokens == [[FIRST]]


async def test_request_info_and_response_error_do_not_contain_the_token():
    async with ResourceServer(unauthorized(INVALID_TOKEN)) as server, session(server) as (http, _):
        async with http.get("/") as response:
            with pytest.raises(aiohttp.ClientResponseError) as caught:
                response.raise_for_status()
            assert "canary" not in f"{response.request_info!r} {caught.value!r} {caught.value.request_info!r}"


async def test_user_and_password_in_the_url_replace_the_token():
    async with ResourceServer(unauthorized(INVALID_TOKEN)) as server, session(server) as (http, _):
        async with http.get(f"http://x:y@127.0.0.1:{server.port}/") as response:
            assert response.status == 401
    assert server.tokens == [["Basic eDp5"]]


def multipart():
    form = aiohttp.FormData()
    form.add_field("file", b"1234", filename="a.txt")
    return form


@pytest.mark.parametrize(
    "body",
    [
        {"data": multipart},
        {"data": lambda: b"compressed" * 100, "compress": "gzip"},
        {"data": lambda: b"body", "expect100": True},
    ],
    ids=["multipart", "compressed", "expect 100"],
)
async def test_repeatable_body_is_sent_again_after_401(body):
    body = {**body, "data": body["data"]()}
    async with ResourceServer(unauthorized(), ok()) as server, session(server) as (http, _):
        async with http.post("/", **body) as response:
            assert response.status == 200
    first, second = server.received
    assert first.body == second.body != b""


async def test_file_body_is_sent_again_from_its_start_position(tmp_path):
    (tmp_path / "body").write_bytes(b"0123456789")
    async with ResourceServer(unauthorized(), ok()) as server, session(server) as (http, _):
        with (tmp_path / "body").open("rb") as file:
            file.seek(3)
            async with http.post("/", data=file) as response:
                assert response.status == 200
    assert [received.body for received in server.received] == [b"3456789", b"3456789"]


async def respond_before_reading(request):
    """A 401 before the body was read."""
    response = aiohttp.web.json_response(UNAUTHORIZED_BODY, status=401)
    response.force_close()
    return response


async def test_file_body_is_sent_again_after_401_before_it_was_read(tmp_path):
    (tmp_path / "body").write_bytes(bytes(4_000_000))
    sizes = []

    async def read_body(request):
        sizes.append(len(await request.read()))
        return aiohttp.web.Response()

    async with (
        ResourceServer(respond_before_reading, read_body, read_body=False) as server,
        session(server) as (http, _),
    ):
        with (tmp_path / "body").open("rb") as file:
            async with http.post("/", data=file) as response:
                assert response.status == 200
    assert sizes == [4_000_000]


async def test_first_attempt_stops_writing_the_body_before_the_second_starts():
    steps = []

    class Slow(aiohttp.BytesPayload):
        async def write_with_length(self, writer, content_length):
            steps.append("starts")
            await writer.write(b"1")
            while len(steps) == 1:
                try:
                    await asyncio.Event().wait()
                finally:
                    closing = asyncio.create_task(asyncio.sleep(0.05))
                    while not closing.done():
                        with contextlib.suppress(asyncio.CancelledError):  # aiohttp cancels more than once
                            await asyncio.shield(closing)
                    steps.append("ends")
            await writer.write(b"234")

    async with ResourceServer(respond_before_reading, ok(), read_body=False) as server, session(server) as (http, _):
        async with asyncio.timeout(5), http.post("/", data=Slow(b"1234")) as response:
            assert response.status == 200
    assert steps == ["starts", "ends", "starts"]


async def test_websocket_handshake_has_the_token_and_is_repeated_after_401():
    async def open_websocket(request):
        websocket = aiohttp.web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.close()
        return websocket

    async with ResourceServer(unauthorized(), open_websocket) as server:
        setup = await signed_in()
        url = server.base_url.replace("http", "ws")
        async with aiohttp.ClientSession(middlewares=(BearerAuth(setup.manager, origins=[url]),)) as http:
            async with http.ws_connect(url) as websocket:
                assert (await websocket.receive()).type is aiohttp.WSMsgType.CLOSE
    assert server.tokens == [[FIRST], [SECOND]]


async def test_refresh_over_the_same_session_with_one_connection_does_not_deadlock():
    clock, connector = VirtualClock(auto=False), aiohttp.TCPConnector(limit=1)
    async with Emulator(clock=clock) as emulator, aiohttp.ClientSession(connector=connector) as http:
        async with OAuthSession(base_url=emulator.base_url, http=http, clock=clock) as oauth:
            manager = TokenManager(
                ClientCredentials(oauth, client_id=emulator.client_sid, client_secret=emulator.client_secret)
            )
            await manager.token()
            clock.advance(10)
            async with ResourceServer(unauthorized(), ok()) as server, asyncio.timeout(5):
                auth = BearerAuth(manager, origins=[server.base_url])
                async with http.get(server.base_url, middlewares=(auth,)) as response:
                    assert response.status == 200
    first, second = server.tokens
    assert first != second


async def test_outer_middleware_can_retry_and_inner_middleware_sees_the_token():
    seen = []

    async def retry_on_503(request, handler):
        response = await handler(request)
        if response.status == 503:
            response.release()
            setup.manager.invalidate("acc-canary-1")
            response = await handler(request)
        return response

    async def record(request, handler):
        seen.append(request.headers.getall("Authorization"))
        return await handler(request)

    async def unavailable(request):
        return aiohttp.web.Response(status=503)

    async with ResourceServer(unavailable, ok()) as server:
        async with session(server, outer=[retry_on_503], inner=[record]) as (http, setup):
            async with http.get("/") as response:
                assert response.status == 200
    # The header of the first attempt is not taken for the caller's own header in the second.
    assert server.tokens == seen == [[FIRST], [SECOND]]


async def test_two_bearer_auths_for_two_origins_in_one_session():
    async with ResourceServer(ok()) as one, ResourceServer(redirect(one.base_url)) as two:
        first, second = await signed_in(), await signed_in({})
        await second.manager.login()
        auths = [
            BearerAuth(first.manager, origins=[one.base_url], foreign="skip"),
            BearerAuth(second.manager, origins=[two.base_url], foreign="skip"),
        ]
        async with aiohttp.ClientSession(middlewares=auths) as http:
            async with http.get(one.base_url), http.get(two.base_url) as response:
                assert response.status == 200
    assert (one.tokens, two.tokens) == ([[FIRST], []], [[SECOND]])


async def test_total_time_out_while_the_401_body_is_read():
    async def slow(request):
        response = aiohttp.web.StreamResponse(status=401)
        await response.prepare(request)
        await response.write(b"{")
        await asyncio.sleep(0.2)
        return response

    async with ResourceServer(slow) as server, session(server) as (http, _):
        with pytest.raises(TimeoutError):
            await http.get("/", timeout=aiohttp.ClientTimeout(total=0.05))


async def test_no_response_is_left_open():
    asyncio.get_running_loop().set_debug(True)  # aiohttp then warns of each response that was not released
    async with ResourceServer(unauthorized(), ok(), unauthorized(), ok()) as server, session(server) as (http, setup):
        for _ in range(2):
            async with http.get("/") as response:
                assert response.status == 200
            setup.clock.advance(10)
        gc.collect()


@pytest.mark.parametrize("trust_env", [True, False])
async def test_netrc_entry_does_not_replace_the_token(trust_env, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password netrc-canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with ResourceServer(ok()) as server:
        setup = await signed_in()
        auth = BearerAuth(setup.manager, origins=[server.base_url])
        async with aiohttp.ClientSession(middlewares=(auth,), trust_env=trust_env) as http:
            async with http.get(server.base_url):
                pass
            async with http.get(server.base_url.replace("//", "//caller:own@")):
                pass
    assert server.tokens == [[FIRST], [aiohttp.encode_basic_auth("caller", "own")]]


async def test_aiohttp_has_one_timer_for_all_hops_of_a_call():
    """`_call_of` reads it: it has no public name, and without it each request after a redirect counts as a hop."""
    timers = []

    async def record(request, handler):
        timers.append(request._timer)
        return await handler(request)

    async with ResourceServer(redirect("/next"), ok(), ok()) as server:
        async with aiohttp.ClientSession(middlewares=(record,)) as http:
            for _ in range(2):
                async with http.get(server.base_url):
                    pass
    assert timers[0] is timers[1]
    assert timers[2] is not timers[1]
