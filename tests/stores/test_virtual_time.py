"""Stores that take real time, in tests on a `VirtualClock`: their calls take no virtual time."""

import asyncio
import threading

import pytest

from tests.helpers.world import emulated
from twilio_oauth_async import VirtualClock
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore, keyring

pytestmark = pytest.mark.asyncio


async def pool_takes_no_virtual_time(world, tokens, flows):
    """Submit ten sign-ins, one after the other, while the earlier ones wait for their first poll; approve them."""
    async with world.pool(tokens=tokens, flows=flows) as pool:
        sign_ins = [await pool.submit(f"user {number}") for number in range(10)]
        assert world.clock.monotonic() < 1
        for sign_in in sign_ins:
            await world.emulator.approve(sign_in.user_code)
        await asyncio.gather(*(pool.result(sign_in.id) for sign_in in sign_ins))
        assert 5 < world.clock.monotonic() < 6, "one poll, after the interval of five seconds"


async def test_ten_sign_ins_with_file_stores_take_no_virtual_time(tmp_path):
    async with emulated() as world:
        tokens = FileTokenStore(tmp_path / "tokens", clock=world.clock)
        flows = FileFlowStore(tmp_path / "flows", clock=world.clock)
        await pool_takes_no_virtual_time(world, tokens, flows)


async def test_ten_sign_ins_with_redis_stores_take_no_virtual_time(client, prefix):
    from twilio_oauth_async.stores.redis import RedisFlowStore, RedisTokenStore

    async with emulated() as world:
        tokens, flows = (kind(client, prefix=prefix, clock=world.clock) for kind in (RedisTokenStore, RedisFlowStore))
        await pool_takes_no_virtual_time(world, tokens, flows)


async def test_keyring_that_takes_real_time_takes_no_virtual_time(monkeypatch):
    clock, slow = VirtualClock(), SlowKeyring()
    monkeypatch.setattr(keyring, "_backend", lambda: slow)
    sleeping = asyncio.create_task(clock.sleep(60))
    asking = asyncio.create_task(keyring.Keyring().ask("id"))
    for _ in range(200):
        await asyncio.sleep(0)
    assert clock.monotonic() == 0
    slow.may_respond.set()
    assert await asking == "key of id"
    await sleeping


class SlowKeyring:
    """Blocks its thread until it may respond."""

    def __init__(self):
        self.may_respond = threading.Event()

    def get_password(self, service, key_id):
        self.may_respond.wait(10)
        return f"key of {key_id}"
