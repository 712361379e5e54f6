"""The issuer's keys over time (rule 30, fault 31)."""

import asyncio

import pytest

from tests.helpers.key_server import DOWN, ES256, Scene, certs
from twilio_oauth_async import IdTokenError
from twilio_oauth_async.client.jwks_cache import FRESH_FOR, SEARCH_GAP
from twilio_oauth_async.oidc.jwa import ALGORITHMS


class TestFreshness:
    @pytest.mark.asyncio
    async def test_nothing_is_fetched_before_it_is_needed_and_then_once(self):
        async with Scene(certs("a")) as scene:
            assert scene.fetches == 0
            assert scene.keys.at_hand(ES256, "a") == ()
            first = await scene.find()
            for _ in range(10):
                assert await scene.find() is first
                assert scene.keys.at_hand(ES256, "a") is first
            assert scene.fetches == 1
            assert {request.target for request in scene.server.requests} == {"/v1/certs"}

    @pytest.mark.asyncio
    async def test_after_five_minutes_they_are_fetched_anew(self):
        async with Scene(certs("a"), certs("b")) as scene:
            await scene.find("a")
            scene.clock.advance(FRESH_FOR - 0.001)
            await scene.find("a")
            assert scene.fetches == 1
            scene.clock.advance(0.001)
            assert scene.keys.at_hand(ES256, "a") == ()
            assert not await scene.has("a")
            assert await scene.has("b")
            assert scene.fetches == 2

    @pytest.mark.asyncio
    async def test_time_is_the_monotonic_side_of_the_clock(self):
        async with Scene(certs("a")) as scene:
            await scene.find()
            for jump in (86_400, -2 * 86_400):
                scene.clock.shift_wall(jump)
                await scene.find()
            assert scene.fetches == 1


class TestUnknownKeys:
    """Rule 30."""

    @pytest.mark.asyncio
    async def test_a_new_key_is_found_at_once(self):
        async with Scene(certs("a"), certs("b", "a")) as scene:
            await scene.find("a")
            assert await scene.has("b")
            assert await scene.has("a")
            assert scene.fetches == 2

    @pytest.mark.asyncio
    async def test_the_first_fetch_answers_for_the_call_that_started_it(self):
        async with Scene(certs("a")) as scene:
            assert not await scene.has("unknown")
            assert scene.fetches == 1

    @pytest.mark.asyncio
    async def test_a_storm_of_random_key_ids_is_one_fetch_a_minute(self):
        async with Scene(certs("a")) as scene:
            await scene.find()
            for number in range(200):
                assert not await scene.has(f"random {number}")
            assert scene.fetches == 2
            scene.clock.advance(SEARCH_GAP - 0.001)
            assert not await scene.has("random")
            assert scene.fetches == 2
            scene.clock.advance(0.001)
            found = await asyncio.gather(*(scene.has(f"random {number}") for number in range(200)))
            assert not any(found)
            assert scene.fetches == 3
            assert await scene.has("a")

    @pytest.mark.asyncio
    async def test_in_an_hour_of_storm(self):
        async with Scene(certs("a")) as scene:
            for number in range(3600):
                assert not await scene.has(f"random {number}")
                scene.clock.advance(1)
            # One a minute for the unknown ones, and those that would have been made anyway.
            assert scene.fetches <= 3600 / SEARCH_GAP + 3600 / FRESH_FOR + 1

    @pytest.mark.asyncio
    async def test_a_key_of_another_algorithm_is_unknown(self):
        async with Scene(certs("a")) as scene:
            await scene.find("a")
            with pytest.raises(IdTokenError) as caught:
                await scene.keys.find(ALGORITHMS["RS256"], "a")
            assert caught.value.claim == "kid"
            assert scene.fetches == 2


