"""`Members`: the flows that run in this process, the tasks that run them, and all who listen to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

from twilio_oauth_async.errors import SignInNotFound, StoreError
from twilio_oauth_async.sign_in.base import NOT_POLLED, SignIn
from twilio_oauth_async.sign_in.endings import ending_of_flow
from twilio_oauth_async.sign_in.flow_life import FOLLOW_EVERY
from twilio_oauth_async.sign_in.flow_steps import FlowLife
from twilio_oauth_async.sign_in.listeners import AllEvents, Watch
from twilio_oauth_async.sign_in.reporter import Reporter
from twilio_oauth_async.sign_in.running import RunningFlow, Shared
from twilio_oauth_async.stores.base import StoredFlow
from twilio_oauth_async.tasks import create_task

LEASE_LOW = 8.0
"""Seconds. A process renews each lease before it has so little left."""

_log = logging.getLogger(__name__)


class Members:
    """The flows of a pool in this process, by id and by user."""

    def __init__(self, shared: Shared, reporter: Reporter) -> None:
        """Create it without flows."""
        self.running: dict[str, RunningFlow] = {}
        self.by_user: dict[str, RunningFlow] = {}
        self.all_events: AllEvents = AllEvents()
        self.is_closing: bool = False
        self._shared = shared
        self._reporter = reporter
        self._watches: dict[str, Watch] = {}  # of the flows that run here or have listeners
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._tasks: dict[asyncio.Task[None], RunningFlow] = {}

    def __len__(self) -> int:
        return len(self.running)

    def run(self, life: FlowLife) -> SignIn:
        """Run a flow in a task of its own. Return its present state."""
        running = RunningFlow(life, self._shared, self.publish)
        self.running[running.id] = self.by_user[life.flow.user] = running
        follower = self._followers.pop(running.id, None)
        if follower is not None:
            follower.cancel()
        task = create_task(self._run_to_end(running))
        self._tasks[task] = running
        task.add_done_callback(self._tasks.__delitem__)
        self.publish(running.sign_in)
        return running.sign_in

    async def look_at(self, running: RunningFlow) -> SignIn:
        """Return the present state of a flow that runs here, after a look whether another process has cancelled it.

        Raises:
            StoreError: the flow store failed.
        """
        flow = await self._shared.load(running.id)
        if flow is not None and flow.has_ended and not running.life.is_recorded:
            running.end(ending_of_flow(flow))
            self.publish(running.sign_in)
        return running.sign_in

    def seen(self, flow: StoredFlow) -> SignIn:
        """Return a flow that does not run here as others may see it.

        It has the problem `NOT_POLLED` if its lease was not renewed. A process that was killed is noticed before its
        lease has ended, so that a page does not say for long that it waits only for the user.
        """
        leased_until = flow.leased_until
        is_polled = leased_until is not None and (leased_until - self._shared.clock.now()).total_seconds() > LEASE_LOW
        return SignIn.of(flow, None if is_polled else NOT_POLLED)

    def tasks(self) -> dict[asyncio.Task[None], RunningFlow]:
        """Return the tasks that run flows."""
        return dict(self._tasks)

    async def events(self, id_: str) -> AsyncGenerator[SignIn, None]:
        """Yield the present state of a sign-in, then each change.

        Raises:
            SignInNotFound: there is no such sign-in.
            StoreError: the flow store failed.
        """
        watch = await self.watch(id_)
        async for sign_in in watch.events():
            yield sign_in

    async def watch(self, id_: str) -> Watch:
        """Return the watch of a sign-in, which is kept up to date as long as it has listeners; raises as `events`."""
        watch = self._watches.get(id_)
        if watch is None:
            flow = await self._shared.load(id_)
            watch = self._watches.get(id_)
            if watch is None:
                if flow is None:
                    raise SignInNotFound("there is no such sign-in")
                watch = Watch(self.seen(flow))
                if not watch.present.is_over and not self.is_closing:
                    self._watches[id_] = watch
                    self._follow(id_, watch)
        return watch

    def close_streams(self) -> None:
        """End all streams. No flow and no listener is added afterwards."""
        self.is_closing = True
        for watch in self._watches.values():
            watch.close()
        self.all_events.close()

    async def stop_followers(self) -> None:
        """End the tasks that follow flows of other processes."""
        followers = list(self._followers.values())
        self._followers.clear()
        for follower in followers:
            follower.cancel()
        if followers:
            await asyncio.wait(followers)

    def publish(self, sign_in: SignIn) -> None:
        """Tell a new state to all who listen to this sign-in, and to the readers of all if it runs here."""
        running, watch = self.running.get(sign_in.id), self._watches.get(sign_in.id)
        if running is None:
            if watch is not None:
                watch.tell(sign_in)
            return
        if watch is None:
            self._watches[sign_in.id] = Watch(sign_in)
        elif not watch.tell(sign_in, None if running.life.ending is None else running.life.ending.error):
            return
        self.all_events.tell(sign_in)

    async def _run_to_end(self, running: RunningFlow) -> None:
        is_recorded = False
        try:
            await running.run()
            is_recorded = running.life.is_recorded
        except Exception as error:  # noqa: BLE001 - a mistake in this package, or a clock of the caller's own
            self._report_mistake(error)
        finally:
            if is_recorded:
                self.publish(running.sign_in)
            self._forget(running, is_recorded=is_recorded)
        if is_recorded:
            _log.info("a sign-in ended: %s", running.sign_in.state)
            if not running.life.is_deleted:
                self._reporter.start(running.life.flow, running.sign_in, is_own=True)
        elif not running.life.is_lost and not self.is_closing:
            await self._shared.leases.give_back([running.id])

    def _forget(self, running: RunningFlow, *, is_recorded: bool) -> None:
        """Remove a flow that does not run here any more. Its listeners follow it in the store."""
        del self.running[running.id]
        if self.by_user.get(running.life.flow.user) is running:
            del self.by_user[running.life.flow.user]
        watch = self._watches.pop(running.id)
        if is_recorded:
            return
        if self.is_closing or not watch.listeners:
            watch.close()
        else:
            self._watches[running.id] = watch
            self._follow(running.id, watch)

    def _follow(self, id_: str, watch: Watch) -> None:
        task = self._followers[id_] = create_task(self._read_until_end(id_, watch))

        def ended(task: asyncio.Task[None]) -> None:
            if self._followers.get(id_) is task:
                del self._followers[id_]

        task.add_done_callback(ended)

    async def _read_until_end(self, id_: str, watch: Watch) -> None:
        """Tell `watch` what the store has, until the sign-in has ended or there are no listeners any more."""
        last = watch.present
        while not watch.present.is_over:
            await self._shared.clock.sleep(FOLLOW_EVERY)
            if not watch.listeners:
                break
            try:
                flow = await self._shared.load(id_)
            except StoreError:
                continue  # it is logged, and the store is asked again
            if flow is None:
                # The store has lost it: an end is kept for longer than the time between two looks.
                watch.close()
                break
            if self.seen(flow) != last:
                last = self.seen(flow)
                watch.tell(last)
        if self._watches.get(id_) is watch and id_ not in self.running:
            del self._watches[id_]
            watch.close()

    def _report_mistake(self, error: Exception) -> None:
        _log.error("a sign-in was stopped by %s", type(error).__name__)
        asyncio.get_running_loop().call_exception_handler(
            {"message": "a sign-in of a DeviceFlowPool was stopped by a mistake", "exception": error}
        )
