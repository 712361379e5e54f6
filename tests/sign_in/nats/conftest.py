"""A NATS server of its own for each test, and the `QueueWorld` on it."""

import pytest
import pytest_asyncio

from tests.helpers.nats_server import NatsServer, allow_sleeps_of_client, need_nats
from tests.helpers.queue_world import INTERVAL, queue_world


@pytest.fixture
def nats_server(tmp_path, monkeypatch):
    """A NATS server for this test alone, which may stop or break it."""
    need_nats()
    allow_sleeps_of_client(monkeypatch)
    server = NatsServer(tmp_path / "nats").start()
    yield server
    server.stop()


@pytest_asyncio.fixture
async def world(nats_server, tmp_path):
    """An emulator, and queues on the server of this test."""
    async with queue_world(nats_server, tmp_path) as world:
        yield world
        assert not world.emulator.requests.polled_faster_than(INTERVAL), "no poll is sent too early"