class TestSharing:
    """One fetch at a time, for everybody who waits."""

    def scene(self):
        self.gate = asyncio.Event()

        async def late(writer):
            await self.gate.wait()
            writer.write(certs("a"))

        return Scene(late)

    async def waiters(self, scene, count):
        tasks = [asyncio.create_task(scene.find()) for _ in range(count)]
        while not scene.fetches:
            await asyncio.sleep(0)
        return tasks

    @pytest.mark.asyncio
    async def test_a_hundred_calls_are_one_fetch(self):
        async with self.scene() as scene:
            tasks = await self.waiters(scene, 100)
            self.gate.set()
            assert len({id(keys) for keys in await asyncio.gather(*tasks)}) == 1
            assert scene.fetches == 1

    @pytest.mark.asyncio
    async def test_a_hundred_calls_fail_with_one_fetch_and_an_error_each(self):
        async with Scene(DOWN) as scene:
            errors = await asyncio.gather(*(scene.find() for _ in range(100)), return_exceptions=True)
            assert {type(error).__name__ for error in errors} == {"ServerError"}
            assert len({id(error) for error in errors}) == 100
            assert {error.__context__ for error in errors} == {None}
            assert scene.fetches == 1

    @pytest.mark.asyncio
    @pytest.mark.parametrize("first", [True, False])
    async def test_a_cancelled_waiter_does_not_take_it_from_the_others(self, first):
        async with self.scene() as scene:
            tasks = await self.waiters(scene, 3)
            gone = tasks.pop(0 if first else 1)
            gone.cancel()
            with pytest.raises(asyncio.CancelledError):
                await gone
            self.gate.set()
            assert all(await asyncio.gather(*tasks))
            assert scene.fetches == 1

    @pytest.mark.asyncio
    async def test_the_last_one_to_leave_ends_it(self):
        async with self.scene() as scene:
            tasks = await self.waiters(scene, 3)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert all(task.cancelled() for task in tasks)
            # The request is over together with the last call, and nothing has to be closed.
            assert [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "fetch certs"] == []
            assert scene.keys.at_hand(ES256, "a") == ()

    @pytest.mark.asyncio
    async def test_who_comes_when_all_have_left_starts_anew(self):
        async with self.scene() as scene:
            [last] = await self.waiters(scene, 1)
            last.cancel()
            # It comes in the turn of the loop in which the last one leaves: what is being cancelled is not for it.
            late = asyncio.create_task(scene.find())
            self.gate.set()
            assert await late
            with pytest.raises(asyncio.CancelledError):
                await last
            assert scene.fetches == 2

    @pytest.mark.asyncio
    async def test_the_last_one_sees_it_end(self):
        async with self.scene() as scene:
            ended = asyncio.Event()

            async def slow_to_leave(*_, timeout):
                try:
                    await asyncio.Event().wait()
                finally:
                    for _ in range(20):
                        await asyncio.sleep(0)
                    ended.set()

            scene.session.exchange = slow_to_leave
            last = asyncio.create_task(scene.find())
            for _ in range(5):
                await asyncio.sleep(0)
            last.cancel()
            with pytest.raises(asyncio.CancelledError):
                await last
            assert ended.is_set()

    def test_a_loop_that_ends_in_the_middle(self):
        """`asyncio.run` cancels what is left: the waiters and their fetch end, and none of them complains."""
        kept = []

        async def begin():
            scene = self.scene()
            await scene.__aenter__()
            kept.extend(await self.waiters(scene, 2))
            kept.append(next(task for task in asyncio.all_tasks() if task.get_name() == "fetch certs"))
            await scene.server.__aexit__()
            await scene.session.close()

        asyncio.run(begin())
        assert [task.done() for task in kept] == [True] * 3

    @pytest.mark.asyncio
    async def test_it_shows_nothing_but_where_and_how_many(self):
        async with Scene(certs("a", "b")) as scene:
            await scene.find()
            assert repr(scene.keys) == f"<KeySet {scene.server.base_url}, 2 keys>"
