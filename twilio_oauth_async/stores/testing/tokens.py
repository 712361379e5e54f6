"""`TokenStoreContract`: what every `TokenStore` must do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.stores.base import TokenStore
from twilio_oauth_async.stores.memory import MemoryTokenStore
from twilio_oauth_async.stores.records import TokenKey, epoch_of
from twilio_oauth_async.stores.testing.model import ModelTests, Step, outcome_of
from twilio_oauth_async.stores.testing.token_locks import TokenLockTests
from twilio_oauth_async.stores.testing.token_records import TokenRecordTests
from twilio_oauth_async.stores.testing.token_rules import TokenRuleTests
from twilio_oauth_async.stores.testing.token_safety import TokenSafetyTests
from twilio_oauth_async.stores.testing.values import SIGNED_IN_AT, token


class TokenStoreContract(TokenRuleTests, TokenRecordTests, TokenLockTests, TokenSafetyTests, ModelTests):
    """The tests of a `TokenStore`. A subclass whose name begins with ``Test`` defines the fixture `open_store`.

    ::

        class TestMyTokenStore(TokenStoreContract):
            @pytest.fixture
            def open_store(self, tmp_path, clock):
                return lambda: MyTokenStore(tmp_path / "tokens.db", clock=clock)

    Further fixtures and attributes are those of `StoreContract`. They have defaults: a test that needs a missing
    fixture is skipped, and the reason names the fixture.
    """

    async def test_random_calls_through_two_objects_match_the_memory_store(
        self, open_store: Callable[[], TokenStore], clock: VirtualClock, advance: Callable[[float], Awaitable[Any]]
    ) -> None:
        """Sequences that no other test makes: saves, deletions and erasures of two users and two clients."""
        stores = [open_store(), open_store()]

        async def check(case: str, steps: Sequence[Step]) -> None:
            model = MemoryTokenStore(clock=self.model_clock(clock))
            for step in steps:
                user = case + step["user"]
                key, number = TokenKey(user, step["client"]), int(step["store"])
                store, other = stores[number], stores[1 - number]
                call, signed_in = step["call"], (clock.now() - SIGNED_IN_AT + step["signed_in"]).total_seconds()
                if call == "save":
                    new = token(step["generation"], step["unanswered"], code=step["code"], signed_in=signed_in)
                    expected = await outcome_of(model.save(key, new, replaces=step["replaces"]))
                    assert await outcome_of(store.save(key, new, replaces=step["replaces"])) == expected
                elif call == "rotate":
                    async with store.lock(key):
                        if (present := await store.load(key)) is not None:
                            new = token(present.generation + 1, epoch=present.epoch, signed_in_at=present.signed_in_at)
                            await store.save(key, new, replaces=present.epoch)
                            await model.save(key, new, replaces=present.epoch)
                elif call == "wait":
                    await advance(step["days"] * 86_400)
                elif call == "erase":
                    await store.erase(user)
                    await model.erase(user)
                elif not self.own_clock or await model.load(key) is not None or await model.is_deleted(key):
                    # What is deleted without a token depends on the time, which the memory store does not know then.
                    await store.delete(key)
                    await model.delete(key)
                assert await other.load(key) == await model.load(key)
                assert await other.is_deleted(key) == await model.is_deleted(key)
            users = sorted([user async for user in stores[0].users() if user.startswith(case)])
            assert users == sorted([user async for user in model.users()])
            for step in steps:
                await stores[0].erase(case + step["user"])

        epochs = [epoch_of(code) for code in "abc"]
        await self.run_examples(
            check,
            call=["save", "save", "save", "delete", "erase", "rotate", *(["wait"] if not self.own_clock else [])],
            store=[0, 1],
            user=["a", "ä/{}"],
            client=["", "OQ1"],
            code=["a", "b", "c"],
            replaces=[None, *epochs],
            generation=[0, 1, 2],
            unanswered=[0, 1],
            signed_in=[timedelta(hours=hours) for hours in (-1, 0, 1)],
            days=[1, 29, 30, 400],
        )
