"""The contract of a store that several processes share; see store_contract.py.

Beside `open_store` a subclass gives the fixture `recipe`: Python source that another process runs to open the same
storage. It defines ``open_store()``, which may be a coroutine function.
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

from tests.helpers.store_contract_tokens import SOON
from tests.helpers.stored_values import flow, stored

WORKER = Path(__file__).with_name("store_contract_worker.py")
WITHOUT_COVERAGE = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
"""A process that is killed with ``kill -9`` would leave a damaged file of coverage data."""


class Worker:
    """Another process on the storage, which runs one command a line (see store_contract_worker.py)."""

    def __init__(self, process):
        self.process = process

    async def call(self, command, **arguments):
        self.send(command, **arguments)
        return await self.result()

    def send(self, command, **arguments):
        self.process.stdin.write(json.dumps({"command": command, **arguments}).encode() + b"\n")

    async def result(self):
        async with asyncio.timeout(2 * SOON):
            line = await self.process.stdout.readline()
        assert line, (await self.process.stderr.read()).decode()
        return json.loads(line)

    async def kill(self):
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@contextlib.asynccontextmanager
async def workers_on(recipe, count=1):
    """Yield `count` workers, started at the same time."""
    processes = await asyncio.gather(
        *(
            asyncio.create_subprocess_exec(
                sys.executable, WORKER, recipe, stdin=-1, stdout=-1, stderr=-1, limit=1 << 20, env=WITHOUT_COVERAGE
            )
            for _ in range(count)
        )
    )
    try:
        yield [Worker(process) for process in processes]
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
        raise NotImplementedError("define a fixture recipe: Python source that defines open_store()")

    async def test_processes_see_each_other_s_saves_and_deletes(self, open_store, recipe):
        store = open_store()
        await store.save("a", stored(1))
        async with workers_on(recipe) as [worker]:
            assert await worker.call("load", key="a") == 1
            assert await worker.call("save", key="a", generation=2) == "saved"
            assert await store.load("a") == stored(2)
            await store.save("a", stored(4))
            assert await worker.call("save", key="a", generation=3) == "StoreConflict"
            assert await worker.call("delete", key="a") == "deleted"
            assert await store.load("a") is None

    async def test_lock_excludes_other_processes(self, open_store, recipe):
        store = open_store()
        async with workers_on(recipe) as [worker]:
            assert await worker.call("hold", key="a") == "held"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.15), store.lock("a"):
                    pytest.fail("the lock has two holders")
            async with asyncio.timeout(SOON), store.lock("b"):  # another key
                pass
            assert await worker.call("release") == "released"
            async with asyncio.timeout(SOON), store.lock("a"):
                worker.send("hold", key="a")
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.15):
                        await worker.process.stdout.readline()
            assert await worker.result() == "held"

    async def test_kill_9_of_the_holder_releases_the_lock(self, open_store, recipe):
        store = open_store()
        async with workers_on(recipe) as [worker]:
            assert await worker.call("hold", key="a") == "held"
            await worker.kill()
            async with asyncio.timeout(SOON), store.lock("a"):
                pass

    async def test_concurrent_updates_in_processes_lose_nothing(self, open_store, recipe):
        store = open_store()
        async with workers_on(recipe, 3) as workers:
            counted = await asyncio.gather(*(worker.call("count", key="a", times=8) for worker in workers))
        assert sorted(itertools.chain(*counted)) == list(range(1, 25))
        assert await store.load("a") == stored(24)


class SharedFlowStoreContract:
    """Subclass it beside `FlowStoreContract`; the other process uses the system's clock."""

    pytestmark = pytest.mark.asyncio

    @pytest.fixture
    def recipe(self):
        raise NotImplementedError("define a fixture recipe: Python source that defines open_store()")

    async def test_concurrent_claims_in_processes_give_one_lease_per_flow(self, open_store, recipe):
        store, ids = open_store(), [f"{n}" for n in range(12)]
        async with workers_on(recipe, 3) as workers:
            for id_ in ids:
                await store.save(flow(id_))
            assert set(await workers[0].call("list_due")) == set(ids)
            leased = await asyncio.gather(
                *(worker.call("claim", ids=ids, owner=f"{number}") for number, worker in enumerate(workers))
            )
            assert sorted(itertools.chain(*leased)) == sorted(ids)
            assert await workers[0].call("list_due") == []
        owners = {id_: (await store.load(id_)).owner for id_ in ids}
        assert owners == {id_: f"{number}" for number, own_ids in enumerate(leased) for id_ in own_ids}
