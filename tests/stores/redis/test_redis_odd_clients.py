"""Fault 30 (docs/reliability.md): clients that raise unexpected exceptions, or send every command twice."""

import pytest
from redis.exceptions import RedisClusterException, SlotNotCoveredError

from tests.helpers.secrecy import error_texts
from tests.helpers.store_failures import check_every_method_fails
from tests.helpers.stored_values import at, flow, stored
from twilio_oauth_async.stores.redis import RedisFlowStore, RedisTokenStore

pytestmark = pytest.mark.asyncio


class RaisingClient:
    """A client that raises an exception of one kind, with the command in its text."""

    def __init__(self, kind):
        self.kind = kind

    async def eval(self, *arguments):
        raise self.kind(f"{arguments}")


@pytest.mark.parametrize(
    "kind", [RedisClusterException, SlotNotCoveredError, RuntimeError, ValueError, EOFError, OSError]
)
async def test_any_exception_of_a_client_is_raised_as_store_error(kind, caplog):
    await check_every_method_fails(RedisTokenStore(RaisingClient(kind)), RedisFlowStore(RaisingClient(kind)), caplog)


class RepeatingClient:
    """A client that loses the first response to every command, and so sends it twice."""

    def __init__(self, client):
        self.client = client

    async def eval(self, *arguments):
        await self.client.eval(*arguments)
        return await self.client.eval(*arguments)


async def test_command_sent_twice_has_the_effect_of_one(own_redis, open_redis):
    client = open_redis(own_redis)
    store, flows = RedisTokenStore(RepeatingClient(client), lock_timeout=0.3), RedisFlowStore(RepeatingClient(client))
    async with store.lock("a"):
        await store.save("a", stored(1))
        await store.save("a", stored(2))
        own_redis.delete_lock()
        await store.save("a", stored(3))
        assert await error_texts(store.save("a", stored(3, unanswered=1)))
    assert await store.load("a") == stored(3)
    async with store.lock("a"):
        await store.delete("a")
    assert await store.load("a") is None
    await flows.save(flow())
    assert await flows.claim("a", "me", at(10**9)) is True
    assert await flows.claim("a", "you", at(10**9)) is False
    await flows.delete("a")
    assert await flows.load("a") is None
