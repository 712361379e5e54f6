"""The contract of a `TokenStore`; see store_contract.py."""

import asyncio
import logging
import pickle
import random
import secrets
from datetime import timedelta, timezone

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.helpers.cancellation import at_each_await
from tests.helpers.event_loop import other_tasks
from tests.helpers.secrecy import error_texts
from tests.helpers.stored_values import CANARY, NOW, stored
from twilio_oauth_async import ConfigurationError, StoreConflict, Token
from twilio_oauth_async.stores.base import StoredToken

SOON = 10
"""Seconds after which a test takes what it waits for as something that never happens."""

KEYS = [
    "a", "A", "á", "a\u0301", "a/b", "a\\b", "..", ".", "../../etc/passwd", " ", "a b", "a\tb", "\0", "~", "*", "con",
    "{a}", "}", "{}", "a:b", "a%2Fb", "=a", "\N{GRINNING FACE}", "x" * 5000, "x" * 5001, "null", "-1", "'\"", "\u202e",
]  # fmt: skip
"""Valid keys; all of them are different."""

INVALID_KEYS = ["", None, 1, b"a", "\ud800"]


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["save", "save", "load", "delete", "rotate"]),
        st.integers(0, 1),
        st.sampled_from(["a", "ä/{}"]),
        st.integers(0, 3),
        st.integers(0, 2),
    ),
    max_size=12,
)


