"""Two hosts share a user's token: it is stored in Redis, and refreshed once even if both hosts need it.

See _redis_server.py for the Redis server and _service.py for the OAuth server.
"""

import asyncio
import sys

from _redis_server import redis_url
from _service import service
from redis.asyncio import Redis

from twilio_oauth_async import DeviceFlow, TokenManager, TwilioOAuthError
from twilio_oauth_async.stores.redis import RedisTokenStore


async def main(url: str) -> None:
    async with (
        service() as twilio,
        Redis.from_url(url) as redis,  # pyright: ignore[reportUnknownMemberType]
        Redis.from_url(url) as other_redis,  # pyright: ignore[reportUnknownMemberType]
    ):
        flow = DeviceFlow(
            twilio.session,
            client_sid=twilio.client_sid,
            client_secret=twilio.client_secret,
            scopes=["openid"],
            prompt=twilio.show,
        )
        # In production these are two programs on two hosts. They share only the Redis server, the prefix and the key.
        here = TokenManager(flow, store=RedisTokenStore(redis, prefix="example"), key="me")
        there = TokenManager(flow, store=RedisTokenStore(other_redis, prefix="example"), key="me")

        first = await here.login()
        print(f"Signed in on one host. The other host has the same token: {await there.token() == first}")

        for manager in (here, there):
            manager.invalidate(first.access_token)  # as after a 401: now both need a new token
        second, same = await asyncio.gather(here.token(), there.token())
        print(f"Both hosts asked for a new token. New: {second != first}, the same on both: {same == second}")


try:
    with redis_url() as url:
        asyncio.run(main(url))
except TwilioOAuthError as error:
    sys.exit(f"Failed: {error}")
