"""A process with a `DeviceFlowPool` for test_pool_killed.py. It can be killed at a given point after an approval.

Its argument is a JSON object with the server, the credentials, the stores, the clock, a user and the point. It prints a
JSON object with the sign-in that it has started, and one for each call of `on_end`.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from tests.helpers.shared_clock import SharedClock
from twilio_oauth_async import DeviceFlow, DeviceFlowPool, OAuthSession
from twilio_oauth_async.sign_in.reporter import Reporter
from twilio_oauth_async.sign_in.running import RunningFlow

POINTS = {
    "the response has arrived": (RunningFlow, "_grant"),
    "the receipt is recorded": (RunningFlow, "_save_token"),
    "the token is saved": (RunningFlow, "_end"),
    "the end is recorded": (Reporter, "_call"),
    "the callback has returned": (Reporter, "_mark"),
}
"""After what the process is killed, and the function that comes next."""


def kill_at(point, id_):
    """Arrange for a ``kill -9`` at `point` of the sign-in `id_`; those of other processes go on."""
    owner, name = POINTS[point]
    original = getattr(owner, name)

    def call_or_kill(self, *arguments):
        about = {getattr(self, "id", None), *(getattr(argument, "id", argument) for argument in arguments[:1])}
        if id_ in about:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *arguments)

    setattr(owner, name, call_or_kill)


def open_stores(options, clock):
    """Return the token store and the flow store that `options` name."""
    if "folder" in options:
        from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore

        folder = Path(options["folder"])
        return FileTokenStore(folder / "tokens.db", clock=clock), FileFlowStore(folder / "flows.db", clock=clock)
    import redis.asyncio

    from twilio_oauth_async.stores.redis import RedisFlowStore, RedisTokenStore

    client = redis.asyncio.Redis.from_url(options["redis"])
    return RedisTokenStore(client), RedisFlowStore(client)


async def main(options):
    clock = SharedClock(Path(options["clock"]))
    session = OAuthSession(options["account_sid"], options["auth_token"], base_url=options["base_url"], clock=clock)
    async with session:
        flow = DeviceFlow(
            session, client_sid=options["client_sid"], client_secret=options["client_secret"], scopes=["openid"]
        )
        tokens, flows = open_stores(options["stores"], clock)

        def report(sign_in):
            print(json.dumps({"end": sign_in.id, "state": sign_in.state}), flush=True)

        async with DeviceFlowPool(flow, tokens=tokens, flows=flows, on_end=report, take_up_every=2) as pool:
            sign_in = await pool.submit(options["user"])
            if options["point"] is not None:
                kill_at(options["point"], sign_in.id)
            print(json.dumps({"id": sign_in.id, "code": sign_in.user_code}), flush=True)
            await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
