"""Cancellation, secrets, event loops and failures of a `FlowStore`."""

from __future__ import annotations

import asyncio
import logging
import pickle
import time
from collections.abc import Callable

import pytest

from twilio_oauth_async.errors import StoreConflict, StoreError
from twilio_oauth_async.stores.base import FlowStore
from twilio_oauth_async.stores.testing.checks import at_each_await, error_texts, other_tasks, texts_of
from twilio_oauth_async.stores.testing.flow_calls import CALLS
from twilio_oauth_async.stores.testing.flow_records import create
from twilio_oauth_async.stores.testing.options import StoreContract
from twilio_oauth_async.stores.testing.values import CANARY, SOON, flow


class FlowSafetyTests(StoreContract):
    """What must be true when a call is cancelled, fails, or is made in another event loop."""

    @pytest.mark.parametrize("name", CALLS)
    async def test_call_cancelled_at_each_await_is_complete_or_without_effect(
        self, open_store: Callable[[], FlowStore], name: str
    ) -> None:
        """Never half a change, never a damaged neighbour, no task that is left."""
        store, other, call = open_store(), open_store(), CALLS[name]
        await create(store, flow("b"), owner="you")
        neighbour, found = await other.load("b"), None
        for cancellation in at_each_await():
            before = await call.prepare(other)
            await cancellation.run(call.on(store))
            found = await other.load(call.changes)
            assert found == before or call.is_complete(found)
            assert await other.load("b") == neighbour
        assert call.is_complete(found)
        assert not await other_tasks(self.client_packages)

    async def test_errors_logs_and_repr_show_no_secret(
        self, open_store: Callable[[], FlowStore], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Also not in what a debugger, a crash report or asyncio's debug mode shows."""
        caplog.set_level(logging.DEBUG)
        asyncio.get_running_loop().set_debug(True)
        store = open_store()
        texts: list[str] = []
        await create(store, flow())
        for rejected in (flow(), flow("b"), flow(owner="me", state="granted"), flow(owner="me", user_code="\ud800")):
            texts += await error_texts(store.save(rejected))
        for rejected in (flow(user="bob"), flow("b", user="\ud800" + CANARY), flow("c", device_code="\ud800" + CANARY)):
            texts += await error_texts(store.create(rejected, owner="me", seconds=60))
        for call in CALLS.values():
            texts += await error_texts(call.on(store))
        texts += [repr(store), caplog.text, *(repr(vars(record)) for record in caplog.records)]
        assert not [text for text in texts if CANARY in text]

    async def test_pickling_the_store_raises_type_error(self, open_store: Callable[[], FlowStore]) -> None:
        """A cache, a queue or a crash report would otherwise keep its secrets."""
        with pytest.raises(TypeError):
            pickle.dumps(open_store())

    async def test_store_works_in_several_event_loops(self, open_store: Callable[[], FlowStore]) -> None:
        """One after the other (``asyncio.run`` twice), and at the same time (one loop in each thread)."""
        if not self.several_loops:
            pytest.skip("several_loops is False: a store object belongs to one event loop")
        store = open_store()

        async def use(id_: str) -> None:
            await create(store, flow(id_))
            results = await asyncio.gather(*(store.lease([id_], "me", 60) for _ in range(3)))
            assert results == [{id_}] * 3
            assert await store.grant(id_, "me") is True
            assert await store.end(id_, "approved") is True

        for id_ in ("first", "second"):
            await asyncio.to_thread(asyncio.run, use(id_))
        async with asyncio.timeout(2 * SOON):
            await asyncio.gather(*(asyncio.to_thread(asyncio.run, use(id_)) for id_ in "abc"))
        states = [found.state for id_ in "abc" if (found := await store.load(id_))]
        assert states == ["approved"] * 3

    async def test_broken_storage_raises_store_error_in_time_without_a_secret(
        self, open_broken_store: Callable[[], FlowStore], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Each method, also while the storage hangs."""
        caplog.set_level(logging.DEBUG)
        store = open_broken_store()
        for name, call in CALLS.items():
            begun = time.monotonic()
            with pytest.raises(StoreError) as caught:
                await call.on(store)
            assert not isinstance(caught.value, StoreConflict), name
            assert time.monotonic() - begun < self.time_limit, name
            assert caught.value.__context__ is None, "raise the error after the except block"
            texts = [*texts_of(caught.value), caplog.text]
            assert not [text for text in texts if CANARY in text], name
