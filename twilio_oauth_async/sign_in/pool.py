"""`DeviceFlowPool`: the device flows of many people in one process, and their survival of its end."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncGenerator, Coroutine
from types import TracebackType
from typing import Any, Self

from twilio_oauth_async.errors import ConfigurationError, DeviceFlowError, StoreError
from twilio_oauth_async.grants.device_flow import DeviceFlow
from twilio_oauth_async.sign_in.base import SignIn, SignInEvent
from twilio_oauth_async.sign_in.listeners import RunningSignIn
from twilio_oauth_async.sign_in.one_flow import MAX_TAKEN_UP, Ending, SignInDriver, problem_of
from twilio_oauth_async.stores.base import FlowStore, StoredFlow, TokenStore
from twilio_oauth_async.stores.memory import MemoryFlowStore

FINISHED_KEPT = 300.0
"""Seconds for which those who come late are still told how a sign-in ended."""

_log = logging.getLogger(__name__)


class DeviceFlowPool:
    """Runs device flows for many users of one client and scope set. A `DeviceFlowRunner`.

    Use it as an async context manager. Entering takes up the flows that a process left behind in `flows`; leaving
    lets go of those under way, so that the next process can. What a request started goes on when it is cancelled.

    A user has one sign-in under way, in all of the processes that share `flows`: whoever submits the user again gets
    it. Only where the store has lost it meanwhile there can be two: the first that is approved counts, and the other
    one is cancelled.
    """

    def __init__(
        self, flow: DeviceFlow, *, tokens: TokenStore, flows: FlowStore | None = None, max_flows: int = 10_000
    ) -> None:
        """Nothing is sent here.

        Args:
            flow: lent; what all of the sign-ins ask for.
            tokens: where a token goes that was granted, under its user's name.
            flows: where pending flows are kept; None: in memory, so that they end with the process.
            max_flows: with how many under way a further one is refused.

        Raises:
            ConfigurationError: `max_flows` is less than one.
        """
        if max_flows < 1:
            raise ConfigurationError("max_flows must be at least 1")
        self._clock = flow.session.clock
        self._flows: FlowStore = flows if flows is not None else MemoryFlowStore(clock=self._clock)
        self._driver = SignInDriver(flow, tokens=tokens, flows=self._flows)
        self._max_flows = max_flows
        self._running: dict[str, RunningSignIn] = {}
        self._finished: dict[str, RunningSignIn] = {}
        self._by_user: dict[str, list[RunningSignIn]] = {}
        self._starting: dict[str, asyncio.Task[SignIn]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_open = False

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> list[SignIn]:
        """Begin, with the stored flows that nobody drives: those that `take_up` gives.

        Raises:
            StoreError: the flow store failed.
        """
        self._is_open = True
        try:
            return await self.take_up()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End: a poll under way is finished, and a token that it brings is saved; all else is let go, listeners too."""
        self._is_open = False
        finishing: set[asyncio.Task[None] | None] = set()
        for running in self._running.values():
            running.is_stopping = True
            if running.is_polling or running.has_token:
                finishing.add(running.task)
        tasks = list(self._tasks)
        for task in tasks:
            if task not in finishing:
                task.cancel()
        try:
            if tasks:
                await asyncio.wait(tasks)
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            raise
        left = list(self._running.values())
        # Listeners first: they wait neither for a slow store nor for one that makes a mistake.
        for running in left:
            self._drop(running)
            running.close()
        for running in left:
            await self._driver.let_go(running.flow)

    async def take_up(self) -> list[SignIn]:
        """Carry on with the stored flows that nobody drives and that ask for the same; which ones they were.

        Done on entering. Call it now and then where a process may have been killed: what it drove is free
        `driver.LEASE` seconds after its next poll.

        Raises:
            ConfigurationError: the pool is not open.
            StoreError: the flow store failed, and nothing was taken up.
        """
        self._check_open()
        taken: list[SignIn] = []
        try:
            while True:
                due = await self._driver.list_due()
                before = len(taken)
                for flow in due:
                    running = await self._take_up(flow)
                    if running is not None:
                        taken.append(running.sign_in)
                if len(due) < MAX_TAKEN_UP or len(taken) == before:
                    break  # else what was taken up is not due any more, and the next ones are listed
        except StoreError as error:
            if not taken:
                raise
            _log.warning("not all of the pending sign-ins could be taken up: %s", error)
        if taken:
            _log.info("%d pending sign-ins were taken up", len(taken))
        return taken

    async def submit(self, user: str) -> SignIn:
        """Begin a sign-in, and return once the code is issued.

        Args:
            user: the key under which the token will be stored. A user with a sign-in under way joins it.

        Raises:
            ConfigurationError: the pool is not open, or `user` is empty.
            DeviceFlowError: there are `max_flows` under way, or the pool was closed meanwhile.
            StoreError: the flow could not be stored.
            TransportError, ProtocolError, ApiError: no code could be had.
        """
        self._check_open()
        if not user:
            raise ConfigurationError("user must not be empty")
        self._forget_finished()
        if user in self._by_user:
            return max(self._by_user[user], key=lambda running: running.sign_in.expires_at).sign_in
        if user not in self._starting:
            if len(self._running) + len(self._starting) >= self._max_flows:
                raise DeviceFlowError(f"there are {self._max_flows} sign-ins under way, and no more are taken")
            self._starting[user] = self._own(self._start(user))
            self._starting[user].add_done_callback(functools.partial(self._started, user))
        starting = self._starting[user]
        # Whoever asked may go away: the others who joined, and the person with the code, do not.
        await asyncio.wait([starting])
        if starting.cancelled():
            raise DeviceFlowError("the pool was closed")
        return starting.result()

    async def events(self, id: str) -> AsyncGenerator[SignInEvent, None]:  # noqa: A002 - SignIn.id
        """The present state, then what happens, until the sign-in is over. Any number may listen, also late.

        Ends before that, too: when the pool closes, and when another process has taken the sign-in over. `find` tells.

        Raises:
            ConfigurationError: there is no such sign-in.
        """
        async for event in self._find(id).events():
            yield event

    async def result(self, id: str) -> None:  # noqa: A002
        """Wait until the token is in the token store.

        Raises:
            ConfigurationError: there is no such sign-in.
            DeviceFlowError: it was refused, it expired, or it was cancelled; or it is not driven here any more.
            TwilioOAuthError: what else it ended with.
        """
        running = self._find(id)
        async for _ in running.events():
            pass
        if running.error is not None:
            raise running.error.with_traceback(None)
        if not running.sign_in.is_over:
            why = "another process has taken the sign-in over" if self._is_open else "the pool was closed"
            raise DeviceFlowError(f"{why}: it is still pending in its store")

    async def cancel(self, id: str) -> None:  # noqa: A002
        """Give a sign-in up. Where its token has come already it is too late: returns once that is saved.

        Raises:
            ConfigurationError: there is no such sign-in.
            StoreError: it could not be taken out of the flow store.
        """
        if id in self._running:
            await self._give_up(self._running[id], "the sign-in was cancelled")
        elif id in self._finished:
            if self._finished[id].sign_in.state == "cancelled":
                await self._flows.delete(id)  # once more: the store may have failed
        elif await self._flows.load(id) is None:
            raise ConfigurationError("there is no such sign-in")
        else:
            # Driven by another process, or by nobody: whoever drives it notices at the next poll.
            await self._flows.delete(id)

    async def find(self, id: str) -> SignIn | None:  # noqa: A002
        """How a sign-in stands, also one that another process drives or that nobody has taken up yet.

        Raises:
            StoreError: the flow store failed.
        """
        running = self._running.get(id) or self._finished.get(id)
        if running is not None:
            return running.sign_in
        flow = await self._flows.load(id)
        return None if flow is None else SignIn.of(flow.id, flow.user, flow.authorization)

    async def _start(self, user: str) -> SignIn:
        flow = await self._driver.find(user)
        if flow is not None and (flow.id in self._finished or self._is_of_no_use(flow)):
            await self._flows.delete(flow.id)  # it could not be when it ended, or its process was killed
            flow = None
        if flow is None:
            flow = await self._driver.begin(user)
            if self._driver.is_ours(flow) and flow.id not in self._running:
                return self._drive(flow).sign_in
        if not self._driver.asks_for_the_same(flow):
            raise DeviceFlowError("another program polls a sign-in of this user with other scopes or audiences")
        running = await self._take_up(flow) or self._running.get(flow.id)
        if running is None and flow.id not in self._finished:
            running = self._drive(flow)  # another process polls it: its code is the one to show, and we follow it
        return running.sign_in if running is not None else SignIn.of(flow.id, flow.user, flow.authorization)

    def _is_of_no_use(self, flow: StoredFlow) -> bool:
        """Whether its code has expired, or nobody polls it and it asks for something else than we do."""
        now = self._clock.now()
        has_expired = flow.state == "pending" and flow.authorization.expires_at <= now
        is_polled = flow.leased_until is not None and flow.leased_until > now
        return has_expired or not (is_polled or self._driver.asks_for_the_same(flow))

    def _started(self, user: str, task: asyncio.Task[SignIn]) -> None:
        del self._starting[user]
        if not task.cancelled():
            task.exception()  # looked at: all who asked may have gone away

    async def _take_up(self, flow: StoredFlow) -> RunningSignIn | None:
        if flow.id in self._running:
            return None  # the machine was suspended for longer than our lease
        ours = await self._driver.take_up(flow) if flow.id not in self._finished else None
        # Looked at after the wait: two calls at once are of one owner, and both of them get the lease.
        if flow.id in self._finished:
            await self._flows.delete(flow.id)  # it could not be when it ended
            return None
        if ours is None or flow.id in self._running:
            return None
        if not self._is_open:
            await self._driver.let_go(ours)
            return None
        return self._drive(ours)

    def _drive(self, flow: StoredFlow) -> RunningSignIn:
        running = self._running[flow.id] = RunningSignIn(flow)
        self._by_user.setdefault(flow.user, []).append(running)
        running.task = self._own(self._to_its_end(running))
        return running

    async def _to_its_end(self, running: RunningSignIn) -> None:
        try:
            ending = await self._driver.drive(running)
        except Exception as error:  # noqa: BLE001 - a mistake, ours or a store's: those who wait must hear of it
            ending = Ending("failed", DeviceFlowError(f"an unexpected {type(error).__name__}"))
            context = {"message": "a sign-in was ended by a mistake", "exception": error, "task": running.task}
            asyncio.get_running_loop().call_exception_handler(context)
        if ending is None:
            if self._is_open:  # else `close` does this, and lets it go
                self._drop(running)
                running.close()
            return
        self._end(running, ending)
        if ending.state == "approved":
            for other in list(self._by_user.get(running.flow.user, ())):
                try:
                    await self._give_up(other, "another sign-in of the same user was approved")
                except StoreError as error:
                    _log.warning("a sign-in that is not needed any more stays in the store: %s", error)

    async def _give_up(self, running: RunningSignIn, why: str) -> None:
        assert running.task is not None  # since _drive
        if running.has_token:
            await asyncio.wait([running.task])
            return
        running.task.cancel()
        self._end(running, Ending("cancelled", DeviceFlowError(why)))
        await self._flows.delete(running.flow.id)

    def _end(self, running: RunningSignIn, ending: Ending) -> None:
        self._drop(running)
        self._finished[running.flow.id] = running
        running.error = ending.error
        running.ended_at = self._clock.monotonic()
        running.tell(ending.state, None if ending.error is None else problem_of(ending.error))
        _log.info("a sign-in ended: %s", ending.state)

    def _drop(self, running: RunningSignIn) -> None:
        del self._running[running.flow.id]
        of_user = self._by_user[running.flow.user]
        of_user.remove(running)
        if not of_user:
            del self._by_user[running.flow.user]

    def _find(self, id: str) -> RunningSignIn:  # noqa: A002
        running = self._running.get(id) or self._finished.get(id)
        if running is None:
            raise ConfigurationError("there is no such sign-in")
        return running

    def _check_open(self) -> None:
        if not self._is_open:
            raise ConfigurationError("the pool is not open: use 'async with DeviceFlowPool(...)'")

    def _forget_finished(self) -> None:
        now = self._clock.monotonic()
        while self._finished:
            first = next(iter(self._finished.values()))  # the one that ended first
            if first.ended_at is not None and now - first.ended_at <= FINISHED_KEPT:
                return
            del self._finished[first.flow.id]

    def _own(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
