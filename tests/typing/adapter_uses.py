"""Uses of the adapters, as in programs. Not run: mypy and pyright, both strict, must accept every line."""

from typing import assert_type

import aiohttp
import httpx
import httpx2

import twilio_oauth_async
from twilio_oauth_async import TokenManager, TokenManagers, adapters, stores
from twilio_oauth_async.adapters import aiohttp as for_aiohttp
from twilio_oauth_async.adapters import httpx as for_httpx
from twilio_oauth_async.adapters.twilio import BearerCredentials


async def use_aiohttp(manager: TokenManager, managers: TokenManagers, user: str) -> int:
    auth = for_aiohttp.BearerAuth(manager, origins=("https://api.twilio.com", "http://127.0.0.1:8080"))
    async with aiohttp.ClientSession(middlewares=(auth,)) as http:
        async with http.get("https://api.twilio.com/2010-04-01/Accounts.json") as response:
            assert_type(response, aiohttp.ClientResponse)
        own = for_aiohttp.BearerAuth(managers.get(user), foreign="skip")
        async with http.get("https://chat.twilio.com/v2/Services", middlewares=[own]) as response:
            return response.status


async def use_httpx(manager: TokenManager) -> None:
    auth = for_httpx.BearerAuth(manager, origins=["https://*.twilio.com"], foreign="refuse")
    async with httpx2.AsyncClient(auth=auth) as http:
        assert_type(await http.get("https://api.twilio.com"), httpx2.Response)
    async with httpx.AsyncClient() as httpx_client:
        assert_type(await httpx_client.get("https://api.twilio.com", auth=auth), httpx.Response)


async def use_twilio_sdk(manager: TokenManager) -> str:
    credentials = BearerCredentials(manager, timeout=5)
    return assert_type(credentials.to_auth_strategy().get_auth_string(), str)


def use_the_packages_of_adapters_and_stores(manager: TokenManager, client: stores.RedisClient) -> None:
    assert_type(twilio_oauth_async.__version__, str)
    assert_type(adapters.aiohttp.BearerAuth(manager), for_aiohttp.BearerAuth)
    assert_type(adapters.twilio.BearerCredentials(manager), BearerCredentials)
    source: adapters.TokenSource = manager
    credentials: type[BearerCredentials] = adapters.BearerCredentials
    all_stores: tuple[stores.TokenStore, ...] = (
        stores.MemoryTokenStore(),
        stores.FileTokenStore(encryption=stores.Keyring()),
        stores.RedisTokenStore(client),
    )
    print(source, credentials, all_stores, stores.TokenKey("ann"), stores.epoch_of("code"))
