"""Cancellation, secrets, event loops and failures of a `TokenStore`."""

from __future__ import annotations

import asyncio
import logging
import pickle
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from twilio_oauth_async.clock import Clock, VirtualClock
from twilio_oauth_async.errors import StoreConflict, StoreError
from twilio_oauth_async.stores.base import TokenStore
from twilio_oauth_async.stores.testing.checks import at_each_await, error_texts, other_tasks, texts_of
from twilio_oauth_async.stores.testing.options import StoreContract
from twilio_oauth_async.stores.testing.values import CANARY, SIGNED_IN_AT, SOON, token

EPOCH = token().epoch


async def hold(store: TokenStore) -> None:
    """Hold the lock of ``"a"`` for a turn of the event loop."""
    async with store.lock("a"):
        await asyncio.sleep(0)


async def list_users(store: TokenStore) -> None:
    """Iterate over all users."""
    async for _ in store.users():
        pass


class TokenSafetyTests(StoreContract):
    """What must be true when a call is cancelled, fails, or is made in another event loop."""

    async def test_save_cancelled_at_each_await_is_complete_or_absent(
        self, open_store: Callable[[], TokenStore]
    ) -> None:
        """Never half a record, never a damaged neighbour."""
        store, other = open_store(), open_store()
        await store.save("b", token(1), replaces=None)
        generation = 0
        for cancellation in at_each_await():
            generation = cancellation.number
            await cancellation.run(store.save("a", token(generation), replaces=EPOCH))
            present = await other.load("a")
            assert present is None or present == token(present.generation)
            assert present is None or present.generation <= generation
            assert await other.load("b") == token(1)
        assert await store.load("a") == token(generation)
        assert not await other_tasks(self.client_packages)

    @pytest.mark.parametrize("call", ["delete", "erase"])
    async def test_removal_cancelled_at_each_await_is_complete_or_without_effect(
        self, open_store: Callable[[], TokenStore], call: str
    ) -> None:
        """Either the token or what the removal leaves."""
        store, other = open_store(), open_store()
        await store.save("b", token(1), replaces=None)
        seen = (True, False)
        for cancellation in at_each_await():
            await other.erase("a")
            await other.save("a", token(1), replaces=None)
            await cancellation.run(getattr(store, call)("a"))
            seen = (await other.load("a") == token(1), await other.is_deleted("a"))
            assert seen in {(True, False), (False, call == "delete")}
            assert await other.load("b") == token(1)
        assert seen == (False, call == "delete")
        assert not await other_tasks(self.client_packages)

    @pytest.mark.parametrize("call", ["load", "is_deleted", "users", "lock"])
    async def test_other_call_cancelled_at_each_await_changes_nothing(
        self, open_store: Callable[[], TokenStore], call: str
    ) -> None:
        """The lock is free afterwards."""
        store, other = open_store(), open_store()
        await store.save("a", token(1), replaces=None)
        for cancellation in at_each_await():
            if call == "lock":
                await cancellation.run(hold(store))
            elif call == "users":
                await cancellation.run(list_users(store))
            else:
                await cancellation.run(getattr(store, call)("a"))
            async with asyncio.timeout(SOON), other.lock("a"):
                assert await other.load("a") == token(1)
        assert not await other_tasks(self.client_packages)

    async def test_errors_logs_and_repr_show_no_secret(
        self, open_store: Callable[[], TokenStore], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Also not in what a debugger, a crash report or asyncio's debug mode shows."""
        caplog.set_level(logging.DEBUG)
        asyncio.get_running_loop().set_debug(True)
        store = open_store()
        texts: list[str] = []
        async with store.lock("a"):
            await store.save("a", token(2), replaces=None)
            await store.load("a")
            texts.append(repr(store))
            for rejected in (token(1), token(3, scope="\ud800" + CANARY), token(code="other", signed_in=-1)):
                texts += await error_texts(store.save("a", rejected, replaces=EPOCH))
        await store.delete("a")
        texts += await error_texts(store.save("a", token(3), replaces=EPOCH))
        texts += [repr(store), caplog.text, *(repr(vars(record)) for record in caplog.records)]
        assert not [text for text in texts if CANARY in text]

    async def test_pickling_the_store_raises_type_error(self, open_store: Callable[[], TokenStore]) -> None:
        """A cache, a queue or a crash report would otherwise keep its secrets."""
        with pytest.raises(TypeError):
            pickle.dumps(open_store())

    async def test_store_works_in_several_event_loops(self, open_store: Callable[[], TokenStore]) -> None:
        """One after the other (``asyncio.run`` twice), and at the same time (one loop in each thread)."""
        if not self.several_loops:
            pytest.skip("several_loops is False: a store object belongs to one event loop")
        store = open_store()

        async def use(key: str) -> None:
            async def visit(number: int) -> None:
                async with store.lock(key):
                    await store.save(key, token(number), replaces=EPOCH)

            for number in range(3):
                await asyncio.gather(*(visit(number) for _ in range(3)))

        for _ in range(2):
            await asyncio.to_thread(asyncio.run, use("a"))
            await store.delete("a")
            await store.erase("a")
        async with asyncio.timeout(2 * SOON):
            await asyncio.gather(*(asyncio.to_thread(asyncio.run, use(key)) for key in "abc"))
        assert [await store.load(key) for key in "abc"] == [token(2)] * 3

    async def test_hosts_with_different_clocks_agree_on_tokens_and_tombstones(
        self, open_store_at: Callable[[Clock], TokenStore]
    ) -> None:
        """Which save is accepted depends on what is stored, not on the clock of a host."""
        hours = (-30, 0, 30)
        clocks = [VirtualClock(SIGNED_IN_AT + timedelta(minutes=minutes), auto=False) for minutes in hours]
        for late in clocks:
            for early in clocks:
                one, other = open_store_at(late), open_store_at(early)
                await one.save("a", token(1), replaces=None)
                await other.save("a", token(2), replaces=EPOCH)
                with pytest.raises(StoreConflict):
                    await one.save("a", token(1), replaces=EPOCH)
                assert await one.load("a") == token(2)
                await one.delete("a")
                assert await other.is_deleted("a") is True
                with pytest.raises(StoreConflict):
                    await other.save("a", token(3), replaces=EPOCH)
                await other.save("a", token(1, code="next", signed_in=1), replaces=None)
                assert await one.load("a") == token(1, code="next", signed_in=1)
                await other.erase("a")

    async def test_broken_storage_raises_store_error_in_time_without_a_secret(
        self, open_broken_store: Callable[[], TokenStore], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Each method, also while the storage hangs."""
        caplog.set_level(logging.DEBUG)
        store = open_broken_store()
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "load": lambda: store.load("a"),
            "is_deleted": lambda: store.is_deleted("a"),
            "save": lambda: store.save("a", token(1), replaces=None),
            "delete": lambda: store.delete("a"),
            "users": lambda: list_users(store),
            "erase": lambda: store.erase("a"),
            "lock": lambda: hold(store),
        }
        for name, call in calls.items():
            begun = time.monotonic()
            with pytest.raises(StoreError) as caught:
                await call()
            assert not isinstance(caught.value, StoreConflict), name
            assert time.monotonic() - begun < self.time_limit, name
            assert caught.value.__context__ is None, "raise the error after the except block"
            texts = [*texts_of(caught.value), caplog.text]
            assert not [text for text in texts if CANARY in text], name
