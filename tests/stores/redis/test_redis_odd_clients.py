"""Row 30 once more: clients that raise what one would not expect, or send everything twice."""

import pytest
from redis.exceptions import RedisClusterException, SlotNotCoveredError

from tests.helpers.flow_store_contract import at, flow
from tests.helpers.stored_values import stored, told_by
from tests.stores.redis.test_redis_faults import all_fail, expire
from twilio_oauth_async.stores.redis import RedisFlowStore, RedisTokenStore

pytestmark = pytest.mark.asyncio


class Odd:
    """A client that raises what one would not expect of it, with what it was sent in the text."""

    def __init__(self, kind):
        self.kind = kind

    async def eval(self, *arguments):
        raise self.kind(f"{arguments}")


@pytest.mark.parametrize(
    "kind", [RedisClusterException, SlotNotCoveredError, RuntimeError, ValueError, EOFError, OSError]
)
async def test_whatever_a_client_raises_it_is_a_failure_of_the_store(kind, caplog):
    await all_fail(RedisTokenStore(Odd(kind)), RedisFlowStore(Odd(kind)), caplog)


class Stuttering:
    """A client that loses the first answer of everything, and so sends it twice."""

    def __init__(self, client):
        self.client = client

    async def eval(self, *arguments):
        await self.client.eval(*arguments)
        return await self.client.eval(*arguments)


async def test_a_command_that_a_client_repeats_has_the_same_effect(own_redis, open_redis):
    client = open_redis(own_redis)
    store, flows = RedisTokenStore(Stuttering(client), lock_timeout=0.3), RedisFlowStore(Stuttering(client))
    async with store.lock("a"):
        await store.save("a", stored(1))
        await store.save("a", stored(2))
        await expire(own_redis)
        await store.save("a", stored(3))
        assert await told_by(store.save("a", stored(3, unanswered=1)))
    assert await store.load("a") == stored(3)
    async with store.lock("a"):
        await store.delete("a")
    assert await store.load("a") is None
    await flows.save(flow())
    assert await flows.claim("a", "me", at(10**9)) is True
    assert await flows.claim("a", "you", at(10**9)) is False
    await flows.delete("a")
    assert await flows.load("a") is None
