"""Show a code, stop, and complete the sign-in in the next run of the program.

The pool keeps the pending sign-in in a private database between the runs. See _service.py for the server.
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
    return DeviceFlowPool(flow, tokens=FileTokenStore(folder / "tokens.db"), flows=FileFlowStore(folder / "flows.db"))


async def first_run(twilio: Service, folder: Path) -> None:
    async with make_pool(make_flow(twilio), folder) as pool:
        sign_in = await pool.submit("me")
        await twilio.show(sign_in)
    print("Stopped before the token was requested.")


async def second_run(twilio: Service, folder: Path) -> None:
    flow = make_flow(twilio)
    async with make_pool(flow, folder) as pool:
        # The pool resumed the pending sign-in when it was opened. Submitting the same user again joins that sign-in.
        sign_in = await pool.submit("me")
        print(f"Resumed: {sign_in.user_code}")
        await pool.result(sign_in.id)
    token = await TokenManager(flow, store=FileTokenStore(folder / "tokens.db"), key="me").token()
    print(f"Signed in, until {token.access_token_expires_at}")


async def main() -> None:
    # The two runs share only this folder. In your own program, use a folder that is kept.
    with tempfile.TemporaryDirectory() as folder:
        async with service() as twilio:
            await first_run(twilio, Path(folder))
            await second_run(twilio, Path(folder))


try:
    asyncio.run(main())
except TwilioOAuthError as error:
    sys.exit(f"Failed: {error}")
except KeyboardInterrupt:
    sys.exit("Interrupted.")
