"""A process with a token manager, driven line by line; it can be told to die at a given point.

Each line on its standard input is a number of seconds: its clock moves on by them, and it says what ``token()``
came to.
"""

import asyncio
import json
import os
import signal
import sys

from twilio_oauth_async import DeviceFlow, OAuthSession, TokenManager, TwilioOAuthError, VirtualClock


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def store_of(options):
    if "file" in options:
        from twilio_oauth_async.stores.file import FileTokenStore

        return FileTokenStore(options["file"])
    import redis.asyncio

    from twilio_oauth_async.stores.redis import RedisTokenStore

    return RedisTokenStore(redis.asyncio.Redis.from_url(options["redis"]))


def die_at(point, flow):
    """Arrange for a kill -9 at `point` of the next refresh."""
    refresh = flow.refresh

    async def fatal(token):
        if point == "before the request":
            die()
        new = await refresh(token)
        if point == "between answer and save":
            die()
        if point == "inside the save":
            # The file is written and about to be put in its place.
            sys.addaudithook(lambda event, _: die() if event == "os.rename" else None)
        return new

    if point is not None:
        flow.refresh = fatal


async def main(options):
    clock = VirtualClock(auto=False)
    session = OAuthSession(options["account_sid"], options["auth_token"], base_url=options["base_url"], clock=clock)
    async with session:
        flow = DeviceFlow(
            session, client_sid=options["client_sid"], client_secret=options["client_secret"], scopes=["openid"]
        )
        die_at(options.get("kill"), flow)
        manager = TokenManager(flow, store=store_of(options["store"]), key="me")
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        print("ready", flush=True)
        while line := await reader.readline():
            clock.advance(float(line))
            try:
                answer = {"token": await manager.access_token()}
            except TwilioOAuthError as error:
                answer = {"error": type(error).__name__}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
