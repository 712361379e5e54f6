"""`Leases`: the leases of the flows that one process polls, asked for and given back in batches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.sign_in.flow_life import LEASE
from twilio_oauth_async.sign_in.flow_steps import Lease
from twilio_oauth_async.sign_in.store_calls import StoreCalls
from twilio_oauth_async.stores.base import FlowStore
from twilio_oauth_async.tasks import create_task
from twilio_oauth_async.tokens.state import Now

BATCH = 1_000
"""Flows in one call of the store."""

_log = logging.getLogger(__name__)


class Leases:
    """What this process asks of the flow store about leases. What is asked for at the same time is one call."""

    def __init__(self, flows: FlowStore, calls: StoreCalls, clock: Clock, owner: str) -> None:
        """Create it.

        Args:
            flows: the flow store.
            calls: for its calls.
            clock: the source of time.
            owner: names this process in the store.
        """
        self.owner = owner
        self._flows = flows
        self._calls = calls
        self._clock = clock
        self._wanted: dict[str, asyncio.Future[Lease | None]] = {}
        self._asking: set[asyncio.Task[None]] = set()

    def now(self) -> Now:
        """Return the present moment on both clocks."""
        return Now(self._clock.monotonic(), self._clock.now())

    async def ask(self, ids: Collection[str], seconds: float = LEASE) -> dict[str, Lease]:
        """Ask for leases of `seconds`, and return those that were given.

        Raises:
            StoreError: the flow store failed.
        """
        given: dict[str, Lease] = {}
        all_ids = list(ids)
        for start in range(0, len(all_ids), BATCH):
            asked = self.now()
            batch = all_ids[start : start + BATCH]
            for id_ in await self._calls.of(self._flows.lease(batch, self.owner, seconds)):
                given[id_] = Lease.given(asked, seconds)
        return given

    async def ask_with_others(self, id_: str) -> Lease | None:
        """Ask for the lease of one flow, in one call with the others that are asked for in this turn of the loop.

        Returns:
            None: another process has it, or there is no such flow.

        Raises:
            StoreError: the flow store failed.
        """
        if id_ not in self._wanted:
            if not self._wanted:
                task = create_task(self._ask_for_wanted())
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)
            self._wanted[id_] = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._wanted[id_])

    async def give_back(self, ids: Collection[str]) -> None:
        """Give leases back. If the store fails, they end by themselves."""
        if not ids:
            return
        try:
            await self._calls.of(self._flows.release(ids, self.owner))
        except StoreError as error:
            _log.warning("%d leases could not be given back, and end by themselves: %s", len(ids), error)

    async def close(self) -> None:
        """Cancel what is asked for."""
        for task in self._asking:
            task.cancel()
        if self._asking:
            await asyncio.wait(self._asking)

    async def _ask_for_wanted(self) -> None:
        await asyncio.sleep(0)
        wanted, self._wanted = self._wanted, {}
        try:
            given = await self.ask(wanted)
        except StoreError as error:
            for future in wanted.values():
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # those who asked may have gone away
        except BaseException:
            for future in wanted.values():
                future.cancel()
            raise
        else:
            for id_, future in wanted.items():
                if not future.done():
                    future.set_result(given.get(id_))
