"""Several processes on one storage: how the suites start them, and the tests of a `TokenStore`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from twilio_oauth_async.errors import StoreConflict, TwilioOAuthError
from twilio_oauth_async.stores.base import TokenStore
from twilio_oauth_async.stores.testing.options import StoreContract
from twilio_oauth_async.stores.testing.values import SOON, token
from twilio_oauth_async.stores.testing.worker import from_line, to_line

EPOCH = token().epoch


class Worker:
    """Another process on the storage."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """`process` runs worker.py."""
        self.process = process

    async def call(self, command: str, *arguments: object, **options: object) -> Any:
        """Call the method `command` of the store in this process, and return its result.

        Raises:
            TwilioOAuthError: the call raised it.
        """
        self.send(command, *arguments, **options)
        return await self.result()

    def send(self, command: str, *arguments: object, **options: object) -> None:
        """Send a call without waiting for its result."""
        assert self.process.stdin is not None
        self.process.stdin.write(to_line({"command": command, "arguments": arguments, "options": options}))

    async def result(self) -> Any:
        """Return the result of the call that was sent."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        async with asyncio.timeout(3 * SOON):
            line = await self.process.stdout.readline()
        assert line, (await self.process.stderr.read()).decode()
        result = from_line(line)
        if isinstance(result, TwilioOAuthError):
            raise result
        return result

    async def kill(self) -> None:
        """End the process with ``kill -9``."""
        self.process.kill()
        await self.process.wait()


@contextlib.asynccontextmanager
async def workers_on(
    recipe: str, count: int = 1, mode: Literal["calls", "kills"] = "calls"
) -> AsyncGenerator[list[Worker]]:
    """Start `count` workers at the same time, and end them afterwards."""
    # A process that is killed would leave damaged data of a coverage measurement. Its modules are those of the test.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    environment["PYTHONPATH"] = os.pathsep.join(path or "." for path in sys.path)
    script = Path(__file__).with_name("worker.py")
    processes = await asyncio.gather(
        *(
            asyncio.create_subprocess_exec(
                sys.executable, "-P", script, mode, recipe, stdin=-1, stdout=-1, stderr=-1, limit=1 << 20,
                env=environment,
            )
            for _ in range(count)
        )
    )  # fmt: skip
    try:
        yield [Worker(process) for process in processes]
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


class SharedStoreContract(StoreContract):
    """Base class of the tests with several processes. A subclass defines `recipe` beside `open_store`."""

    kill_rounds = 24
    """How many times each call is killed at one of its steps; the steps are spread over the call."""

    @pytest.fixture
    def recipe(self) -> str:
        """Python source that another process runs to open the same storage.

        It defines ``open_store()``, a function or a coroutine function, which returns the store. The process uses the
        clock of the system.
        """
        pytest.skip("no fixture recipe: Python source with which another process opens the storage")

    async def killed_at_steps(
        self, killer: Worker, command: str, arguments: Callable[[], tuple[object, ...]], **options: object
    ) -> AsyncGenerator[bool]:
        """Make a call again and again, killed at one step after the other; yield whether it was finished."""
        steps: int = await killer.call("at_step", 0, command, arguments(), options)
        yield True
        for kill_at in spread(steps, self.kill_rounds):
            yield await killer.call("at_step", kill_at, command, arguments(), options) is not None


def spread(steps: int, count: int) -> Iterator[int]:
    """Return up to `count` numbers from 1 to `steps`, both included, evenly spread."""
    assert steps > 1, "the call has no step at which it can be killed"
    return iter(sorted({1 + round(number * (steps - 1) / (count - 1)) for number in range(count)}))


needs_fork: pytest.MarkDecorator = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


