"""A `JwksCache` and its server, which sends scripted responses; both use one virtual clock."""

import asyncio

from tests.helpers.jose import jwk
from tests.helpers.raw_server import RawServer, http
from twilio_oauth_async import IdTokenError, OAuthSession, RetryPolicy, VirtualClock
from twilio_oauth_async.client.jwks_cache import JwksCache
from twilio_oauth_async.oidc.jwa import ALGORITHMS

ES256 = ALGORITHMS["ES256"]
DOWN = http(503, b"", None)


def certs(*kids):
    """Return a successful response with one key for each key ID."""
    return http(200, {"keys": [jwk(kid=kid) for kid in kids]})


class CacheSetup:
    """A `JwksCache` and its server. The server sends `responses` in order, then repeats the last one.

    `timeouts` records the `timeout` argument of each fetch.
    """

    def __init__(self, *responses, auto=True, timeout=30.0):
        self.clock = VirtualClock(auto=auto)
        self.server = RawServer(*responses)
        self.timeout = timeout

    async def __aenter__(self):
        await self.server.__aenter__()
        self.session = OAuthSession(
            base_url=self.server.base_url, clock=self.clock, retry=RetryPolicy.none(), timeout=self.timeout
        )
        await self.session.open()
        self.cache = JwksCache(self.session)
        self.timeouts = []
        exchange = self.session.exchange

        async def spy(*args, timeout=None):
            self.timeouts.append(timeout)
            return await exchange(*args, timeout=timeout)

        self.session.exchange = spy
        return self

    async def __aexit__(self, *_):
        await self.session.close()
        await self.server.__aexit__()
        # No task of the cache is still running.
        assert asyncio.all_tasks() == {asyncio.current_task()}

    @property
    def fetches(self):
        return len(self.server.requests)

    async def find(self, kid="a"):
        return await self.cache.find(ES256, kid)

    async def has(self, kid="a"):
        """Return whether `find` returns a key; False if it raises because the key ID is unknown."""
        try:
            return len(await self.find(kid)) > 0
        except IdTokenError as error:
            return error.claim != "kid"
