"""The lock of a `TokenStore`, and concurrent calls."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import attrs
import pytest

from twilio_oauth_async.errors import StoreConflict
from twilio_oauth_async.stores.base import TokenStore
from twilio_oauth_async.stores.records import TokenKey, epoch_of
from twilio_oauth_async.stores.testing.checks import other_tasks
from twilio_oauth_async.stores.testing.options import StoreContract
from twilio_oauth_async.stores.testing.values import SOON, token


class TokenLockTests(StoreContract):
    """Locks and concurrency in one event loop."""

    async def test_lock_has_one_holder_at_a_time(self, open_store: Callable[[], TokenStore]) -> None:
        """Of all tasks, and of all store objects on the storage."""
        stores, holders, most = [open_store(), open_store()], 0, 0

        async def visit(number: int) -> None:
            nonlocal holders, most
            async with stores[number % 2].lock("a"):
                holders += 1
                most = max(most, holders)
                await asyncio.sleep(0.002)
                holders -= 1

        async with asyncio.timeout(SOON):
            await asyncio.gather(*(visit(number) for number in range(12)))
        assert most == 1

    async def test_string_and_token_key_have_the_same_lock(self, open_store: Callable[[], TokenStore]) -> None:
        """The lock belongs to the record."""
        store, other = open_store(), open_store()
        async with store.lock("a"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05), other.lock(TokenKey("a")):
                    pytest.fail("the lock has two holders")

    async def test_held_lock_blocks_neither_other_keys_nor_other_calls(
        self, open_store: Callable[[], TokenStore]
    ) -> None:
        """The lock is for refreshes; it does not protect the record."""
        store, other = open_store(), open_store()
        async with asyncio.timeout(SOON), store.lock("a"):
            await store.save("a", token(1), replaces=None)
            await other.save("b", token(1), replaces=None)
            assert await other.load("a") == token(1)
            async with other.lock("b"), store.lock(TokenKey("a", "OQ1")), other.lock(TokenKey("a", "", "OQ1")):
                await other.delete("b")
            await other.save("a", token(2), replaces=token().epoch)
            assert [user async for user in other.users()] == ["a"]
            await other.erase("a")

    async def test_exception_inside_lock_releases_it(self, open_store: Callable[[], TokenStore]) -> None:
        """The exception reaches the caller."""
        store = open_store()
        with pytest.raises(ZeroDivisionError):
            async with store.lock("a"):
                raise ZeroDivisionError
        async with asyncio.timeout(SOON), open_store().lock("a"):
            pass

    async def test_cancelled_holder_or_waiter_releases_the_lock(self, open_store: Callable[[], TokenStore]) -> None:
        """No task stays behind."""
        store, other, entered = open_store(), open_store(), asyncio.Event()

        async def hold(which: TokenStore) -> None:
            async with which.lock("a"):
                entered.set()
                await asyncio.Event().wait()

        holder = asyncio.create_task(hold(store))
        await entered.wait()
        waiters = [asyncio.create_task(hold(which)) for which in (store, other, other)]
        await asyncio.sleep(0.03)
        for task in (*waiters, holder):
            task.cancel()
        outcomes = await asyncio.gather(holder, *waiters, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
        for which in (store, other):
            async with asyncio.timeout(SOON), which.lock("a"):
                pass
        assert not await other_tasks(self.client_packages)

    async def test_concurrent_updates_under_the_lock_lose_nothing(self, open_store: Callable[[], TokenStore]) -> None:
        """Load and save under the lock are one step."""
        stores = [open_store(), open_store()]

        async def count(store: TokenStore) -> None:
            for _ in range(4):
                async with store.lock("a"):
                    before = await store.load("a")
                    generation = 1 if before is None else before.generation + 1
                    await store.save("a", token(generation), replaces=token().epoch)

        async with asyncio.timeout(2 * SOON):
            await asyncio.gather(*(count(stores[number % 2]) for number in range(5)))
        assert await stores[0].load("a") == token(20)

    async def test_concurrent_saves_keep_the_newest_generation(self, open_store: Callable[[], TokenStore]) -> None:
        """Without the lock, each save is checked and made in one step."""
        generations = random.sample(range(20), 20)
        stores = [open_store(), open_store()]
        outcomes = await asyncio.gather(
            *(stores[g % 2].save(key, token(g), replaces=token().epoch) for key in "ab" for g in generations),
            return_exceptions=True,
        )
        assert {type(outcome) for outcome in outcomes} <= {type(None), StoreConflict}
        assert [await stores[0].load(key) for key in "ab"] == [token(19), token(19)]

    async def test_concurrent_sign_ins_store_one_and_refuse_the_others(
        self, open_store: Callable[[], TokenStore]
    ) -> None:
        """None has seen the token of another one."""
        stores = [open_store(), open_store()]
        outcomes = await asyncio.gather(
            *(stores[n % 2].save("a", token(code=f"{n}", signed_in=n), replaces=None) for n in range(12)),
            return_exceptions=True,
        )
        assert {type(outcome) for outcome in outcomes} <= {type(None), StoreConflict}
        assert outcomes.count(None) == 1
        winner = outcomes.index(None)
        assert await stores[1].load("a") == token(code=f"{winner}", signed_in=winner)

    async def test_concurrent_sign_ins_that_load_again_store_the_latest(
        self, open_store: Callable[[], TokenStore]
    ) -> None:
        """Whatever the order of the saves, the latest sign-in is stored at the end."""
        stores = [open_store(), open_store()]

        async def sign_in(store: TokenStore, number: int) -> None:
            new, replaces = token(code=f"{number}", signed_in=number), None
            while True:
                try:
                    await store.save("a", new, replaces=replaces)
                except StoreConflict:
                    present = await store.load("a")
                    if present is None or present.signed_in_at > new.signed_in_at:
                        return
                    replaces = present.epoch
                else:
                    return

        numbers = random.sample(range(12), 12)
        async with asyncio.timeout(2 * SOON):
            await asyncio.gather(*(sign_in(stores[number % 2], number) for number in numbers))
        assert await stores[0].load("a") == token(code="11", signed_in=11)

    async def test_concurrent_refreshes_and_delete_end_deleted(self, open_store: Callable[[], TokenStore]) -> None:
        """A logout stays a logout."""
        stores = [open_store(), open_store()]
        await stores[0].save("a", token(1), replaces=None)
        calls = [stores[g % 2].save("a", token(g), replaces=token().epoch) for g in range(2, 12)]
        calls.insert(5, stores[0].delete("a"))
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} <= {type(None), StoreConflict}
        assert [await store.load("a") for store in stores] == [None, None]
        assert [await store.is_deleted("a") for store in stores] == [True, True]

    async def test_concurrent_marks_and_rotation_keep_the_rotation(self, open_store: Callable[[], TokenStore]) -> None:
        """`unanswered` of an old generation does not come back after a refresh."""
        stores = [open_store(), open_store()]
        await stores[0].save("a", token(1), replaces=None)
        marks = [stores[n % 2].save("a", token(1, n), replaces=epoch_of("code")) for n in range(1, 8)]
        rotated = attrs.evolve(token(2), unanswered=0)
        outcomes = await asyncio.gather(
            *marks[:4], stores[1].save("a", rotated, replaces=rotated.epoch), *marks[4:], return_exceptions=True
        )
        assert {type(outcome) for outcome in outcomes} <= {type(None), StoreConflict}
        assert await stores[0].load("a") == rotated
