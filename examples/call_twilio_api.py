"""Call Twilio's REST API with a token that is fetched and refreshed automatically.

With TWILIO_CLIENT_ID, TWILIO_CLIENT_SECRET and TWILIO_ACCOUNT_SID set, this reads the account's last messages from
Twilio. Without them, or if TWILIO_OAUTH_URL is set, it starts the emulator and a substitute for api.twilio.com.
"""

import asyncio
import os
import sys

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from twilio_oauth_async import ClientCredentials, OAuthSession, TokenManager, TwilioOAuthError
from twilio_oauth_async.adapters.aiohttp import BearerAuth
from twilio_oauth_async.emulator import Emulator


async def read_messages(grant: ClientCredentials, api: str, account_sid: str) -> None:
    # The token is sent to this origin only. The default for origins is https://*.twilio.com.
    auth = BearerAuth(TokenManager(grant), origins=[api])
    async with (
        aiohttp.ClientSession(api, middlewares=(auth,), raise_for_status=True) as http,
        http.get(f"/2010-04-01/Accounts/{account_sid}/Messages.json", params={"PageSize": 20}) as response,
    ):
        messages = (await response.json())["messages"]
    print(f"The last messages are: {', '.join(message['status'] for message in messages) or 'none'}")


async def messages_endpoint(request: web.Request) -> web.Response:
    """The part of api.twilio.com that this example needs."""
    if not request.headers.get("Authorization", "").startswith("Bearer "):
        return web.json_response({"code": 20003, "message": "Authenticate", "status": 401}, status=401)
    return web.json_response({"messages": [{"status": "delivered"}, {"status": "queued"}]})


async def main() -> None:
    names = ("TWILIO_CLIENT_ID", "TWILIO_CLIENT_SECRET", "TWILIO_ACCOUNT_SID")
    client_id, client_secret, account_sid = (os.environ.get(name) for name in names)
    if client_id and client_secret and account_sid and not os.environ.get("TWILIO_OAUTH_URL"):
        async with OAuthSession() as session:
            grant = ClientCredentials(session, client_id=client_id, client_secret=client_secret)
            await read_messages(grant, "https://api.twilio.com", account_sid)
        return
    print(f"{', '.join(names)} are not set: using the emulator.")
    app = web.Application()
    app.router.add_get("/2010-04-01/Accounts/{account_sid}/Messages.json", messages_endpoint)
    async with TestServer(app) as api, Emulator() as emulator, OAuthSession(base_url=emulator.base_url) as session:
        grant = ClientCredentials(session, client_id=emulator.client_sid, client_secret=emulator.client_secret or "")
        await read_messages(grant, str(api.make_url("/").origin()), emulator.account_sid)


try:
    asyncio.run(main())
except (TwilioOAuthError, aiohttp.ClientError) as error:
    sys.exit(f"Failed: {error}")
