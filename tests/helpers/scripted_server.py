"""``scripted``: a `RawServer` and a session on it, on one virtual clock; ``scripted_device_flow`` adds a device flow.

Beside them stand the responses that the scripts of device flows are made of.
"""

import contextlib

from tests.helpers.raw_server import RawServer, http
from twilio_oauth_async import DeviceFlow, OAuthSession, RetryPolicy, VirtualClock

ACCOUNT_SID, PASSWORD = "AC" + "1" * 32, "pw-canary"
DEVICE_CODE, ACCESS_TOKEN = "dev-canary", "acc-canary"

CODE_BODY = {
    "device_code": DEVICE_CODE,
    "user_code": "ABCD",
    "verification_uri": "activate",
    "expires_in": 300,
    "interval": 5,
}
"""The members of a device authorization response."""
PENDING = http(400, {"error": "authorization_pending"})
EXPIRED = http(400, {"error": "expired_token"})
SLOW_DOWN = http(400, {"error": "slow_down"})
TOKEN = http(201, {"access_token": ACCESS_TOKEN})


def session_for(server, *, credentials=(ACCOUNT_SID, PASSWORD), **options):
    """Return a session on `server` that is not open yet, with a `VirtualClock` unless another clock is given."""
    return OAuthSession(*credentials, **{"base_url": server.base_url, "clock": VirtualClock(), **options})


@contextlib.asynccontextmanager
async def scripted(*responses, clock=None, server_ssl=None, **options):
    """Open a `RawServer` with these responses and a session on it; yield both.

    The clock of both is `clock`, or a `VirtualClock`: it is ``session.clock``. With the SSL context
    `server_ssl` the server speaks TLS; other options are those of `session_for`.
    """
    clock = clock or VirtualClock()
    async with RawServer(*responses, ssl_context=server_ssl, clock=clock) as server:
        async with session_for(server, clock=clock, **options) as session:
            yield server, session


class ScriptedDeviceFlow:
    """A `DeviceFlow` on a scripted server, with the authorizations that it has `shown` and the times of its polls."""

    def __init__(self, server, session, **options):
        self.server, self.session, self.clock = server, session, session.clock
        self.shown = []
        self.flow = self.another(**{"prompt": self.shown.append, **options})

    def another(self, **options):
        """Return a second flow of the same client, as another process would make it."""
        return DeviceFlow(self.session, **{"client_sid": "OQ1", "scopes": ["openid"], **options})

    @property
    def times(self):
        """The monotonic times of the polls."""
        return [request.time for request in self.server.requests[1:]]

    @property
    def gaps(self):
        """Seconds between the start and the first poll, and between each two polls."""
        return [later - earlier for earlier, later in zip([0.0, *self.times], self.times, strict=False)]


@contextlib.asynccontextmanager
async def scripted_device_flow(*responses, code=CODE_BODY, **options):
    """Yield a `ScriptedDeviceFlow` whose server issues `code` and sends `responses` to its polls.

    Requests are not retried; `options` are those of the `DeviceFlow`.
    """
    async with scripted(http(201, code), *responses, retry=RetryPolicy.none()) as (server, session):
        yield ScriptedDeviceFlow(server, session, **options)
