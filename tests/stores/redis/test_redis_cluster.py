"""A Redis cluster of one node, which rejects every script whose keys are not in one slot."""

import time

import pytest
import pytest_asyncio
from redis.asyncio.cluster import RedisCluster

from tests.helpers.redis_server import RedisServer, free_port, need_redis
from tests.helpers.stored_values import CLIENT, SERVER, flow, stored
from twilio_oauth_async import StoreError, VirtualClock
from twilio_oauth_async.stores.records import TokenKey
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


async def test_token_store_on_a_cluster_saves_locks_deletes_lists_and_erases(client, prefix):
    store, other = RedisTokenStore(client, prefix=prefix), RedisTokenStore(client, prefix=prefix, lock_timeout=0.1)
    users = ("ann", "bob", "{ann}", "}{", "ä" * 200)
    for user in users:
        key = TokenKey(user, "OQ1", "https://one")
        async with store.lock(key):
            await store.save(key, stored(1), replaces=None)
            await store.save(key, stored(2), replaces=stored().epoch)
            with pytest.raises(StoreError, match="another process"):
                async with other.lock(key):
                    pass
        assert await other.load(key) == stored(2)
        await store.save(user, stored(1), replaces=None)
        await other.delete(key)
        assert await store.load(key) is None
        assert await store.is_deleted(key)
    assert {user async for user in store.users()} == set(users)
    for user in users:
        await store.erase(user)
    assert [user async for user in store.users()] == []
    assert await client.keys(f"{prefix}:*", target_nodes=RedisCluster.PRIMARIES) == []


async def test_flow_store_on_a_cluster_runs_every_script(client, prefix):
    store = RedisFlowStore(client, prefix=prefix, clock=VirtualClock(auto=False))
    app = {"client_sid": CLIENT, "server": SERVER}
    for id_ in ("ann", "bob", "}{"):
        created = await store.create(flow(id_), owner="me", seconds=60)
        await store.save(created)
    assert (await store.find_user(created.key)) == created
    await store.release(["bob", "}{"], "me")
    assert {found.id for found in await store.list_due(9, **app)} == {"bob", "}{"}
    assert await store.lease(["ann", "bob"], "you", 60) == {"bob"}
    assert await store.grant("bob", "you")
    assert await store.end("}{", "denied")
    assert [found.id for found in await store.list_ended(9, **app)] == ["}{"]
    await store.delete("bob")
    assert await store.load("bob") is None
    assert await store.list_due(9, **app) == []


async def test_index_of_users_on_a_node_that_is_down_does_not_stop_a_save(client, prefix, caplog):
    """The index is in another slot than the token, so its node can be down alone."""

    class IndexDown:
        async def eval(self, script, numkeys, *arguments):
            if arguments[0].endswith(":index"):
                raise ConnectionError
            return await client.eval(script, numkeys, *arguments)

    store = RedisTokenStore(IndexDown(), prefix=prefix)
    await store.save("a", stored(1), replaces=None)
    await store.save("a", stored(2), replaces=stored().epoch)
    assert await store.load("a") == stored(2)
    assert "the index of users could not be updated" in caplog.text
