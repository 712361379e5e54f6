"""Show a code, stop, and let the next run of the program finish the sign-in.

What must be remembered between the two, the pool keeps in a private file. See _service.py for where it signs in.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

from _service import Service, service

from twilio_oauth_async import DeviceFlow, DeviceFlowPool, TokenManager, TwilioOAuthError
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore


def make_flow(twilio: Service) -> DeviceFlow:
    secret = twilio.client_secret
    return DeviceFlow(twilio.session, client_sid=twilio.client_sid, client_secret=secret, scopes=["openid"])


def make_pool(flow: DeviceFlow, folder: Path) -> DeviceFlowPool:
    return DeviceFlowPool(
        flow, tokens=FileTokenStore(folder / "tokens.json"), flows=FileFlowStore(folder / "flows.json")
    )


async def first_run(twilio: Service, folder: Path) -> None:
    async with make_pool(make_flow(twilio), folder) as pool:
        sign_in = await pool.submit("me")
        await twilio.show(sign_in)
    print("Stopped before anybody had asked for the token.")


async def second_run(twilio: Service, folder: Path) -> None:
    flow = make_flow(twilio)
    async with make_pool(flow, folder) as pool:
        # Entering took up what the first run left behind, and whoever signs in again joins what is under way.
        sign_in = await pool.submit("me")
        print(f"Taken up again: {sign_in.user_code}")
        await pool.result(sign_in.id)
    token = await TokenManager(flow, store=FileTokenStore(folder / "tokens.json"), key="me").token()
    print(f"Signed in, until {token.access_token_expires_at}")


async def main() -> None:
    # The runs share this folder and nothing else. A program of your own has one that stays.
    with tempfile.TemporaryDirectory() as folder:
        async with service() as twilio:
            await first_run(twilio, Path(folder))
            await second_run(twilio, Path(folder))


try:
    asyncio.run(main())
except TwilioOAuthError as error:
    sys.exit(f"It did not work: {error}")
except KeyboardInterrupt:
    sys.exit("Nobody came.")
