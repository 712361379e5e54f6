"""Fault 30 (docs/reliability.md): clients that raise unexpected exceptions, or send every command twice."""

import attrs
import pytest
from redis.exceptions import RedisClusterException, SlotNotCoveredError

from tests.helpers.secrecy import error_texts
from tests.helpers.store_failures import check_every_method_fails
from tests.helpers.stored_values import flow, stored
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
    epoch = stored().epoch
    async with store.lock("a"):
        await store.save("a", stored(1), replaces=None)
        await store.save("a", stored(2), replaces=epoch)
        own_redis.delete_lock()
        await store.save("a", stored(3), replaces=epoch)
        assert await error_texts(store.save("a", stored(3, unanswered=1), replaces=epoch))
    assert await store.load("a") == stored(3)
    async with store.lock("a"):
        await store.delete("a")
    assert await store.is_deleted("a") is True
    await store.save("a", stored(code="next", signed_in=1), replaces=None)
    await store.erase("a")
    assert await store.load("a") is None

    created = await flows.create(flow(), owner="me", seconds=10**9)
    assert (created.id, created.owner) == ("a", "me")
    await flows.save(attrs.evolve(created, context={"new": "1"}))
    assert await flows.lease(["a"], "me", 10**9) == {"a"}
    assert await flows.lease(["a"], "you", 10**9) == set()
    await flows.release(["a"], "me")
    assert await flows.lease(["a"], "you", 10**9) == {"a"}
    assert await flows.grant("a", "me") is True
    assert await flows.grant("a", "you") is False
    assert await flows.end("a", "approved", "done") is True
    assert await flows.end("a", "failed") is False
    assert (await flows.load("a")).problem == "done"
    await flows.delete("a")
    assert await flows.load("a") is None
