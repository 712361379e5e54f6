"""What a store must do that several processes share.

Beside `open_store` a subclass gives `recipe`: Python source that another process runs to open the same storage. It
defines ``open_store()``, which may be a coroutine function.
"""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.helpers.flow_store_contract import flow
from tests.helpers.stored_values import stored
from tests.helpers.token_store_contract import SOON

CHILD = Path(__file__).with_name("store_process.py")
UNMEASURED = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
"""Who is killed with kill -9 leaves half a file of coverage."""


class Child:
    """Another process on the storage, told what to do line by line (see store_process.py)."""

    def __init__(self, process):
        self.process = process

    async def ask(self, do, **arguments):
        self.send(do, **arguments)
        return await self.answer()

    def send(self, do, **arguments):
        self.process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")

    async def answer(self):
        async with asyncio.timeout(2 * SOON):
            line = await self.process.stdout.readline()
        assert line, (await self.process.stderr.read()).decode()
        return json.loads(line)

    async def kill(self):
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@contextlib.asynccontextmanager
async def children(recipe, count=1):
    """So many of them, started at once."""
    processes = await asyncio.gather(
        *(
            asyncio.create_subprocess_exec(
                sys.executable, CHILD, recipe, stdin=-1, stdout=-1, stderr=-1, limit=1 << 20, env=UNMEASURED
            )
            for _ in range(count)
        )
    )
    try:
        yield [Child(process) for process in processes]
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


class SharedTokenStoreContract:
    """Subclass it beside `TokenStoreContract`."""

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def recipe(self):
        raise NotImplementedError("give a fixture recipe: Python source that defines open_store()")

    async def test_processes_share_what_is_stored(self, open_store, recipe):
        store = open_store()
        await store.save("a", stored(1))
        async with children(recipe) as [child]:
            assert await child.ask("load", key="a") == 1
            assert await child.ask("save", key="a", generation=2) == "saved"
            assert await store.load("a") == stored(2)
            await store.save("a", stored(4))
            assert await child.ask("save", key="a", generation=3) == "StoreConflict"
            assert await child.ask("delete", key="a") == "deleted"
            assert await store.load("a") is None

    async def test_a_lock_excludes_other_processes(self, open_store, recipe):
        store = open_store()
        async with children(recipe) as [child]:
            assert await child.ask("hold", key="a") == "held"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.15), store.lock("a"):
                    pytest.fail("two hold it")
            async with asyncio.timeout(SOON), store.lock("b"):  # another key
                pass
            assert await child.ask("release") == "released"
            async with asyncio.timeout(SOON), store.lock("a"):
                child.send("hold", key="a")
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.15):
                        await child.process.stdout.readline()
            assert await child.answer() == "held"

    async def test_kill_9_of_the_holder_releases_its_lock(self, open_store, recipe):
        store = open_store()
        async with children(recipe) as [child]:
            assert await child.ask("hold", key="a") == "held"
            await child.kill()
            async with asyncio.timeout(SOON), store.lock("a"):
                pass

    async def test_no_rotation_is_lost_between_processes(self, open_store, recipe):
        store = open_store()
        async with children(recipe, 3) as workers:
            counted = await asyncio.gather(*(child.ask("count", key="a", times=8) for child in workers))
        assert sorted(itertools.chain(*counted)) == list(range(1, 25))
        assert await store.load("a") == stored(24)


class SharedFlowStoreContract:
    """Subclass it beside `FlowStoreContract`; the other process tells the time by the system's clock."""

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def recipe(self):
        raise NotImplementedError("give a fixture recipe: Python source that defines open_store()")

    async def test_of_many_processes_one_claims_each_flow(self, open_store, recipe):
        store, ids = open_store(), [f"{n}" for n in range(12)]
        async with children(recipe, 3) as workers:
            for id_ in ids:
                await store.save(flow(id_))
            assert set(await workers[0].ask("list_due")) == set(ids)
            won = await asyncio.gather(
                *(child.ask("claim", ids=ids, owner=f"{number}") for number, child in enumerate(workers))
            )
            assert sorted(itertools.chain(*won)) == sorted(ids)
            assert await workers[0].ask("list_due") == []
        owners = {id_: (await store.load(id_)).owner for id_ in ids}
        assert owners == {id_: f"{number}" for number, ids_won in enumerate(won) for id_ in ids_won}
