"""A NATS server that many tests share, and one that a test may break."""

import asyncio
import secrets

import pytest
import pytest_asyncio

from tests.helpers.nats_server import NatsServer, allow_sleeps_of_client, need_nats


@pytest.fixture(scope="session")
def shared_nats(tmp_path_factory):
    """One server for all tests of this process that do not break it; each uses buckets with its own name."""
    need_nats()
    server = NatsServer(tmp_path_factory.mktemp("nats")).start()
    yield server
    server.stop()


@pytest.fixture
def own_nats(tmp_path):
    """A server for this test alone."""
    need_nats()
    server = NatsServer(tmp_path / "nats").start()
    yield server
    server.stop()


@pytest.fixture
def bucket():
    """A name that no other test uses."""
    return f"test-{secrets.token_hex(6)}"


@pytest_asyncio.fixture
async def connect(monkeypatch):
    """A coroutine function that connects to a server; the clients are closed at the end."""
    allow_sleeps_of_client(monkeypatch)
    clients = []

    async def connect(server):
        client = await server.connect()
        clients.append(client)
        return client.jetstream()

    yield connect
    for client in clients:
        await client.close()
    await asyncio.sleep(0)


@pytest_asyncio.fixture
async def js(shared_nats, connect):
    """A connection to the shared server."""
    return await connect(shared_nats)
