"""Fault 47 (docs/reliability.md): threads that wait for a token do not block the work that obtains it."""

import asyncio
import contextlib
import os
import threading
from datetime import timedelta

import pytest

from tests.helpers.raw_server import RawServer, http
from tests.helpers.scripted_server import session_for
from twilio_oauth_async import DeviceFlow, Token, TokenManager, VirtualClock
from twilio_oauth_async.adapters.twilio import BearerCredentials
from twilio_oauth_async.stores.file import FileTokenStore

THREADS = 60
"""More than the default executor of an event loop has: at most 32, and CPUs + 4."""

NEW = http(201, {"access_token": "acc-canary-2", "expires_in": 3600, "refresh_token": "ref-canary-2"})


@contextlib.asynccontextmanager
async def expired(path, *responses):
    """Yield the server and a manager that has to resolve ``localhost``, load an expired token, refresh and save it."""
    clock = VirtualClock(auto=False)
    store = FileTokenStore(path, clock=clock)
    async with RawServer(*responses) as server:
        server_by_name = f"http://localhost:{server.base_url.rpartition(':')[2]}"
        async with session_for(server, base_url=server_by_name, clock=clock) as session:
            flow = DeviceFlow(session, client_sid="OQ1", scopes=["openid"])
            first = Token(
                access_token="acc-canary-1",
                access_token_expires_at=clock.now() + timedelta(hours=1),
                refresh_token="ref-canary-1",
            )
            await TokenManager(flow, store=store, key="me").adopt(first)
            clock.advance(7200)
            yield server, TokenManager(flow, store=store, key="me")
    await store.close()


@pytest.mark.asyncio
async def test_more_threads_than_the_default_executor_has_all_get_the_token(tmp_path):
    assert min(32, (os.cpu_count() or 1) + 4) < THREADS
    async with expired(tmp_path / "private" / "tokens.db", NEW) as (server, manager):
        # The timeout makes a deadlock an error of each call.
        strategy = BearerCredentials(manager, timeout=5).to_auth_strategy()
        calls = [asyncio.create_task(asyncio.to_thread(strategy.get_auth_string)) for _ in range(THREADS)]
        assert set(await asyncio.gather(*calls)) == {"Bearer acc-canary-2"}
    assert len(server.requests) == 1


@pytest.mark.asyncio
async def test_default_executor_full_of_blocked_threads_does_not_block_a_refresh(tmp_path):
    released = threading.Event()
    async with expired(tmp_path / "private" / "tokens.db", NEW) as (_, manager):
        blocked = [asyncio.create_task(asyncio.to_thread(released.wait, 10)) for _ in range(THREADS)]
        try:
            async with asyncio.timeout(5):
                assert await manager.access_token() == "acc-canary-2"
        finally:
            released.set()
            await asyncio.gather(*blocked)
