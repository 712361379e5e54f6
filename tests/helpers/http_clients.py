"""The HTTP clients that have a `BearerAuth`, with one interface, so that one test checks all of them."""

import contextlib
import ssl

import aiohttp
import attrs
import httpx
import httpx2

from tests.helpers.scripted_manager import ScriptedManager
from twilio_oauth_async.adapters import aiohttp as for_aiohttp
from twilio_oauth_async.adapters import httpx as for_httpx

TLS = ssl.create_default_context()
"""Created once, because httpx would load all certificates for every client."""


@attrs.frozen
class ClientResponse:
    status: int
    body: bytes
    hops: int
    """Number of redirects that were followed."""
    raw: object


async def stream_once(data):
    """A body that cannot be sent again."""
    yield data


class Aiohttp:
    """aiohttp with the middleware."""

    incomplete_response_error = aiohttp.ClientPayloadError
    BearerAuth = for_aiohttp.BearerAuth

    def __init__(self, auth, *, connections=100):
        self._http = aiohttp.ClientSession(middlewares=(auth,), connector=aiohttp.TCPConnector(limit=connections))

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self._http.close()

    @contextlib.asynccontextmanager
    async def stream(self, method, url, *, headers=None, content=None, form=None, json=None):
        data = content if form is None else form
        async with self._http.request(method, url, headers=headers, data=data, json=json) as response:
            yield response.status, response.content.iter_any()

    async def send(self, method, url, *, headers=None, content=None, form=None, json=None):
        data = content if form is None else form
        async with self._http.request(method, url, headers=headers, data=data, json=json) as response:
            return ClientResponse(response.status, await response.read(), len(response.history), response)


class Httpx:
    """httpx or httpx2 with the ``Auth``."""

    BearerAuth = for_httpx.BearerAuth

    def __init__(self, auth, *, package, connections=100):
        self.incomplete_response_error = package.RemoteProtocolError
        limits = package.Limits(max_connections=connections)
        self._http = package.AsyncClient(auth=auth, follow_redirects=True, limits=limits, trust_env=False, verify=TLS)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self._http.aclose()

    @contextlib.asynccontextmanager
    async def stream(self, method, url, *, headers=None, content=None, form=None, json=None):
        async with self._http.stream(method, url, headers=headers, content=content, data=form, json=json) as response:
            yield response.status_code, response.aiter_bytes()

    async def send(self, method, url, *, headers=None, content=None, form=None, json=None):
        response = await self._http.request(method, url, headers=headers, content=content, data=form, json=json)
        hops = sum(earlier.status_code != 401 for earlier in response.history)
        return ClientResponse(response.status_code, response.content, hops, response)


class Httpx1(Httpx):
    """httpx, the predecessor of httpx2."""

    def __init__(self, auth, **options):
        super().__init__(auth, package=httpx, **options)


class Httpx2(Httpx):
    """httpx2, the maintained package."""

    def __init__(self, auth, **options):
        super().__init__(auth, package=httpx2, **options)


CLIENTS = [Aiohttp, Httpx2, Httpx1]


async def signed_in(*script):
    """A manager whose first token is ``acc-canary-1``; `script` has the results of its refreshes."""
    setup = ScriptedManager({}, *script)
    await setup.manager.login()
    return setup


@contextlib.asynccontextmanager
async def client_for(kind, *servers, script=(), foreign="refuse", **options):
    """A client of `kind` that sends the token to `servers`; its manager is in `client.setup`."""
    setup = await signed_in(*script)
    auth = kind.BearerAuth(setup.manager, origins=[server.base_url for server in servers], foreign=foreign)
    async with kind(auth, **options) as client:
        client.setup = setup
        yield client
