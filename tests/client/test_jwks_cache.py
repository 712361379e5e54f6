"""`JwksCache`: fetches, unknown keys and concurrent calls (rule 30 and fault 31, docs/reliability.md)."""

import asyncio

import pytest

from tests.helpers.key_server import DOWN, ES256, CacheSetup, certs
from twilio_oauth_async import IdTokenError
from twilio_oauth_async.client.jwks_cache import FRESH_FOR
from twilio_oauth_async.client.search_budget import SEARCH_BURST, SEARCH_GAP
from twilio_oauth_async.oidc.jwa import ALGORITHMS
from twilio_oauth_async.tasks import create_task


class TestFreshness:
    @pytest.mark.asyncio
    async def test_find_fetches_on_first_call_only(self):
        async with CacheSetup(certs("a")) as setup:
            assert setup.fetches == 0
            assert setup.cache.cached(ES256, "a") == ()
            first = await setup.find()
            for _ in range(10):
                assert await setup.find() is first
                assert setup.cache.cached(ES256, "a") is first
            assert setup.fetches == 1
            assert {request.target for request in setup.server.requests} == {"/v1/certs"}

    @pytest.mark.asyncio
    async def test_find_after_five_minutes_fetches_again(self):
        async with CacheSetup(certs("a"), certs("b")) as setup:
            await setup.find("a")
            setup.clock.advance(FRESH_FOR - 0.001)
            await setup.find("a")
            assert setup.fetches == 1
            setup.clock.advance(0.001)
            assert setup.cache.cached(ES256, "a") == ()
            assert not await setup.has("a")
            assert await setup.has("b")
            assert setup.fetches == 2

    @pytest.mark.asyncio
    async def test_find_after_wall_clock_jump_does_not_fetch(self):
        async with CacheSetup(certs("a")) as setup:
            await setup.find()
            for jump in (86_400, -2 * 86_400):
                setup.clock.shift_wall(jump)
                await setup.find()
            assert setup.fetches == 1


class TestUnknownKeys:
    """Rule 30 (docs/reliability.md)."""

    @pytest.mark.asyncio
    async def test_find_new_key_id_fetches_at_once(self):
        async with CacheSetup(certs("a"), certs("b", "a")) as setup:
            await setup.find("a")
            assert await setup.has("b")
            assert await setup.has("a")
            assert setup.fetches == 2

    @pytest.mark.asyncio
    async def test_find_unknown_key_id_on_first_call_fetches_only_once(self):
        async with CacheSetup(certs("a")) as setup:
            assert not await setup.has("unknown")
            assert setup.fetches == 1

    @pytest.mark.asyncio
    async def test_find_many_unknown_key_ids_limits_the_fetches(self):
        async with CacheSetup(certs("a")) as setup:
            await setup.find()
            for number in range(200):
                assert not await setup.has(f"random {number}")
            assert setup.fetches == 1 + SEARCH_BURST
            setup.clock.advance(SEARCH_GAP - 0.001)
            assert not await setup.has("random")
            assert setup.fetches == 1 + SEARCH_BURST
            setup.clock.advance(0.001)
            found = await asyncio.gather(*(setup.has(f"random {number}") for number in range(200)))
            assert not any(found)
            assert setup.fetches == 2 + SEARCH_BURST
            assert await setup.has("a")

    @pytest.mark.asyncio
    async def test_find_unknown_key_ids_for_an_hour_limits_the_fetches(self):
        async with CacheSetup(certs("a")) as setup:
            for number in range(3600):
                assert not await setup.has(f"random {number}")
                setup.clock.advance(1)
            # The fetches for unknown key IDs, and the regular ones.
            assert setup.fetches <= SEARCH_BURST + 3600 / SEARCH_GAP + 3600 / FRESH_FOR + 1

    @pytest.mark.asyncio
    async def test_57_find_new_key_id_after_invented_ones_fetches_at_once(self):
        async with CacheSetup(*[certs("a")] * SEARCH_BURST, certs("a", "new")) as setup:
            await setup.find()
            for number in range(SEARCH_BURST - 1):
                assert not await setup.has(f"random {number}")
            assert await setup.has("new")

    @pytest.mark.asyncio
    async def test_57_find_new_key_id_during_a_flood_of_invented_ones_waits_less_than_a_minute(self):
        """Each fetch returns all keys, so those that the invented key IDs cause find the new key as well."""
        async with CacheSetup(*[certs("a")] * (SEARCH_BURST + 1), certs("a", "new")) as setup:
            await setup.find()
            for number in range(200):
                assert not await setup.has(f"random {number}")
            assert not await setup.has("new")
            for number in range(round(SEARCH_GAP)):
                setup.clock.advance(1)
                assert not await setup.has(f"flood {number}")
            assert await setup.has("new")

    @pytest.mark.asyncio
    async def test_find_key_of_another_algorithm_raises(self):
        async with CacheSetup(certs("a")) as setup:
            await setup.find("a")
            with pytest.raises(IdTokenError) as caught:
                await setup.cache.find(ALGORITHMS["RS256"], "a")
            assert caught.value.claim == "kid"
            assert setup.fetches == 2


