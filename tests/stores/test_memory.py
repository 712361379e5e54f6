"""The memory stores pass the contracts; their own bounds and locks."""

import asyncio

import pytest

from tests.helpers.stored_values import stored
from twilio_oauth_async import StoreError
from twilio_oauth_async.stores.memory import MemoryFlowStore, MemoryTokenStore
from twilio_oauth_async.stores.testing import FlowStoreContract, TokenStoreContract


class TestMemoryTokenStore(TokenStoreContract):
    @pytest.fixture
    def open_store(self, clock):
        store = MemoryTokenStore(clock=clock)
        return lambda: store


class TestMemoryFlowStore(FlowStoreContract):
    @pytest.fixture
    def open_store(self, clock):
        store = MemoryFlowStore(clock=clock)
        return lambda: store


@pytest.mark.asyncio
async def test_wait_for_a_held_lock_raises_store_error_after_lock_timeout():
    store = MemoryTokenStore(lock_timeout=0.01)
    async with store.lock("a"):
        with pytest.raises(StoreError, match="not free within") as caught:
            async with store.lock("a"):
                pass
    assert caught.value.__context__ is None
    assert not store._locks._entries


@pytest.mark.asyncio
async def test_lock_waiters_are_served_in_order():
    store, order = MemoryTokenStore(), []

    async def visit(number):
        async with store.lock("a"):
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*map(visit, range(10)))
    assert order == list(range(10))


def test_store_works_in_one_event_loop_after_another():
    """A lock that was contended belongs to its loop; the next loop creates a new one."""
    store = MemoryTokenStore()

    async def contend(generation):
        async def visit():
            async with store.lock("a"):
                await asyncio.sleep(0)

        await asyncio.gather(*(visit() for _ in range(3)))
        await store.save("a", stored(generation), replaces=stored().epoch)

    asyncio.run(contend(1))
    asyncio.run(contend(2))
    assert asyncio.run(store.load("a")) == stored(2)


def test_repr_shows_the_number_of_entries():
    assert repr(MemoryTokenStore()) == "MemoryTokenStore(0 tokens)"
    assert repr(MemoryFlowStore()) == "MemoryFlowStore(0 flows)"
