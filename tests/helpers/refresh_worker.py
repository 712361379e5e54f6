"""A process with a token manager for refresh_processes.py. It can be killed at a given point of a refresh.

Its argument is a JSON object with the server, the credentials, the store and the point. Each line on its standard input
is a number of seconds: its clock moves on by them, and it prints what ``token()`` returned or raised.
"""

import asyncio
import json
import os
import signal
import sys

from twilio_oauth_async import DeviceFlow, OAuthSession, TokenManager, TwilioOAuthError, VirtualClock


def kill_self():
    os.kill(os.getpid(), signal.SIGKILL)


def open_store(options):
    if "file" in options:
        from twilio_oauth_async.stores.file import FileTokenStore

        return FileTokenStore(options["file"])
    import redis.asyncio

    from twilio_oauth_async.stores.redis import RedisTokenStore

    return RedisTokenStore(redis.asyncio.Redis.from_url(options["redis"]))


def kill_before_commit():
    """Arrange for a ``kill -9`` in the next save: the new row is written, and its transaction is not committed yet."""
    from twilio_oauth_async.stores.file import tokens

    put = tokens._put

    def put_and_kill(*arguments):
        put(*arguments)
        kill_self()

    tokens._put = put_and_kill


def kill_at(point, flow):
    """Arrange for a ``kill -9`` at `point` of the next refresh."""
    refresh = flow.refresh

    async def refresh_and_kill(token):
        if point == "before the request":
            kill_self()
        new = await refresh(token)
        if point == "between response and save":
            kill_self()
        if point == "inside the save":
            kill_before_commit()
        return new

    if point is not None:
        flow.refresh = refresh_and_kill


async def main(options):
    clock = VirtualClock(auto=False)
    session = OAuthSession(options["account_sid"], options["auth_token"], base_url=options["base_url"], clock=clock)
    async with session:
        flow = DeviceFlow(
            session, client_sid=options["client_sid"], client_secret=options["client_secret"], scopes=["openid"]
        )
        kill_at(options.get("kill"), flow)
        manager = TokenManager(flow, store=open_store(options["store"]), key="me")
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        print("ready", flush=True)
        while line := await reader.readline():
            clock.advance(float(line))
            try:
                result = {"token": await manager.access_token()}
            except TwilioOAuthError as error:
                result = {"error": type(error).__name__}
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