class TestConcurrentCalls:
    """One fetch at a time, shared by all calls that wait for it."""

    def delayed_setup(self):
        """Return a setup whose server does not respond before `gate` is set."""
        self.gate = asyncio.Event()

        async def respond_later(writer):
            await self.gate.wait()
            writer.write(certs("a"))

        return CacheSetup(respond_later)

    async def start_calls(self, setup, count):
        """Start `count` calls of `find` and return their tasks while the fetch is in progress."""
        tasks = [asyncio.create_task(setup.find()) for _ in range(count)]
        while not setup.fetches:
            await asyncio.sleep(0)
        return tasks

    @pytest.mark.asyncio
    async def test_find_concurrent_calls_share_one_fetch(self):
        async with self.delayed_setup() as setup:
            tasks = await self.start_calls(setup, 100)
            self.gate.set()
            assert len({id(keys) for keys in await asyncio.gather(*tasks)}) == 1
            assert setup.fetches == 1

    @pytest.mark.asyncio
    async def test_find_concurrent_calls_of_failed_fetch_raise_separate_errors(self):
        async with CacheSetup(DOWN) as setup:
            errors = await asyncio.gather(*(setup.find() for _ in range(100)), return_exceptions=True)
            assert {type(error).__name__ for error in errors} == {"ServerError"}
            assert len({id(error) for error in errors}) == 100
            assert {error.__context__ for error in errors} == {None}
            assert setup.fetches == 1

    @pytest.mark.asyncio
    @pytest.mark.parametrize("first", [True, False])
    async def test_find_cancelled_call_does_not_cancel_the_fetch_of_other_calls(self, first):
        async with self.delayed_setup() as setup:
            tasks = await self.start_calls(setup, 3)
            cancelled = tasks.pop(0 if first else 1)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            self.gate.set()
            assert all(await asyncio.gather(*tasks))
            assert setup.fetches == 1

    @pytest.mark.asyncio
    async def test_find_all_calls_cancelled_cancels_the_fetch(self):
        async with self.delayed_setup() as setup:
            tasks = await self.start_calls(setup, 3)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert all(task.cancelled() for task in tasks)
            # The fetch has ended with the last call. No close method is needed.
            assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "fetch certs"] == []
            assert setup.cache.cached(ES256, "a") == ()

    @pytest.mark.asyncio
    async def test_find_after_cancelled_fetch_starts_a_new_one(self):
        async with self.delayed_setup() as setup:
            [last] = await self.start_calls(setup, 1)
            last.cancel()
            # The new call starts in the iteration of the event loop in which the last call is cancelled. It must not
            # join the cancelled fetch.
            new = create_task(setup.find())
            self.gate.set()
            assert await new
            with pytest.raises(asyncio.CancelledError):
                await last
            assert setup.fetches == 2

    @pytest.mark.asyncio
    async def test_find_last_cancelled_call_waits_for_the_end_of_the_fetch(self):
        async with self.delayed_setup() as setup:
            ended = asyncio.Event()

            async def end_slowly(*_, timeout):
                try:
                    await asyncio.Event().wait()
                finally:
                    for _ in range(20):
                        await asyncio.sleep(0)
                    ended.set()

            setup.session.exchange = end_slowly
            last = asyncio.create_task(setup.find())
            for _ in range(5):
                await asyncio.sleep(0)
            last.cancel()
            with pytest.raises(asyncio.CancelledError):
                await last
            assert ended.is_set()

    def test_find_event_loop_ends_during_fetch_ends_calls_and_fetch(self):
        """`asyncio.run` cancels the remaining tasks: the calls and their fetch end without warnings."""
        tasks = []

        async def main():
            setup = self.delayed_setup()
            await setup.__aenter__()
            tasks.extend(await self.start_calls(setup, 2))
            tasks.append(next(task for task in asyncio.all_tasks() if task.get_name() == "fetch certs"))
            await setup.server.__aexit__()
            await setup.session.close()

        asyncio.run(main())
        assert [task.done() for task in tasks] == [True] * 3

    @pytest.mark.asyncio
    async def test_cache_repr_shows_server_and_number_of_keys(self):
        async with CacheSetup(certs("a", "b")) as setup:
            await setup.find()
            assert repr(setup.cache) == f"<JwksCache {setup.server.base_url}, 2 keys>"
