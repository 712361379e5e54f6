"""A device flow against a server that answers by a script, on a virtual clock."""

import asyncio

from tests.helpers.raw_server import RawServer, http
from twilio_oauth_async import DeviceFlow, OAuthSession, RetryPolicy, VirtualClock

CODE = {
    "device_code": "dev-canary",
    "user_code": "ABCD",
    "verification_uri": "activate",
    "expires_in": 300,
    "interval": 5,
}
PENDING = http(400, {"error": "authorization_pending"})
SLOW_DOWN = http(400, {"error": "slow_down"})
TOKEN = http(201, {"access_token": "acc-canary"})


class ScriptedFlow:
    """A flow against a server that answers by a script, with a record of when it was asked."""

    def __init__(self, *answers, code=CODE, **options):
        self.clock = VirtualClock()
        self.server = RawServer(http(201, code), *(self.noted(answer) for answer in answers))
        self.options = options
        self.times = []

    def noted(self, answer):
        async def play(writer):
            self.times.append(self.clock.monotonic())
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)

        return play

    @property
    def gaps(self):
        return [later - earlier for earlier, later in zip([0.0, *self.times], self.times, strict=False)]

    async def __aenter__(self):
        await self.server.__aenter__()
        self.session = OAuthSession(
            "AC1", "p4ss", base_url=self.server.base_url, clock=self.clock, retry=RetryPolicy.none()
        )
        await self.session.open()
        self.shown = []
        self.flow = DeviceFlow(
            self.session, **{"client_sid": "OQ1", "scopes": ["openid"], "prompt": self.shown.append, **self.options}
        )
        return self

    async def __aexit__(self, *_):
        await self.session.close()
        await self.server.__aexit__()


async def settle():
    """Let everything happen that can without the clock."""
    for _ in range(100):
        await asyncio.sleep(0.0005)
