"""The HTTP clients that have a `BearerAuth`, behind one face, so that one test holds all of them to the same rules."""

import contextlib
import ssl

import aiohttp
import attrs
import httpx
import httpx2

from tests.helpers.managed import Managed
from twilio_oauth_async.adapters import aiohttp as for_aiohttp
from twilio_oauth_async.adapters import httpx as for_httpx

TLS = ssl.create_default_context()
"""Made once: httpx would load all certificates for every client."""


@attrs.frozen
class Answer:
    status: int
    body: bytes
    hops: int
    """Redirects that were followed."""
    raw: object


async def once(data):
    yield data


class Aiohttp:
    """aiohttp with the middleware."""

    broken = aiohttp.ClientPayloadError
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
            return Answer(response.status, await response.read(), len(response.history), response)


class Httpx:
    """Either line of httpx with the ``Auth``."""

    BearerAuth = for_httpx.BearerAuth

    def __init__(self, auth, *, line, connections=100):
        self.broken = line.RemoteProtocolError
        limits = line.Limits(max_connections=connections)
        self._http = line.AsyncClient(auth=auth, follow_redirects=True, limits=limits, trust_env=False, verify=TLS)

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
        return Answer(response.status_code, response.content, hops, response)


class OlderHttpx(Httpx):
    """The line that the other one came from."""

    def __init__(self, auth, **options):
        super().__init__(auth, line=httpx, **options)


class Httpx2(Httpx):
    """The line that is kept up."""

    def __init__(self, auth, **options):
        super().__init__(auth, line=httpx2, **options)


CLIENTS = [Aiohttp, Httpx2, OlderHttpx]


async def signed_in(*script):
    """A manager whose first token is ``acc-canary-1``, refreshed by `script`."""
    setup = Managed({}, *script)
    await setup.manager.login()
    return setup


@contextlib.asynccontextmanager
async def client_for(kind, *servers, script=(), foreign="refuse", **options):
    """A client of that kind whose requests carry the token to `servers`; the manager is in its `setup`."""
    setup = await signed_in(*script)
    auth = kind.BearerAuth(setup.manager, origins=[server.base_url for server in servers], foreign=foreign)
    async with kind(auth, **options) as client:
        client.setup = setup
        yield client
