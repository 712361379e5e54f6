"""Row 22: one refresh for all, and everybody ends with the newest token."""

import asyncio

import pytest

from tests.helpers.fire_processes import Fire
from twilio_oauth_async import DeviceFlow, TokenManager
from twilio_oauth_async.stores.file import FileTokenStore
from twilio_oauth_async.stores.memory import MemoryTokenStore

PROCESSES, EXPIRIES = 8, 60


@pytest.mark.asyncio
async def test_a_hundred_tasks_at_expiry():
    async with Fire(None, MemoryTokenStore()) as fire:
        await fire.sign_in()
        flow = DeviceFlow(
            fire.session,
            client_sid=fire.emulator.client_sid,
            client_secret=fire.emulator.client_secret,
            scopes=["openid"],
        )
        manager = TokenManager(flow, store=fire.store, key="me")
        fire.clock.advance(3600)
        tokens = await asyncio.gather(*(manager.token() for _ in range(100)))
        assert len({token.access_token for token in tokens}) == 1
        assert fire.refreshes() == [201]


async def expire_again_and_again(fire):
    await fire.sign_in()
    workers = await asyncio.gather(*(fire.worker() for _ in range(PROCESSES)))
    first = await asyncio.gather(*(worker.ask(fire.clock.monotonic()) for worker in workers))
    assert first[0]["token"]
    assert len({answer["token"] for answer in first}) == 1
    for expiry in range(1, EXPIRIES + 1):
        fire.clock.advance(3600)
        answers = await asyncio.gather(*(worker.ask(3600) for worker in workers))
        newest = (await fire.store.load("me")).token.access_token
        assert [answer.get("token") for answer in answers] == [newest] * PROCESSES
        assert fire.refreshes() == [201] * expiry
    assert (await fire.store.load("me")).generation == EXPIRIES + 1


@pytest.mark.asyncio
async def test_eight_processes_on_one_file(tmp_path):
    path = str(tmp_path / "state" / "tokens.json")
    async with Fire({"file": path}, FileTokenStore(path)) as fire:
        await expire_again_and_again(fire)
