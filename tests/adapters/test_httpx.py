"""What is httpx's alone, in both lines; the shared rules are in test_origin_rules and test_refusal_rules."""

import io
import subprocess
import sys
import tracemalloc
import zlib

import httpx
import httpx2
import pytest

from tests.helpers.http_clients import TLS, signed_in
from tests.helpers.resource_server import INVALID_TOKEN, UNAUTHORIZED, ResourceServer, ok, redirect, refusal
from twilio_oauth_async import ConfigurationError
from twilio_oauth_async.adapters.httpx import BearerAuth
from twilio_oauth_async.adapters.httpx_body import PeekedStream, decoded
from twilio_oauth_async.adapters.httpx_versions import AsyncByteStream

FIRST, SECOND = "Bearer acc-canary-1", "Bearer acc-canary-2"
lines = pytest.mark.parametrize("line", [httpx2, httpx], ids=["httpx2", "httpx"])


async def auth_for(*servers):
    setup = await signed_in()
    return BearerAuth(setup.manager, origins=[server.base_url for server in servers])


def client(line, auth, **options):
    return line.AsyncClient(auth=auth, trust_env=False, verify=TLS, **options)


@lines
def test_a_synchronous_client_is_told(line):
    auth = BearerAuth(object())
    sent = []
    transport = line.MockTransport(lambda request: sent.append(request) or line.Response(200))
    with line.Client(auth=auth, transport=transport) as http:
        with pytest.raises(ConfigurationError, match="AsyncClient"):
            http.get("https://api.twilio.com")
    assert sent == []


@lines
@pytest.mark.asyncio
async def test_one_instance_serves_both_lines(line):
    async with ResourceServer(ok()) as server:
        auth = await auth_for(server)
        assert isinstance(auth, httpx.Auth)
        assert isinstance(auth, httpx2.Auth)
        async with client(line, None) as http:
            assert (await http.get(server.base_url, auth=auth)).status_code == 200
    assert server.tokens == [[FIRST]]


@lines
@pytest.mark.asyncio
async def test_a_mock_transport_sees_the_token(line):
    """How programs test themselves: what was sent is looked at afterwards."""
    sent = []

    def handle(request):
        sent.append(request)
        return line.Response(401, json=UNAUTHORIZED) if len(sent) == 1 else line.Response(200)

    setup = await signed_in()
    async with line.AsyncClient(auth=BearerAuth(setup.manager), transport=line.MockTransport(handle)) as http:
        response = await http.get("https://api.twilio.com/2010-04-01/Accounts.json")
    assert response.status_code == 200
    assert response.request.headers["Authorization"] == SECOND
    assert [earlier.status_code for earlier in response.history] == [401]
    assert response.history[0].json() == UNAUTHORIZED
    assert "canary" not in repr(sent[0].extensions) + repr(sent[0].headers)


@lines
@pytest.mark.asyncio
async def test_a_request_that_is_sent_again_gets_the_token_of_its_time(line):
    async with ResourceServer(ok()) as server:
        setup = await signed_in()
        auth = BearerAuth(setup.manager, origins=[server.base_url])
        async with client(line, auth) as http:
            request = http.build_request("GET", server.base_url)
            await http.send(request)
            setup.manager.invalidate("acc-canary-1")
            await http.send(request)
            # Changed by the caller since, it is his.
            request.headers["Authorization"] = "mine"
            await http.send(request)
    assert server.tokens == [[FIRST], [SECOND], ["mine"]]


@lines
@pytest.mark.asyncio
async def test_a_redirect_that_is_followed_by_hand(line):
    async with ResourceServer() as other, ResourceServer() as server:
        server.answers = [redirect("/next"), redirect(other.base_url)]
        other.answers = [ok()]
        async with client(line, await auth_for(server, other)) as http:
            response = await http.get(server.base_url)
            response = await http.send(response.next_request)
            response = await http.send(response.next_request)
            assert response.status_code == 200
    assert (server.tokens, other.tokens) == ([[FIRST], [FIRST]], [[]])


@lines
@pytest.mark.asyncio
async def test_after_a_redirect_it_is_the_refused_request_that_is_sent_again(line):
    """The POST was acted on: it must not be sent a second time because of what became of the GET behind it."""
    async with ResourceServer(redirect("/made", 303), refusal(), ok()) as server:
        async with client(line, await auth_for(server), follow_redirects=True) as http:
            response = await http.post(server.base_url, json={"To": "+1"})
            assert response.status_code == 200
    assert [(received.method, received.path) for received in server.received] == [
        ("POST", "/"),
        ("GET", "/made"),
        ("GET", "/made"),
    ]
    assert server.tokens == [[FIRST], [FIRST], [SECOND]]


@lines
@pytest.mark.asyncio
@pytest.mark.parametrize(
    "body",
    [{"files": {"a": io.BytesIO(b"1")}}, {"files": {"a": ("a.txt", b"1")}, "data": {"b": "2"}}],
    ids=["file", "form"],
)
async def test_files_are_not_sent_again(line, body):
    async with ResourceServer(refusal(), ok()) as server:
        async with client(line, await auth_for(server)) as http:
            response = await http.post(server.base_url, **body)
            assert (response.status_code, response.json()) == (401, UNAUTHORIZED)
            assert (await http.get(server.base_url)).status_code == 200
    assert server.tokens == [[FIRST], [SECOND]]


