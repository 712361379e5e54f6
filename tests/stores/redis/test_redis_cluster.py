"""A Redis cluster of one node, which rejects every script whose keys are not in one slot."""

import time

import pytest
import pytest_asyncio
from redis.asyncio.cluster import RedisCluster

from tests.helpers.redis_server import RedisServer, free_port, need_redis
from tests.helpers.stored_values import at, flow, leased, stored
from twilio_oauth_async import StoreError, VirtualClock
from twilio_oauth_async.stores.redis import RedisFlowStore, RedisTokenStore

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    need_redis()
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    server = RedisServer(tmp_path_factory.mktemp("cluster"), *options).start()
    server.send("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    for _ in range(500):
        if "cluster_state:ok" in server.send("CLUSTER", "INFO"):
            break
        time.sleep(0.02)
    yield server
    server.stop()


@pytest_asyncio.fixture
async def client(cluster):
    client = RedisCluster.from_url(cluster.url)
    yield client
    await client.aclose()


async def test_token_store_on_a_cluster_saves_locks_and_deletes(client, prefix):
    store, other = RedisTokenStore(client, prefix=prefix), RedisTokenStore(client, prefix=prefix, lock_timeout=0.1)
    for key in ("ann", "bob", "{ann}", "}{", "ä" * 200):
        async with store.lock(key):
            await store.save(key, stored(1))
            await store.save(key, stored(2))
            with pytest.raises(StoreError, match="another process"):
                async with other.lock(key):
                    pass
        assert await other.load(key) == stored(2)
        await other.delete(key)
        assert await store.load(key) is None


async def test_flow_store_on_a_cluster_saves_claims_and_deletes(client, prefix):
    store = RedisFlowStore(client, prefix=prefix, clock=VirtualClock(auto=False))
    for id_ in ("ann", "bob", "}{"):
        await store.save(flow(id_))
    assert await store.claim("ann", "me", at(60)) is True
    assert {found.id for found in await store.list_due()} == {"bob", "}{"}
    await store.delete("bob")
    assert await store.load("ann") == leased("ann", "me", 60)
    assert [found.id for found in await store.list_due()] == ["}{"]
