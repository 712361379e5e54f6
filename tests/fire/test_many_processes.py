"""Fault 22 (docs/reliability.md): one refresh for all tasks and processes, and all of them get the newest token."""

import asyncio

import pytest

from tests.helpers.refresh_processes import refresh_processes
from twilio_oauth_async.stores.file import FileTokenStore
from twilio_oauth_async.stores.memory import MemoryTokenStore


@pytest.mark.asyncio
async def test_hundred_tasks_at_expiry_send_one_refresh():
    async with refresh_processes(MemoryTokenStore()) as processes:
        await processes.sign_in()
        manager = processes.manager()
        processes.clock.advance(3600)
        tokens = await asyncio.gather(*(manager.token() for _ in range(100)))
        assert len({token.access_token for token in tokens}) == 1
        assert processes.refresh_statuses() == [201]


@pytest.mark.asyncio
async def test_eight_processes_on_one_file_send_one_refresh_per_expiry(tmp_path):
    path = str(tmp_path / "state" / "tokens.db")
    async with refresh_processes(FileTokenStore(path), {"file": path}) as processes:
        await processes.check_one_refresh_per_expiry()