class TokenStoreContract:
    """Subclass it and give `open_store`."""

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def open_store(self):
        raise NotImplementedError("define a fixture open_store: a function that opens the storage of this test")

    async def test_load_and_delete_of_a_missing_key_do_nothing(self, open_store):
        store = open_store()
        assert await store.load("a") is None
        await store.delete("a")
        assert await store.load("a") is None

    @pytest.mark.parametrize(
        "value",
        [
            stored(),
            stored(unanswered=2),
            StoredToken(token=Token(access_token="x"), generation=0, obtained_at=NOW),
            StoredToken(token=Token(access_token="x" * 65_536), generation=10**12, obtained_at=NOW),
            attrs.evolve(stored(), obtained_at=NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))),
            stored(scope="ä \N{GRINNING FACE} \\ \" ' \x7f"),
        ],
        ids=["full", "unanswered", "sparse", "long", "time zone", "special characters"],
    )
    async def test_saved_token_is_loaded_unchanged_also_by_another_object(self, open_store, value):
        store = open_store()
        await store.save("a", value)
        assert await store.load("a") == value
        assert await open_store().load("a") == value

    async def test_save_of_an_older_generation_raises_conflict(self, open_store):
        one, other = open_store(), open_store()
        await one.save("a", stored(2))
        with pytest.raises(StoreConflict) as caught:
            await other.save("a", stored(1))
        assert caught.value.__context__ is None
        assert CANARY not in str(caught.value)
        assert await one.load("a") == stored(2)
        await other.save("a", stored(3))
        assert await one.load("a") == stored(3)

    async def test_save_of_the_same_generation_replaces_unanswered(self, open_store):
        store = open_store()
        for unanswered in (0, 1, 2, 0):
            await store.save("a", stored(5, unanswered=unanswered))
            assert await open_store().load("a") == stored(5, unanswered=unanswered)

    async def test_save_after_delete_accepts_any_generation(self, open_store):
        store = open_store()
        await store.save("a", stored(7))
        await open_store().delete("a")
        assert await store.load("a") is None
        await store.save("a", stored(1))
        assert await store.load("a") == stored(1)

    async def test_keys_that_look_alike_are_different_keys(self, open_store):
        store = open_store()
        for number, key in enumerate(KEYS):
            async with store.lock(key):
                await store.save(key, stored(number))
        other = open_store()
        assert [await other.load(key) for key in KEYS] == [stored(number) for number in range(len(KEYS))]
        await other.delete(KEYS[0])
        assert [await store.load(key) for key in KEYS[:2]] == [None, stored(1)]

    @pytest.mark.parametrize("key", INVALID_KEYS, ids=repr)
    async def test_invalid_key_raises_configuration_error(self, open_store, key):
        store = open_store()
        with pytest.raises(ConfigurationError):
            await store.load(key)
        with pytest.raises(ConfigurationError):
            await store.save(key, stored())
        with pytest.raises(ConfigurationError):
            await store.delete(key)
        with pytest.raises(ConfigurationError):
            async with store.lock(key):
                pass

    async def test_lock_has_one_holder_at_a_time(self, open_store):
        stores, holders, most = [open_store(), open_store()], 0, 0

        async def visit(number):
            nonlocal holders, most
            async with stores[number % 2].lock("a"):
                holders += 1
                most = max(most, holders)
                await asyncio.sleep(0.002)
                holders -= 1

        async with asyncio.timeout(SOON):
            await asyncio.gather(*(visit(number) for number in range(12)))
        assert most == 1

    async def test_held_lock_blocks_neither_other_keys_nor_load_and_save(self, open_store):
        store, other = open_store(), open_store()
        async with asyncio.timeout(SOON), store.lock("a"):
            await store.save("a", stored(1))
            await other.save("b", stored(1))
            assert await other.load("a") == stored(1)
            async with other.lock("b"), store.lock("c"):
                await other.delete("b")
            await store.save("a", stored(2))

    async def test_exception_inside_lock_releases_it(self, open_store):
        store = open_store()
        with pytest.raises(ZeroDivisionError):
            async with store.lock("a"):
                raise ZeroDivisionError
        async with asyncio.timeout(SOON), open_store().lock("a"):
            pass

    async def test_cancelled_holder_or_waiter_releases_the_lock(self, open_store):
        store, other, entered = open_store(), open_store(), asyncio.Event()

        async def hold(which):
            async with which.lock("a"):
                entered.set()
                await asyncio.Event().wait()

        holder = asyncio.create_task(hold(store))
        await entered.wait()
        waiters = [asyncio.create_task(hold(which)) for which in (store, other, other)]
        await asyncio.sleep(0.03)
        for task in (*waiters, holder):
            task.cancel()
        assert all(
            isinstance(outcome, asyncio.CancelledError)
            for outcome in await asyncio.gather(holder, *waiters, return_exceptions=True)
        )
        for which in (store, other):
            async with asyncio.timeout(SOON), which.lock("a"):
                pass
        assert not await other_tasks()

    async def test_concurrent_updates_under_the_lock_lose_nothing(self, open_store):
        stores = [open_store(), open_store()]

        async def count(number):
            for _ in range(4):
                async with stores[number % 2].lock("a"):
                    before = await stores[number % 2].load("a")
                    await stores[number % 2].save("a", stored(1 if before is None else before.generation + 1))

        async with asyncio.timeout(2 * SOON):
            await asyncio.gather(*(count(number) for number in range(5)))
        assert (await stores[0].load("a")).generation == 20

    async def test_concurrent_saves_keep_the_newest_generation(self, open_store):
        generations = random.sample(range(20), 20)
        stores = [open_store(), open_store()]
        outcomes = await asyncio.gather(
            *(stores[g % 2].save("a", stored(g)) for g in generations),
            *(stores[g % 2].save("b", stored(g)) for g in generations),
            return_exceptions=True,
        )
        assert {type(outcome) for outcome in outcomes} <= {type(None), StoreConflict}
        assert [(await stores[0].load(key)).generation for key in "ab"] == [19, 19]

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(operations=OPERATIONS)
    async def test_random_operations_through_two_objects_match_a_dict(self, open_store, operations):
        stores, model, case = [open_store(), open_store()], {}, secrets.token_hex(8)
        for operation, number, name, generation, unanswered in operations:
            store, key = stores[number], f"{case}{name}"
            present = model.get(key)
            if operation == "load":
                assert await store.load(key) == present
            elif operation == "delete":
                await store.delete(key)
                model.pop(key, None)
            elif operation == "rotate":
                new = stored(1 + (present.generation if present is not None else 0))
                async with store.lock(key):
                    assert await store.load(key) == present
                    await store.save(key, new)
                model[key] = new
            elif present is not None and present.generation > generation:
                with pytest.raises(StoreConflict):
                    await store.save(key, stored(generation, unanswered))
            else:
                await store.save(key, stored(generation, unanswered))
                model[key] = stored(generation, unanswered)
        for key in {f"{case}{name}" for _, _, name, _, _ in operations}:
            assert await stores[0].load(key) == await stores[1].load(key) == model.get(key)

    async def test_save_cancelled_at_each_await_is_complete_or_absent(self, open_store):
        store, other = open_store(), open_store()
        await store.save("b", stored(1))
        for cancellation in at_each_await():
            await cancellation.run(store.save("a", stored(cancellation.number)))
            present = await other.load("a")
            assert present is None or present == stored(present.generation)
            assert present is None or present.generation <= cancellation.number
            assert await other.load("b") == stored(1)
        assert await store.load("a") == stored(cancellation.number)
        assert not await other_tasks()

    async def test_other_calls_cancelled_at_each_await_change_nothing_else(self, open_store):
        store, other = open_store(), open_store()

        async def hold():
            async with store.lock("a"):
                await asyncio.sleep(0)

        for call in (lambda: store.load("a"), lambda: store.delete("b"), hold):
            for cancellation in at_each_await():
                await store.save("a", stored(1))
                await store.save("b", stored(1))
                await cancellation.run(call())
                async with asyncio.timeout(SOON), other.lock("a"):
                    assert await other.load("a") == stored(1)
        assert not await other_tasks()

    async def test_errors_logs_and_repr_show_no_secret(self, open_store, caplog):
        caplog.set_level(logging.DEBUG)
        asyncio.get_running_loop().set_debug(True)
        store = open_store()
        texts = []
        async with store.lock("a"):
            await store.save("a", stored(2))
            await store.load("a")
            texts.append(repr(store))
            for rejected in (stored(1), stored(3, scope="\ud800" + CANARY)):
                texts += await error_texts(store.save("a", rejected))
        await store.delete("a")
        texts += [repr(store), caplog.text, *(repr(vars(record)) for record in caplog.records)]
        assert not [text for text in texts if CANARY in text]
        with pytest.raises(TypeError):
            pickle.dumps(store)
