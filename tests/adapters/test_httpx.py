"""Behaviour of the httpx adapter only; the shared rules are in test_origin_rules and test_unauthorized_rules."""

import io
import subprocess
import sys
import tracemalloc
import zlib
from unittest import mock

import httpx
import httpx2
import pytest

from tests.helpers.http_clients import TLS, signed_in
from tests.helpers.resource_server import INVALID_TOKEN, UNAUTHORIZED_BODY, ResourceServer, ok, redirect, unauthorized
from twilio_oauth_async import ConfigurationError
from twilio_oauth_async.adapters.httpx import BearerAuth
from twilio_oauth_async.adapters.httpx_body import PeekedStream, decode
from twilio_oauth_async.adapters.httpx_versions import AsyncByteStream

FIRST, SECOND = "Bearer acc-canary-1", "Bearer acc-canary-2"
both_packages = pytest.mark.parametrize("package", [httpx2, httpx], ids=["httpx2", "httpx"])


async def auth_for(*servers):
    setup = await signed_in()
    return BearerAuth(setup.manager, origins=[server.base_url for server in servers])


def client(package, auth, **options):
    return package.AsyncClient(auth=auth, **{"trust_env": False, "verify": TLS, **options})


@both_packages
def test_synchronous_client_is_refused_before_anything_is_sent(package):
    auth = BearerAuth(mock.Mock())
    sent = []
    transport = package.MockTransport(lambda request: sent.append(request) or package.Response(200))
    with package.Client(auth=auth, transport=transport) as http:
        with pytest.raises(ConfigurationError, match="AsyncClient"):
            http.get("https://api.twilio.com")
    assert sent == []


@both_packages
@pytest.mark.asyncio
async def test_one_instance_works_with_both_packages(package):
    async with ResourceServer(ok()) as server:
        auth = await auth_for(server)
        assert isinstance(auth, httpx.Auth)
        assert isinstance(auth, httpx2.Auth)
        async with client(package, None) as http:
            assert (await http.get(server.base_url, auth=auth)).status_code == 200
    assert server.tokens == [[FIRST]]


@both_packages
@pytest.mark.asyncio
async def test_mock_transport_receives_the_token_and_the_repeated_request(package):
    """With ``MockTransport``, the usual way to test a program that uses httpx."""
    sent = []

    def handle(request):
        sent.append(request)
        return package.Response(401, json=UNAUTHORIZED_BODY) if len(sent) == 1 else package.Response(200)

    setup = await signed_in()
    async with package.AsyncClient(auth=BearerAuth(setup.manager), transport=package.MockTransport(handle)) as http:
        response = await http.get("https://api.twilio.com/2010-04-01/Accounts.json")
    assert response.status_code == 200
    assert response.request.headers["Authorization"] == SECOND
    assert [earlier.status_code for earlier in response.history] == [401]
    assert response.history[0].json() == UNAUTHORIZED_BODY
    assert "canary" not in repr(sent[0].extensions) + repr(sent[0].headers)


@both_packages
@pytest.mark.asyncio
async def test_request_object_sent_again_gets_the_current_token(package):
    async with ResourceServer(ok()) as server:
        setup = await signed_in()
        auth = BearerAuth(setup.manager, origins=[server.base_url])
        async with client(package, auth) as http:
            request = http.build_request("GET", server.base_url)
            await http.send(request)
            setup.manager.invalidate("acc-canary-1")
            await http.send(request)
            # A header that the caller has changed is kept.
            request.headers["Authorization"] = "mine"
            await http.send(request)
    assert server.tokens == [[FIRST], [SECOND], ["mine"]]


@both_packages
@pytest.mark.asyncio
async def test_redirect_followed_by_the_caller_to_another_origin_goes_without_the_token(package):
    async with ResourceServer() as other, ResourceServer() as server:
        server.handlers = [redirect("/next"), redirect(other.base_url)]
        other.handlers = [ok()]
        async with client(package, await auth_for(server, other)) as http:
            response = await http.get(server.base_url)
            response = await http.send(response.next_request)
            response = await http.send(response.next_request)
            assert response.status_code == 200
    assert (server.tokens, other.tokens) == ([[FIRST], [FIRST]], [[]])


@both_packages
@pytest.mark.asyncio
async def test_401_after_redirect_repeats_only_the_redirected_request(package):
    """The server has processed the POST, so a 401 for the GET after it must not repeat the POST."""
    async with ResourceServer(redirect("/created", 303), unauthorized(), ok()) as server:
        async with client(package, await auth_for(server), follow_redirects=True) as http:
            response = await http.post(server.base_url, json={"To": "+1"})
            assert response.status_code == 200
    assert [(received.method, received.path) for received in server.received] == [
        ("POST", "/"),
        ("GET", "/created"),
        ("GET", "/created"),
    ]
    assert server.tokens == [[FIRST], [FIRST], [SECOND]]


@both_packages
@pytest.mark.asyncio
@pytest.mark.parametrize(
    "body",
    [{"files": {"a": io.BytesIO(b"1")}}, {"files": {"a": ("a.txt", b"1")}, "data": {"b": "2"}}],
    ids=["file", "form"],
)
async def test_files_are_not_sent_again_after_401(package, body):
    async with ResourceServer(unauthorized(), ok()) as server:
        async with client(package, await auth_for(server)) as http:
            response = await http.post(server.base_url, **body)
            assert (response.status_code, response.json()) == (401, UNAUTHORIZED_BODY)
            assert (await http.get(server.base_url)).status_code == 200
    assert server.tokens == [[FIRST], [SECOND]]