@lines
@pytest.mark.asyncio
async def test_an_answer_can_be_read_raw(line):
    async with ResourceServer(refusal(body=b"x" * 300, gzip=True)) as server:
        async with client(line, await auth_for(server)) as http:
            async with http.stream("GET", server.base_url) as response:
                raw = b"".join([part async for part in response.aiter_raw()])
                assert response.num_bytes_downloaded == len(raw)
            assert response.elapsed.total_seconds() > 0
    assert zlib.decompress(raw, 31) == b"x" * 300


@lines
@pytest.mark.asyncio
async def test_the_first_answer_is_not_read_beyond_the_cap(line):
    """httpx reads an answer to its end before the next request: of a long one nothing is left to read."""
    async with ResourceServer(refusal(INVALID_TOKEN, body=b"x" * 400_000, gzip=True), ok()) as server:
        server.answers[0] = refusal(INVALID_TOKEN, body=b"x" * 400_000)
        async with client(line, await auth_for(server)) as http:
            response = await http.get(server.base_url)
            assert response.status_code == 200
            assert response.history[0].content == b""


class Chunks(AsyncByteStream):
    """A stream of a transport that is not httpx's: it gives an iterator that is no generator."""

    def __init__(self, *chunks):
        self.chunks = list(chunks)
        self.is_closed = False

    def __aiter__(self):
        return Iteration(self.chunks)

    async def aclose(self):
        self.is_closed = True


class Iteration:
    def __init__(self, chunks):
        self.chunks = chunks

    def __aiter__(self):
        return self

    async def __anext__(self):
        if not self.chunks:
            raise StopAsyncIteration
        return self.chunks.pop(0)


async def left(stream):
    return b"".join([chunk async for chunk in stream])


@pytest.mark.asyncio
async def test_a_stream_is_whole_after_it_was_looked_into():
    short, long = Chunks(b"12", b"34"), Chunks(b"12", b"345", b"6")
    peeked = PeekedStream(short)
    assert await peeked.peek(4) == b"1234"
    assert short.is_closed
    assert await left(peeked) == b"1234"
    peeked = PeekedStream(long)
    assert await peeked.peek(4) is None
    assert long.chunks == [b"6"]
    assert await left(peeked) == b"123456"
    await peeked.aclose()
    assert long.is_closed


@pytest.mark.asyncio
async def test_what_is_left_of_a_stream_that_nobody_wants():
    short, long = PeekedStream(Chunks(b"12")), PeekedStream(Chunks(b"12345"))
    for peeked in (short, long):
        await peeked.peek(4)
        await peeked.drop_the_rest()
    assert [await left(peeked) for peeked in (short, long)] == [b"12", b""]


@pytest.mark.parametrize(
    ("body", "encoding", "plain"),
    [
        (b"1234", "", b"1234"),
        (b"1234", "identity", b"1234"),
        (b"12345", "", None),
        (zlib.compress(b"1234"), "deflate", b"1234"),
        (zlib.compress(b"1234", wbits=31), " GZIP ", b"1234"),
        (zlib.compress(b"1" * 1_000_000, wbits=31), "gzip", None),
        (b"1234", "gzip", None),
        (b"1234", "br", None),
        (b"1234", "gzip, gzip", None),
    ],
)
def test_unpacking_is_capped(body, encoding, plain):
    assert decoded(body, encoding, 4) == plain


def test_a_bomb_takes_no_memory():
    bomb = zlib.compress(bytes(20_000_000))
    tracemalloc.start()
    try:
        assert decoded(bomb, "deflate", 1000) is None
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def run(code):
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("there", ["httpx", "httpx2"])
def test_either_line_is_enough(there):
    missing = {"httpx": "httpx2", "httpx2": "httpx"}[there]
    result = run(
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"import {there}\n"
        "from twilio_oauth_async.adapters.httpx import BearerAuth\n"
        f"{there}.AsyncClient(auth=BearerAuth(object()), verify=False)\n"
        "print(BearerAuth.__mro__)"
    )
    assert f"'{missing}.Auth'" not in result.stdout
    assert f"'{there}.Auth'" in result.stdout


def test_without_either_the_error_names_the_extra():
    result = run(
        "import sys; sys.modules['httpx'] = sys.modules['httpx2'] = None; import twilio_oauth_async.adapters.httpx"
    )
    assert "pip install 'twilio-oauth-async[httpx]'" in result.stderr.splitlines()[-1]


def test_one_line_under_both_names():
    result = run(
        "import httpx2; httpx2.alias_httpx(); from twilio_oauth_async.adapters.httpx import BearerAuth\n"
        "import httpx; print(isinstance(BearerAuth(object()), httpx.Auth), httpx is httpx2)"
    )
    assert (result.stdout, result.stderr) == ("True True\n", "")


def test_a_line_that_is_broken_is_not_taken_for_missing(tmp_path):
    (tmp_path / "httpx2.py").write_text("import no_such_thing")
    result = run(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import twilio_oauth_async.adapters.httpx")
    assert "No module named 'no_such_thing'" in result.stderr.splitlines()[-1]
