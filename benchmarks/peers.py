"""CPU time of one token request of this package and of other libraries.

    python benchmarks/peers.py

Each client sends the same request over a kept connection, in turn, to a server in a process of its own that costs less
than any of them; the response has 2 KB. The libraries that have no async client run in a thread, by
``asyncio.to_thread``, as an asyncio program has to use them. A library that is not installed is left out, with a note.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
from constant_server import TOKEN, constant_server
from harness import Report, cpu_ratios, in_turn, repeat
from typed_call import CLIENT_SID, PASSWORD, USERNAME, by_hand

from twilio_oauth_async import DEVICE_CODE_GRANT, OAuthSession

CALLS, ROUNDS = 100, 15
CODE = "d" * 40
MIN_AUTHLIB, MIN_OTHERS = 5.0, 1.0

Call = Callable[[], Awaitable[Any]]


@asynccontextmanager
async def this_package(url: str) -> AsyncGenerator[Call]:
    """Yield a call of `OAuthSession.create_token`."""
    async with OAuthSession(USERNAME, PASSWORD, base_url=url) as session:
        yield lambda: session.create_token(grant_type=DEVICE_CODE_GRANT, client_sid=CLIENT_SID, device_code=CODE)


@asynccontextmanager
async def aiohttp_by_hand(url: str) -> AsyncGenerator[Call]:
    """Yield the hand-written call of `typed_call`."""
    headers = {"Authorization": aiohttp.encode_basic_auth(USERNAME, PASSWORD)}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=30)) as http:
        yield by_hand(http, url + "/v1/token", CODE)


@asynccontextmanager
async def authlib(url: str) -> AsyncGenerator[Call]:
    """Yield a call of the async client of Authlib, which uses httpx."""
    from authlib.integrations.httpx_client import AsyncOAuth2Client

    async with AsyncOAuth2Client(CLIENT_SID, PASSWORD) as client:
        yield lambda: client.fetch_token(url + "/v1/token", grant_type=DEVICE_CODE_GRANT, device_code=CODE)


@asynccontextmanager
async def twilio(url: str) -> AsyncGenerator[Call]:
    """Yield a call of the async client of Twilio's own SDK, which uses aiohttp."""
    from twilio.http.async_http_client import AsyncTwilioHttpClient
    from twilio.rest import Client

    async with AsyncTwilioHttpClient() as http:
        client = Client(USERNAME, PASSWORD, http_client=http)
        client.iam.base_url = url
        tokens = client.iam.v1.token
        yield lambda: tokens.create_async(grant_type=DEVICE_CODE_GRANT, client_id=CLIENT_SID, code=CODE)


@asynccontextmanager
async def requests_oauth2client(url: str) -> AsyncGenerator[Call]:
    """Yield a call of requests_oauth2client in a thread."""
    from requests_oauth2client import OAuth2Client

    client = OAuth2Client(url + "/v1/token", client_id=CLIENT_SID, client_secret=PASSWORD, testing=True)
    yield lambda: asyncio.to_thread(client.device_code, CODE)


@asynccontextmanager
async def msal(url: str) -> AsyncGenerator[Call]:
    """Yield a call of the OAuth client of MSAL in a thread."""
    from msal.oauth2cli.oauth2 import Client

    client = Client({"token_endpoint": url + "/v1/token"}, CLIENT_SID, client_secret=PASSWORD)

    def call() -> object:
        return client.obtain_token_by_device_flow({"device_code": CODE, "interval": 5}, exit_condition=lambda _: True)

    yield lambda: asyncio.to_thread(call)


PEERS = {
    "aiohttp by hand": aiohttp_by_hand,
    "Authlib": authlib,
    "twilio": twilio,
    "requests_oauth2client": requests_oauth2client,
    "MSAL": msal,
}


async def main() -> int:
    """Measure, print the results and compare them with the limits."""
    report = Report(
        __file__,
        __doc__,
        packages=("aiohttp", "Authlib", "httpx", "twilio", "requests_oauth2client", "requests", "msal"),
    )
    async with constant_server() as url, AsyncExitStack() as clients:
        calls = {"this package": await clients.enter_async_context(this_package(url))}
        for name, peer in PEERS.items():
            try:
                calls[name] = await clients.enter_async_context(peer(url))
            except ImportError as error:
                report.note(f"{name} was not measured: {error.name} is not installed.")
        for name, call in calls.items():
            response = await call()
            assert TOKEN["access_token"] in repr(response) or response.access_token == TOKEN["access_token"], name
        series = await in_turn({name: repeat(call, CALLS) for name, call in calls.items()}, rounds=ROUNDS, calls=CALLS)
    for name in calls:
        report.add(name, "CPU of a call", series[name].cpu, "us")
        if name != "this package":
            limit = {"aiohttp by hand": None, "Authlib": MIN_AUTHLIB}.get(name, MIN_OTHERS)
            report.add(
                name, "CPU / this package", cpu_ratios(series[name], series["this package"]), "x", at_least=limit
            )
    return report.finish()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
