"""The server that the examples use: Twilio if the environment names an OAuth app, else the emulator in this process.

For Twilio, set TWILIO_CLIENT_ID, TWILIO_CLIENT_SECRET if the app has one, and TWILIO_ACCOUNT_SID with
TWILIO_AUTH_TOKEN (or TWILIO_API_KEY with TWILIO_API_SECRET). TWILIO_OAUTH_URL names another server with the same API,
for example an emulator in another process.
"""

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from twilio_oauth_async import AuthorizationCodeFlow, DeviceAuthorization, DeviceFlow, OAuthSession, SignIn
from twilio_oauth_async.emulator import Emulator


@dataclass(frozen=True)
class Service:
    """An open session, the OAuth app, and the emulator if there is one."""

    session: OAuthSession
    client_sid: str
    client_secret: str | None = field(repr=False)
    emulator: Emulator | None = None

    def device_flow(self, scopes: Sequence[str]) -> DeviceFlow:
        return DeviceFlow(self.session, client_sid=self.client_sid, client_secret=self.client_secret, scopes=scopes)

    def code_flow(self, scopes: Sequence[str], redirect_uri: str) -> AuthorizationCodeFlow:
        sid, secret = self.client_sid, self.client_secret
        return AuthorizationCodeFlow(
            self.session, client_sid=sid, client_secret=secret, scopes=scopes, redirect_uri=redirect_uri
        )

    async def show(self, pending: DeviceAuthorization | SignIn) -> None:
        """Print the instructions for the user. With the emulator in this process there is no user, so approve here."""
        print(pending.instructions("Example"), flush=True)
        if self.emulator is not None:
            await self.emulator.approve(pending.user_code)


@asynccontextmanager
async def service() -> AsyncGenerator[Service, None]:
    if client_sid := os.environ.get("TWILIO_CLIENT_ID"):
        async with OAuthSession.from_env() as session:
            yield Service(session, client_sid, os.environ.get("TWILIO_CLIENT_SECRET"))
        return
    print("TWILIO_CLIENT_ID is not set: using the emulator.", flush=True)
    async with (
        Emulator(interval=1) as emulator,
        OAuthSession(emulator.account_sid, emulator.auth_token, base_url=emulator.base_url) as session,
    ):
        yield Service(session, emulator.client_sid, emulator.client_secret, emulator)
