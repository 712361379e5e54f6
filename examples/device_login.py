"""Sign a user in on another device and print the user's name.

With TWILIO_CLIENT_ID and TWILIO_ACCOUNT_SID with TWILIO_AUTH_TOKEN (or TWILIO_API_KEY with TWILIO_API_SECRET) set,
this uses Twilio. Without TWILIO_CLIENT_ID it starts the emulator and approves for you.
"""

import asyncio
import contextlib
import os
import sys

from twilio_oauth_async import DeviceAuthorization, DeviceFlow, DeviceFlowError, OAuthSession, TwilioOAuthError
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.grants.device_flow import Prompt


def show(authorization: DeviceAuthorization) -> None:
    print(authorization.instructions("Example"), flush=True)


async def use_twilio(client_sid: str) -> None:
    async with OAuthSession.from_env() as session:  # TWILIO_OAUTH_URL names another server
        await sign_in(session, client_sid, show)


async def use_emulator() -> None:
    async with (
        Emulator(interval=1) as emulator,
        OAuthSession(emulator.account_sid, emulator.auth_token, base_url=emulator.base_url) as session,
    ):

        async def approve(authorization: DeviceAuthorization) -> None:
            show(authorization)
            await emulator.approve(authorization.user_code)

        await sign_in(session, emulator.client_sid, approve)


async def sign_in(session: OAuthSession, client_sid: str, prompt: Prompt) -> None:
    token = await DeviceFlow(session, client_sid=client_sid, scopes=["openid"], prompt=prompt).run()
    user = await session.fetch_user_info(access_token=token.access_token)
    print(f"Signed in as {user.friendly_name or user.user_sid}, until {token.access_token_expires_at}")


async def main() -> None:
    client_sid = os.environ.get("TWILIO_CLIENT_ID")
    try:
        await (use_twilio(client_sid) if client_sid else use_emulator())
    except DeviceFlowError as error:
        sys.exit(f"Not signed in: {error}")
    except TwilioOAuthError as error:
        sys.exit(f"Failed: {error}")


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