class SharedTokenStoreContract(SharedStoreContract):
    """The tests of a `TokenStore` that several processes share. Subclass it beside `TokenStoreContract`."""

    async def test_processes_see_each_other_s_changes(self, open_store: Callable[[], TokenStore], recipe: str) -> None:
        """Saves, conflicts, tombstones, users, erasures."""
        store = open_store()
        await store.save("a", token(1), replaces=None)
        async with workers_on(recipe, 2) as [one, two]:
            assert await one.call("load", "a") == token(1)
            await one.call("save", "a", token(2), replaces=EPOCH)
            assert await store.load("a") == await two.call("load", "a") == token(2)
            await store.save("a", token(4), replaces=EPOCH)
            with pytest.raises(StoreConflict):
                await one.call("save", "a", token(3), replaces=EPOCH)
            assert await one.call("users") == ["a"]
            await one.call("delete", "a")
            assert await store.load("a") is None
            assert await two.call("is_deleted", "a") is True
            with pytest.raises(StoreConflict):
                await two.call("save", "a", token(5), replaces=EPOCH)
            await two.call("save", "a", token(1, code="next", signed_in=60), replaces=None)
            assert await store.load("a") == await one.call("load", "a") == token(1, code="next", signed_in=60)
            await one.call("erase", "a")
            assert await store.load("a") is await two.call("load", "a") is None
            assert await two.call("users") == []

    async def test_lock_excludes_other_processes_and_kill_9_releases_it(
        self, open_store: Callable[[], TokenStore], recipe: str
    ) -> None:
        """A process that is killed in a refresh must not stop all others."""
        store = open_store()
        async with workers_on(recipe) as [worker]:
            await worker.call("hold", "a")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.15), store.lock("a"):
                    pytest.fail("the lock has two holders")
            async with asyncio.timeout(SOON), store.lock("b"):  # another key
                pass
            await worker.call("free")
            async with asyncio.timeout(SOON), store.lock("a"):
                worker.send("hold", "a")
                waiting = asyncio.create_task(worker.result())
                await asyncio.wait([waiting], timeout=0.15)
                assert not waiting.done(), "the lock has two holders"
            await waiting
            await worker.kill()
            async with asyncio.timeout(SOON), store.lock("a"):
                pass

    async def test_concurrent_rotations_in_processes_lose_nothing_also_if_one_is_killed(
        self, open_store: Callable[[], TokenStore], recipe: str
    ) -> None:
        """No generation is saved twice; the others go on when one process is killed."""
        store = open_store()
        async with workers_on(recipe, 3) as workers:
            rotated: list[list[int]] = await asyncio.gather(
                *(worker.call("rotate", "a", token(1), 8) for worker in workers)
            )
            assert sorted(itertools.chain(*rotated)) == list(range(1, 25))
            found = await store.load("a")
            assert found is not None
            assert found.generation == 24
            for worker in workers:
                worker.send("rotate", "a", token(1), 8)
            await asyncio.sleep(0.02)
            await workers[0].kill()
            rotated = await asyncio.gather(*(worker.result() for worker in workers[1:]))
        generations = sorted(itertools.chain(*rotated))
        assert len(set(generations)) == 16
        found = await store.load("a")
        assert found is not None
        assert 24 + 16 <= found.generation <= 24 + 24
        assert generations[-1] <= found.generation

    async def test_concurrent_sign_ins_in_processes_store_one_and_refuse_the_others(
        self, open_store: Callable[[], TokenStore], recipe: str
    ) -> None:
        """None has seen the token of another one."""
        store = open_store()
        async with workers_on(recipe, 3) as workers:
            for key in ("a", "b", "c"):
                outcomes = await asyncio.gather(
                    *(worker.call("save", key, token(code=f"{n}"), replaces=None) for n, worker in enumerate(workers)),
                    return_exceptions=True,
                )
                assert {type(outcome) for outcome in outcomes} <= {type(None), StoreConflict}
                assert outcomes.count(None) == 1
                assert await store.load(key) == token(code=f"{outcomes.index(None)}")

    @needs_fork
    async def test_save_killed_at_each_step_is_complete_or_absent(
        self, open_store: Callable[[], TokenStore], recipe: str
    ) -> None:
        """After ``kill -9`` the old or the new token is stored, and the storage works."""
        store, generation = open_store(), 1
        await store.save("a", token(1), replaces=None)
        await store.save("b", token(1), replaces=None)
        async with workers_on(recipe, mode="kills") as [killer]:
            outcomes: set[bool] = set()
            rounds = self.killed_at_steps(killer, "save", lambda: ("a", token(generation + 1)), replaces=EPOCH)
            async for finished in rounds:
                found = await store.load("a")
                assert found in ([token(generation + 1)] if finished else [token(generation), token(generation + 1)])
                assert found is not None
                generation = found.generation
                assert await store.load("b") == token(1)
                async with asyncio.timeout(SOON), store.lock("a"):
                    await store.save("c", token(generation), replaces=EPOCH)
                outcomes.add(finished)
        assert outcomes == {True, False}

    @needs_fork
    @pytest.mark.parametrize("command", ["delete", "erase"])
    async def test_removal_killed_at_each_step_is_complete_or_without_effect(
        self, open_store: Callable[[], TokenStore], recipe: str, command: str
    ) -> None:
        """After ``kill -9`` there is either the token or what the removal leaves."""
        store = open_store()
        await store.save("b", token(1), replaces=None)
        await store.save("a", token(1), replaces=None)
        async with workers_on(recipe, mode="kills") as [killer]:
            outcomes: set[bool] = set()
            async for finished in self.killed_at_steps(killer, command, lambda: ("a",)):
                seen = (await store.load("a") == token(1), await store.is_deleted("a"))
                after = (False, command == "delete")
                assert seen in ({after} if finished else {after, (True, False)})
                assert await store.load("b") == token(1)
                await store.erase("a")
                await store.save("a", token(1), replaces=None)
                outcomes.add(finished)
        assert outcomes == {True, False}

    @needs_fork
    async def test_save_killed_at_random_times_loses_no_completed_save(
        self, open_store: Callable[[], TokenStore], recipe: str
    ) -> None:
        """A save that has returned is durable."""
        store, generation = open_store(), 1
        await store.save("a", token(1), replaces=None)
        async with workers_on(recipe, mode="kills") as [killer]:
            for _ in range(self.kill_rounds // 2):
                begun, done = await killer.call("at_a_time", 0.03, "a", token(generation + 1))
                found = await store.load("a")
                assert found is not None
                assert generation + done <= found.generation <= generation + begun
                generation = found.generation
