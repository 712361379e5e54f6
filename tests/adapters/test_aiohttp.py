"""What is aiohttp's alone; the rules that it shares with the others are in test_origin_rules and test_refusal_rules."""

import asyncio
import contextlib
import gc

import aiohttp
import pytest

from tests.helpers.http_clients import signed_in
from tests.helpers.resource_server import INVALID_TOKEN, UNAUTHORIZED, ResourceServer, ok, redirect, refusal
from twilio_oauth_async import OAuthSession, VirtualClock
from twilio_oauth_async.adapters.aiohttp import BearerAuth
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.grants.client_credentials import ClientCredentials
from twilio_oauth_async.tokens.manager import TokenManager

pytestmark = pytest.mark.asyncio
FIRST, SECOND = "Bearer acc-canary-1", "Bearer acc-canary-2"


@contextlib.asynccontextmanager
async def session(server, *, around=(), inside=(), **options):
    """A session whose requests carry the token of its `manager` to `server`."""
    setup = await signed_in()
    auth = BearerAuth(setup.manager, origins=[server.base_url])
    async with aiohttp.ClientSession(server.base_url, middlewares=(*around, auth, *inside), **options) as http:
        yield http, setup


async def test_a_location_that_is_none_is_aiohttp_s_affair():
    async with ResourceServer(redirect("http://[")) as server, session(server) as (http, _):
        with pytest.raises(aiohttp.InvalidUrlRedirectClientError):
            await http.get("/")
        async with http.get("/", allow_redirects=False) as response:
            assert response.status == 302


async def test_a_redirect_that_is_followed_by_hand_is_one_too():
    async with ResourceServer(ok()) as other, ResourceServer(redirect(other.base_url)) as server:
        async with session(server) as (http, _):
            async with http.get("/", allow_redirects=False) as response:
                target = response.headers["Location"]
            async with http.get(target) as response:
                assert response.status == 200
    assert (server.tokens, other.tokens) == ([[FIRST]], [[]])


async def test_a_request_that_fails_leaves_no_trace_of_a_redirect():
    async with ResourceServer() as other, ResourceServer() as server:
        other.answers = [ok()]
        server.answers = [redirect(other.base_url), ok()]
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


async def test_the_token_is_on_the_request_only_while_it_is_sent():
    async with ResourceServer(refusal(INVALID_TOKEN)) as server, session(server) as (http, _):
        async with http.get("/") as response:
            with pytest.raises(aiohttp.ClientResponseError) as caught:
                response.raise_for_status()
            assert "canary" not in f"{response.request_info!r} {caught.value!r} {caught.value.request_info!r}"


async def test_user_and_password_in_the_url_are_the_caller_s_own():
    async with ResourceServer(refusal(INVALID_TOKEN)) as server, session(server) as (http, _):
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
        {"data": lambda: b"packed" * 100, "compress": "gzip"},
        {"data": lambda: b"patient", "expect100": True},
    ],
    ids=["multipart", "compressed", "expect 100"],
)
async def test_other_bodies_that_can_be_sent_again(body):
    body = {**body, "data": body["data"]()}
    async with ResourceServer(refusal(), ok()) as server, session(server) as (http, _):
        async with http.post("/", **body) as response:
            assert response.status == 200
    first, second = server.received
    assert first.body == second.body != b""


async def test_a_file_is_rewound(tmp_path):
    (tmp_path / "body").write_bytes(b"0123456789")
    async with ResourceServer(refusal(), ok()) as server, session(server) as (http, _):
        with (tmp_path / "body").open("rb") as file:
            file.seek(3)
            async with http.post("/", data=file) as response:
                assert response.status == 200
    assert [received.body for received in server.received] == [b"3456789", b"3456789"]


async def early(request):
    """A 401 before the body was read."""
    response = aiohttp.web.json_response(UNAUTHORIZED, status=401)
    response.force_close()
    return response


async def test_a_file_that_is_refused_before_it_is_sent(tmp_path):
    (tmp_path / "body").write_bytes(bytes(4_000_000))
    sizes = []

    async def patient(request):
        sizes.append(len(await request.read()))
        return aiohttp.web.Response()

    async with ResourceServer(early, patient, reads_first=False) as server, session(server) as (http, _):
        with (tmp_path / "body").open("rb") as file:
            async with http.post("/", data=file) as response:
                assert response.status == 200
    assert sizes == [4_000_000]


