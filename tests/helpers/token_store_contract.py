"""The contract of a `TokenStore`."""

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

from tests.helpers.interrupting import interrupt, others
from tests.helpers.stored_values import CANARY, NOW, stored, told_by
from twilio_oauth_async import ConfigurationError, StoreConflict, Token
from twilio_oauth_async.stores.base import StoredToken

SOON = 10
"""Seconds: what does not happen within them does not happen."""

KEYS = [
    "a", "A", "á", "a\u0301", "a/b", "a\\b", "..", ".", "../../etc/passwd", " ", "a b", "a\tb", "\0", "~", "*", "con",
    "{a}", "}", "{}", "a:b", "a%2Fb", "=a", "\N{GRINNING FACE}", "x" * 5000, "x" * 5001, "null", "-1", "'\"", "\u202e",
]  # fmt: skip
"""Each of them is a key of its own."""

NO_KEYS = ["", None, 1, b"a", "\ud800"]


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
    """Subclass it, and give `open_store`."""

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def open_store(self):
        raise NotImplementedError("give a fixture open_store: a function that opens the storage of this test")

    async def test_where_nothing_is(self, open_store):
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
        ids=["full", "unanswered", "sparse", "long", "elsewhere", "odd"],
    )
    async def test_what_was_saved_comes_back_also_through_another_object(self, open_store, value):
        store = open_store()
        await store.save("a", value)
        assert await store.load("a") == value
        assert await open_store().load("a") == value

    async def test_an_older_generation_never_takes_the_place_of_a_newer_one(self, open_store):
        one, other = open_store(), open_store()
        await one.save("a", stored(2))
        with pytest.raises(StoreConflict) as caught:
            await other.save("a", stored(1))
        assert caught.value.__context__ is None
        assert CANARY not in str(caught.value)
        assert await one.load("a") == stored(2)
        await other.save("a", stored(3))
        assert await one.load("a") == stored(3)

    async def test_unanswered_is_raised_and_taken_back_within_a_generation(self, open_store):
        store = open_store()
        for unanswered in (0, 1, 2, 0):
            await store.save("a", stored(5, unanswered=unanswered))
            assert await open_store().load("a") == stored(5, unanswered=unanswered)

    async def test_after_a_deletion_any_generation_is_new(self, open_store):
        store = open_store()
        await store.save("a", stored(7))
        await open_store().delete("a")
        assert await store.load("a") is None
        await store.save("a", stored(1))
        assert await store.load("a") == stored(1)

    async def test_every_key_is_its_own(self, open_store):
        store = open_store()
        for number, key in enumerate(KEYS):
            async with store.lock(key):
                await store.save(key, stored(number))
        other = open_store()
        assert [await other.load(key) for key in KEYS] == [stored(number) for number in range(len(KEYS))]
        await other.delete(KEYS[0])
        assert [await store.load(key) for key in KEYS[:2]] == [None, stored(1)]

    @pytest.mark.parametrize("key", NO_KEYS, ids=repr)
    async def test_what_is_no_key(self, open_store, key):
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

    async def test_the_lock_lets_one_in_at_a_time(self, open_store):
        stores, inside, most = [open_store(), open_store()], 0, 0

        async def visit(number):
            nonlocal inside, most
            async with stores[number % 2].lock("a"):
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.002)
                inside -= 1

        async with asyncio.timeout(SOON):
            await asyncio.gather(*(visit(number) for number in range(12)))
        assert most == 1

    async def test_a_held_lock_hinders_no_other_key_and_no_reading_or_saving(self, open_store):
        store, other = open_store(), open_store()
        async with asyncio.timeout(SOON), store.lock("a"):
            await store.save("a", stored(1))
            await other.save("b", stored(1))
            assert await other.load("a") == stored(1)
            async with other.lock("b"), store.lock("c"):
                await other.delete("b")
            await store.save("a", stored(2))

    async def test_a_failure_inside_releases_the_lock(self, open_store):
        store = open_store()
        with pytest.raises(ZeroDivisionError):
            async with store.lock("a"):
                raise ZeroDivisionError
        async with asyncio.timeout(SOON), open_store().lock("a"):
            pass

    async def test_a_cancelled_holder_or_waiter_leaves_no_lock_behind(self, open_store):
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
        assert not await others()

    async def test_nothing_is_lost_between_reading_and_saving_under_the_lock(self, open_store):
        stores = [open_store(), open_store()]

        async def count(number):
            for _ in range(4):
                async with stores[number % 2].lock("a"):
                    before = await stores[number % 2].load("a")
                    await stores[number % 2].save("a", stored(1 if before is None else before.generation + 1))

        async with asyncio.timeout(2 * SOON):
            await asyncio.gather(*(count(number) for number in range(5)))
        assert (await stores[0].load("a")).generation == 20

    async def test_of_many_saves_at_once_the_newest_stays(self, open_store):
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
    async def test_two_objects_are_one_store(self, open_store, operations):
        """Whatever is done through either of them, both show what a dict would."""
        stores, model, case = [open_store(), open_store()], {}, secrets.token_hex(8)
        for operation, who, name, generation, unanswered in operations:
            store, key = stores[who], f"{case}{name}"
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

    async def test_cancelled_at_each_await_a_save_is_whole_or_not_at_all(self, open_store):
        store, other = open_store(), open_store()
        await store.save("b", stored(1))
        number, going = 0, True
        while going:
            number += 1
            going = await interrupt(store.save("a", stored(number)), number)
            present = await other.load("a")
            assert present is None or present == stored(present.generation)
            assert present is None or present.generation <= number
            assert await other.load("b") == stored(1)
        assert await store.load("a") == stored(number)
        assert not await others()

    async def test_cancelled_at_each_await_nothing_else_suffers(self, open_store):
        store, other = open_store(), open_store()

        async def hold():
            async with store.lock("a"):
                await asyncio.sleep(0)

        for call in (lambda: store.load("a"), lambda: store.delete("b"), hold):
            number, going = 0, True
            while going:
                number += 1
                await store.save("a", stored(1))
                await store.save("b", stored(1))
                going = await interrupt(call(), number)
                async with asyncio.timeout(SOON), other.lock("a"):
                    assert await other.load("a") == stored(1)
        assert not await others()

    async def test_no_secret_is_told(self, open_store, caplog):
        caplog.set_level(logging.DEBUG)
        asyncio.get_running_loop().set_debug(True)
        store = open_store()
        told = []
        async with store.lock("a"):
            await store.save("a", stored(2))
            await store.load("a")
            told.append(repr(store))
            for bad in (stored(1), stored(3, scope="\ud800" + CANARY)):
                told += await told_by(store.save("a", bad))
        await store.delete("a")
        told += [repr(store), caplog.text, *(repr(vars(record)) for record in caplog.records)]
        assert not [text for text in told if CANARY in text]
        with pytest.raises(TypeError):
            pickle.dumps(store)