@both_packages
@pytest.mark.asyncio
async def test_401_response_can_be_read_raw(package):
    async with ResourceServer(unauthorized(body=b"x" * 300, gzip=True)) as server:
        async with client(package, await auth_for(server)) as http:
            async with http.stream("GET", server.base_url) as response:
                raw = b"".join([part async for part in response.aiter_raw()])
                assert response.num_bytes_downloaded == len(raw)
            assert response.elapsed.total_seconds() > 0
    assert zlib.decompress(raw, 31) == b"x" * 300


@both_packages
@pytest.mark.asyncio
async def test_body_of_the_first_401_is_not_read_beyond_the_limit(package):
    """httpx reads a response to its end before the next request, so a long body is discarded first."""
    async with ResourceServer(unauthorized(INVALID_TOKEN, body=b"x" * 400_000, gzip=True), ok()) as server:
        server.handlers[0] = unauthorized(INVALID_TOKEN, body=b"x" * 400_000)
        async with client(package, await auth_for(server)) as http:
            response = await http.get(server.base_url)
            assert response.status_code == 200
            assert response.history[0].content == b""


class Chunks(AsyncByteStream):
    """A stream whose iterator is not a generator, as a transport that is not part of httpx may have."""

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


async def read_all(stream):
    return b"".join([chunk async for chunk in stream])


@pytest.mark.asyncio
async def test_peeked_stream_yields_the_whole_body():
    short, long = Chunks(b"12", b"34"), Chunks(b"12", b"345", b"6")
    peeked = PeekedStream(short)
    assert await peeked.peek(4, 1.0) == b"1234"
    assert short.is_closed
    assert await read_all(peeked) == b"1234"
    peeked = PeekedStream(long)
    assert await peeked.peek(4, 1.0) is None
    assert long.chunks == [b"6"]
    assert await read_all(peeked) == b"123456"
    await peeked.aclose()
    assert long.is_closed


@pytest.mark.asyncio
async def test_discard_rest_keeps_a_complete_body_and_drops_an_incomplete_one():
    short, long = PeekedStream(Chunks(b"12")), PeekedStream(Chunks(b"12345"))
    for peeked in (short, long):
        await peeked.peek(4, 1.0)
        await peeked.discard_rest()
    assert [await read_all(peeked) for peeked in (short, long)] == [b"12", b""]


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
def test_decode_returns_none_beyond_the_limit_or_for_unknown_encodings(body, encoding, plain):
    assert decode(body, encoding, 4) == plain


def test_decode_of_decompression_bomb_takes_little_memory():
    bomb = zlib.compress(bytes(20_000_000))
    tracemalloc.start()
    try:
        assert decode(bomb, "deflate", 1000) is None
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def run(code):
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("installed", ["httpx", "httpx2"])
def test_one_of_the_two_packages_is_enough(installed):
    missing = {"httpx": "httpx2", "httpx2": "httpx"}[installed]
    result = run(
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"import {installed}\n"
        "from twilio_oauth_async.adapters.httpx import BearerAuth\n"
        "from unittest import mock\n"
        f"{installed}.AsyncClient(auth=BearerAuth(mock.Mock()), verify=False)\n"
        "print(BearerAuth.__mro__)"
    )
    assert f"'{missing}.Auth'" not in result.stdout
    assert f"'{installed}.Auth'" in result.stdout


def test_missing_httpx_and_httpx2_raise_an_error_that_names_the_extra():
    result = run(
        "import sys; sys.modules['httpx'] = sys.modules['httpx2'] = None; import twilio_oauth_async.adapters.httpx"
    )
    assert "pip install 'twilio-oauth-async[httpx]'" in result.stderr.splitlines()[-1]


def test_alias_httpx_makes_one_package_under_both_names():
    result = run(
        "import httpx2; httpx2.alias_httpx(); from twilio_oauth_async.adapters.httpx import BearerAuth\n"
        "from unittest import mock; import httpx\n"
        "print(isinstance(BearerAuth(mock.Mock()), httpx.Auth), httpx is httpx2)"
    )
    assert (result.stdout, result.stderr) == ("True True\n", "")


def test_import_error_inside_httpx_is_not_reported_as_missing_package(tmp_path):
    (tmp_path / "httpx2.py").write_text("import no_such_thing")
    result = run(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import twilio_oauth_async.adapters.httpx")
    assert "No module named 'no_such_thing'" in result.stderr.splitlines()[-1]


@both_packages
@pytest.mark.asyncio
async def test_netrc_entry_does_not_replace_the_token(package, tmp_path, monkeypatch):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password netrc-canary\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with ResourceServer(ok()) as server, client(package, await auth_for(server), trust_env=True) as http:
        await http.get(server.base_url)
    assert server.tokens == [[FIRST]]


@both_packages
@pytest.mark.asyncio
async def test_response_hook_that_ignores_401_leaves_it_to_the_auth(package):
    async def raise_unless_401(response):
        if response.status_code != 401:
            response.raise_for_status()

    async with ResourceServer(unauthorized(), ok()) as server:
        async with client(package, await auth_for(server), event_hooks={"response": [raise_unless_401]}) as http:
            assert (await http.get(server.base_url)).status_code == 200