async def test_one_attempt_lets_go_of_the_body_before_the_next_one_reads_it():
    steps = []

    class Slow(aiohttp.BytesPayload):
        async def write_with_length(self, writer, content_length):
            steps.append("begins")
            await writer.write(b"1")
            while len(steps) == 1:
                try:
                    await asyncio.Event().wait()
                finally:
                    closing = asyncio.create_task(asyncio.sleep(0.05))
                    while not closing.done():
                        with contextlib.suppress(asyncio.CancelledError):  # of which more than one comes
                            await asyncio.shield(closing)
                    steps.append("ends")
            await writer.write(b"234")

    async with ResourceServer(early, ok(), reads_first=False) as server, session(server) as (http, _):
        async with asyncio.timeout(5), http.post("/", data=Slow(b"1234")) as response:
            assert response.status == 200
    assert steps == ["begins", "ends", "begins"]


async def test_a_websocket_is_opened_with_the_token():
    async def opened(request):
        websocket = aiohttp.web.WebSocketResponse()
        await websocket.prepare(request)
        await websocket.close()
        return websocket

    async with ResourceServer(refusal(), opened) as server:
        setup = await signed_in()
        url = server.base_url.replace("http", "ws")
        async with aiohttp.ClientSession(middlewares=(BearerAuth(setup.manager, origins=[url]),)) as http:
            async with http.ws_connect(url) as websocket:
                assert (await websocket.receive()).type is aiohttp.WSMsgType.CLOSE
    assert server.tokens == [[FIRST], [SECOND]]


async def test_a_lent_session_of_one_connection_serves_the_refresh_too():
    clock, connector = VirtualClock(auto=False), aiohttp.TCPConnector(limit=1)
    async with Emulator(clock=clock) as emulator, aiohttp.ClientSession(connector=connector) as lent:
        async with OAuthSession(base_url=emulator.base_url, http=lent, clock=clock) as oauth:
            manager = TokenManager(
                ClientCredentials(oauth, client_id=emulator.client_sid, client_secret=emulator.client_secret)
            )
            await manager.token()
            clock.advance(10)
            async with ResourceServer(refusal(), ok()) as server, asyncio.timeout(5):
                auth = BearerAuth(manager, origins=[server.base_url])
                async with lent.get(server.base_url, middlewares=(auth,)) as response:
                    assert response.status == 200
    first, second = server.tokens
    assert first != second


async def test_beside_other_middlewares():
    """One around it that tries again by itself, and one inside that sees what is sent."""
    seen = []

    async def again_on_503(request, handler):
        response = await handler(request)
        if response.status == 503:
            response.release()
            setup.manager.invalidate("acc-canary-1")
            response = await handler(request)
        return response

    async def looks(request, handler):
        seen.append(request.headers.getall("Authorization"))
        return await handler(request)

    async def unavailable(request):
        return aiohttp.web.Response(status=503)

    async with ResourceServer(unavailable, ok()) as server:
        async with session(server, around=[again_on_503], inside=[looks]) as (http, setup):
            async with http.get("/") as response:
                assert response.status == 200
    # What the first attempt left on the request is not taken for the caller's own.
    assert server.tokens == seen == [[FIRST], [SECOND]]


async def test_two_of_them_for_two_places():
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


async def test_a_total_time_out_while_the_401_is_read():
    async def slow(request):
        response = aiohttp.web.StreamResponse(status=401)
        await response.prepare(request)
        await response.write(b"{")
        await asyncio.sleep(0.2)
        return response

    async with ResourceServer(slow) as server, session(server) as (http, _):
        with pytest.raises(TimeoutError):
            await http.get("/", timeout=aiohttp.ClientTimeout(total=0.05))


async def test_nothing_is_left_open():
    asyncio.get_running_loop().set_debug(True)  # aiohttp then warns of each answer that was not released
    async with ResourceServer(refusal(), ok(), refusal(), ok()) as server, session(server) as (http, setup):
        for _ in range(2):
            async with http.get("/") as response:
                assert response.status == 200
            setup.clock.advance(10)
        gc.collect()
