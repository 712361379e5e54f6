"""Get a token for the program itself (client credentials), without a user. It is fetched and refreshed when needed.

With TWILIO_CLIENT_ID and TWILIO_CLIENT_SECRET set, this uses Twilio. Without them it starts the emulator.
"""

import asyncio
import os
import sys

from twilio_oauth_async import ClientCredentials, OAuthSession, TokenManager, TwilioOAuthError
from twilio_oauth_async.emulator import Emulator


async def use_token(session: OAuthSession, client_id: str, client_secret: str) -> None:
    grant = ClientCredentials(session, client_id=client_id, client_secret=client_secret)
    # As a context manager it also gets the next token in the background, before the current one expires.
    async with TokenManager(grant) as manager:
        tokens = await asyncio.gather(*(manager.token() for _ in range(100)))
    print(f"100 tasks got {len({token.access_token for token in tokens})} token, valid until", end=" ")
    print(tokens[0].access_token_expires_at)


async def main() -> None:
    client_id, client_secret = os.environ.get("TWILIO_CLIENT_ID"), os.environ.get("TWILIO_CLIENT_SECRET")
    if client_id and client_secret:
        # This endpoint needs only the credentials of the app. TWILIO_OAUTH_URL names another server.
        async with OAuthSession(base_url=os.environ.get("TWILIO_OAUTH_URL")) as session:
            await use_token(session, client_id, client_secret)
        return
    print("TWILIO_CLIENT_ID and TWILIO_CLIENT_SECRET are not set: using the emulator.")
    async with Emulator() as emulator, OAuthSession(base_url=emulator.base_url) as session:
        await use_token(session, emulator.client_sid, emulator.client_secret or "")


try:
    asyncio.run(main())
except TwilioOAuthError as error:
    sys.exit(f"Failed: {error}")
