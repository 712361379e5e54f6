"""Sign in as the program itself: no person, no code, and a token that is there whenever one is needed.

With TWILIO_CLIENT_ID and TWILIO_CLIENT_SECRET set, this talks to Twilio. Without them it starts an emulated server.
"""

import asyncio
import os
import sys

from twilio_oauth_async import ClientCredentials, OAuthSession, TokenManager, TwilioOAuthError
from twilio_oauth_async.emulator import Emulator


async def use_token(session: OAuthSession, client_id: str, client_secret: str) -> None:
    grant = ClientCredentials(session, client_id=client_id, client_secret=client_secret)
    # As a context manager it also gets the next token before the present one ends.
    async with TokenManager(grant) as manager:
        tokens = await asyncio.gather(*(manager.token() for _ in range(100)))
    print(f"100 tasks got {len({token.access_token for token in tokens})} token, good until", end=" ")
    print(tokens[0].access_token_expires_at)


async def main() -> None:
    client_id, client_secret = os.environ.get("TWILIO_CLIENT_ID"), os.environ.get("TWILIO_CLIENT_SECRET")
    if client_id and client_secret:
        # The app's own credentials are all that this endpoint asks for. TWILIO_OAUTH_URL is for another server.
        async with OAuthSession(base_url=os.environ.get("TWILIO_OAUTH_URL")) as session:
            await use_token(session, client_id, client_secret)
        return
    print("TWILIO_CLIENT_ID and TWILIO_CLIENT_SECRET are not set: using an emulated server.")
    async with Emulator() as emulator, OAuthSession(base_url=emulator.base_url) as session:
        await use_token(session, emulator.client_sid, emulator.client_secret or "")


try:
    asyncio.run(main())
except TwilioOAuthError as error:
    sys.exit(f"It did not work: {error}")
