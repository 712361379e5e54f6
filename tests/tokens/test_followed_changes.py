"""Managers use what other processes have refreshed, as soon as the store says so: `TokenManagers.follow`."""

import asyncio

import attrs
import pytest

from tests.helpers.scripted_manager import ScriptedGrant
from twilio_oauth_async import MemoryTokenStore, StoreError, TokenManagers, VirtualClock

pytestmark = pytest.mark.asyncio


class World:
    """Two processes with managers on one store, and the changes that the second one sees."""

    def __init__(self, *script):
        self.clock = VirtualClock(auto=False)
        self.grant = ScriptedGrant(self.clock, *script, interactive=True, lifetime=3600)
        self.store = MemoryTokenStore(clock=self.clock)
        self.here, self.there = (TokenManagers(self.grant, store=self.store) for _ in range(2))
        self.changes = asyncio.Queue()
        self.following = asyncio.create_task(self.here.follow(self._read()))

    async def _read(self):
        while (change := await self.changes.get()) is not None:
            if isinstance(change, Exception):
                raise change
            yield change

    async def change(self, user="ada", stored=None):
        """Report what is stored now."""
        stored = stored or await self.store.load(self.store_key(user))
        self.changes.put_nowait((user, stored))
        while not self.changes.empty():
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    def store_key(self, user):
        return self.here.get(user)._worker.key


async def signed_in(*script):
    world = World(*script)
    first = await world.there.get("ada").token(login=True)
    assert await world.here.get("ada").token() == first
    return world, first


async def test_token_that_was_refreshed_elsewhere_is_used_without_a_look_into_the_store():
    world, first = await signed_in()
    second = await world.there.get("ada").refresh(first.access_token)
    assert await world.here.get("ada").token() == first, "it is still valid, and nothing else is known"
    await world.change()
    loads = world.store.load
    world.store.load = None  # a look would fail
    assert await world.here.get("ada").token() == second
    world.store.load = loads
    world.following.cancel()


async def test_older_token_and_that_of_another_sign_in_are_ignored():
    world, first = await signed_in()
    old = await world.store.load(world.store_key("ada"))
    second = await world.here.get("ada").refresh(first.access_token)
    await world.change(stored=old)
    assert await world.here.get("ada").token() == second
    stored = await world.store.load(world.store_key("ada"))
    await world.change(stored=attrs.evolve(stored, epoch="another", generation=99))
    await world.change(stored=attrs.evolve(stored, client_sid="another client", generation=stored.generation))
    assert await world.here.get("ada").token() == second
    world.following.cancel()


async def test_user_without_a_manager_and_a_deletion_are_ignored():
    world, first = await signed_in()
    world.changes.put_nowait(("eve", await world.store.load(world.store_key("ada"))))
    world.changes.put_nowait(("ada", None))
    world.changes.put_nowait(None)
    await world.following
    assert await world.here.get("ada").token() == first
    assert world.here.in_use("eve") is None


async def test_failure_of_the_store_is_raised():
    world, _ = await signed_in()
    world.changes.put_nowait(StoreError("the watch on the bucket was interrupted"))
    with pytest.raises(StoreError, match="interrupted"):
        await world.following
