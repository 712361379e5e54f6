"""`Upkeep`: what a pool does by itself while it is open: it renews leases, takes up flows, and reports ends."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence

from twilio_oauth_async.clock import spread
from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.sign_in.base import SignIn
from twilio_oauth_async.sign_in.flow_life import LEASE, taken_up
from twilio_oauth_async.sign_in.flow_steps import Happening, Leased
from twilio_oauth_async.sign_in.members import Members
from twilio_oauth_async.sign_in.reporter import Reporter
from twilio_oauth_async.sign_in.reporting import may_delete
from twilio_oauth_async.sign_in.running import Shared
from twilio_oauth_async.stores.base import StoredFlow
from twilio_oauth_async.tasks import create_task

RENEW_EVERY = 5.0
"""Seconds between two looks for leases of which less than half is left."""

BATCH = 50
"""Flows that are leased in one call. Processes that start together lease some in turn, and so share them."""

BATCH_PAUSE = 0.02
"""Seconds between two batches: a process that has started a little earlier must not take most of the flows."""

MAX_LISTED = 2_000
"""Flows that are listed in one call."""

_log = logging.getLogger(__name__)


class Upkeep:
    """The background work of one pool."""

    def __init__(self, shared: Shared, members: Members, reporter: Reporter, *, max_flows: int, every: float) -> None:
        """Create it; nothing is started.

        Args:
            shared: what the flows are run with.
            members: the flows that run here.
            reporter: reports ends.
            max_flows: no more flows than this are taken up.
            every: seconds between two looks for flows that no process polls.
        """
        self._shared = shared
        self._members = members
        self._reporter = reporter
        self._max_flows = max_flows
        self._every = every
        self._tasks: set[asyncio.Task[None]] = set()
        self._was_open = True

    def start(self) -> None:
        """Start the tasks."""
        self._tasks = {create_task(self._renew_for_ever()), create_task(self._take_up_for_ever())}

    async def stop(self) -> None:
        """Cancel the tasks, and wait until they have ended."""
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _renew_for_ever(self) -> None:
        while True:
            await self._shared.clock.sleep(RENEW_EVERY)
            try:
                await self.renew()
                await self._delete_kept()
            except StoreError:
                continue  # it is logged, and the next pass tries again
            except Exception as error:  # noqa: BLE001 - a mistake must not end the upkeep
                _log.error("the leases of the pool were not renewed: %s", type(error).__name__)

    async def renew(self) -> None:
        """Renew the leases of which less than half is left; raises `StoreError`."""
        now = self._shared.leases.now()
        running = self._members.running
        old = [id_ for id_, flow in running.items() if flow.life.lease and flow.life.lease.left(now) < LEASE / 2]
        reported = list(self._reporter.leased)
        if not old and not reported:
            return
        given = await self._shared.leases.ask([*old, *reported])
        for id_ in old:
            flow = running.get(id_)
            if flow is not None:
                flow.tell(Leased(given[id_]) if id_ in given else Happening.LOST)

    async def _delete_kept(self) -> None:
        kept, now = self._reporter.kept, self._shared.clock.monotonic()
        while kept and (first := next(iter(kept))) and kept[first] <= now:
            await self._shared.flow_calls.of(self._shared.flows.delete(first))
            kept.pop(first, None)

    async def _take_up_for_ever(self) -> None:
        while True:
            try:
                await self.take_up()
                await self.report_ends()
            except StoreError:
                pass  # it is logged, and the next pass tries again
            except Exception as error:  # noqa: BLE001 - a mistake must not end the upkeep
                _log.error("no sign-ins were taken up: %s", type(error).__name__)
            # Between half of the time and all of it, so that processes that start together do not look together.
            await self._shared.clock.sleep(self._every * (1.0 - spread(self._shared.clock) / 2))

    async def take_up(self) -> None:
        """Run the stored flows that no process polls, as long as there is room; raises `StoreError`."""
        if not self._is_session_open():
            return
        limit, count = MAX_LISTED, 0
        while len(self._members) < self._max_flows and not self._members.is_closing:
            due = await self._list_due(limit)
            usable = [flow for flow in due if self._is_usable(flow)]
            random.shuffle(usable)  # other processes list the same flows
            for start in range(0, len(usable), BATCH):
                room = self._max_flows - len(self._members)
                if room > 0 and not self._members.is_closing:
                    count += await self._take(usable[start : start + min(room, BATCH)])
                    await self._shared.clock.sleep(BATCH_PAUSE)
            if len(due) < limit:
                break
            if not usable:
                limit *= 4  # all of them are of programs with other scopes, or run here
        if count:
            _log.info("%d pending sign-ins were taken up", count)

    def _is_session_open(self) -> bool:
        is_open = self._shared.flow.session.is_open
        if self._was_open and not is_open:
            _log.warning("the session is not open: the pool sends no polls, and leaves its sign-ins in the store")
        self._was_open = is_open
        return is_open

    async def take(self, flow: StoredFlow) -> bool:
        """Run one stored flow if no process polls it; return whether it runs here now. Raises `StoreError`."""
        return flow.id in self._members.running or bool(await self._take([flow]))

    async def check_store(self) -> None:
        """Raise `StoreError` if the flow store cannot be read."""
        await self._list_due(1)

    async def _list_due(self, limit: int) -> Sequence[StoredFlow]:
        identity, shared = self._shared.flow.identity, self._shared
        listed = shared.flows.list_due(limit, client_sid=identity.client_sid, server=identity.server)
        return await shared.flow_calls.of(listed)

    def asks_for_the_same(self, flow: StoredFlow) -> bool:
        """Return whether a stored flow has our client, server, scopes and audiences."""
        identity, asked = self._shared.flow.identity, flow.authorization
        return (asked.client_sid, flow.server, asked.scopes, asked.audiences) == (
            identity.client_sid,
            identity.server,
            identity.scopes,
            identity.audiences,
        )

    def _is_usable(self, flow: StoredFlow) -> bool:
        return flow.id not in self._members.running and self.asks_for_the_same(flow)

    async def _take(self, flows: Sequence[StoredFlow]) -> int:
        given = await self._shared.leases.ask([flow.id for flow in flows])
        if self._members.is_closing:
            await self._shared.leases.give_back(given)
            return 0
        count = 0
        for flow in flows:
            if flow.id in given and flow.id not in self._members.running:
                now, owner = self._shared.leases.now(), self._shared.leases.owner
                self._members.run(taken_up(flow, owner, given[flow.id], now, spread(self._shared.clock)))
                count += 1
        return count

    async def report_ends(self) -> None:
        """Report the ends that no process reports, and delete those that need not be kept; raises `StoreError`."""
        identity, shared = self._shared.flow.identity, self._shared
        listed = shared.flows.list_ended(MAX_LISTED, client_sid=identity.client_sid, server=identity.server)
        for flow in await shared.flow_calls.of(listed):
            if may_delete(flow, shared.clock.now()):
                await shared.flow_calls.of(shared.flows.delete(flow.id))
            elif self._reporter.on_end is not None and self.asks_for_the_same(flow):
                self._reporter.start(flow, SignIn.of(flow))
