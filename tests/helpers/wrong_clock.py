"""A clock whose wall clock is wrong, and a session that has it while its emulator has the right one."""

import contextlib
from datetime import timedelta

from tests.helpers.world import World
from twilio_oauth_async import OAuthSession, VirtualClock
from twilio_oauth_async.emulator import Emulator


class WrongClock:
    """The time of another clock, whose wall clock is `seconds` ahead, or behind if they are negative."""

    def __init__(self, right, seconds):
        self.right, self.seconds = right, seconds
        self.monotonic, self.sleep = right.monotonic, right.sleep

    def now(self):
        return self.right.now() + timedelta(seconds=self.seconds)


@contextlib.asynccontextmanager
async def emulated_with_wrong_clock(seconds, **options):
    """Open an emulator, and a session whose wall clock is wrong by `seconds`; yield the `World`.

    `World.clock` is the right clock; other options are those of the `Emulator`.
    """
    async with (
        Emulator(clock=VirtualClock(), **options) as emulator,
        OAuthSession(
            emulator.account_sid,
            emulator.auth_token,
            base_url=emulator.base_url,
            clock=WrongClock(emulator.clock, seconds),
        ) as session,
    ):
        yield World(emulator, session)
