"""`DeviceFlowPool`: runs the sign-ins of many users in one process, and shares them with other processes.

`flow_life` has the rules of one flow and `reporting` those of its end; `running` and `reporter` perform them. `upkeep`
is what the pool does by itself.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import Self

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import ConfigurationError, DeviceFlowError, SignInNotFound
from twilio_oauth_async.grants.base import GrantIdentity
from twilio_oauth_async.grants.device_flow import DeviceFlow
from twilio_oauth_async.protocol.argument_checks import check_count, check_methods, check_seconds
from twilio_oauth_async.sign_in import closing
from twilio_oauth_async.sign_in.base import SignIn
from twilio_oauth_async.sign_in.endings import CANCELLED, error_of
from twilio_oauth_async.sign_in.leases import Leases
from twilio_oauth_async.sign_in.members import Members
from twilio_oauth_async.sign_in.reporter import OnEnd, Reporter
from twilio_oauth_async.sign_in.running import Shared
from twilio_oauth_async.sign_in.store_calls import StoreCalls
from twilio_oauth_async.sign_in.submissions import Submissions
from twilio_oauth_async.sign_in.upkeep import Upkeep
from twilio_oauth_async.stores.base import FlowStore, TokenStore
from twilio_oauth_async.stores.memory import MemoryFlowStore
from twilio_oauth_async.tokens.manager import TokenManager
from twilio_oauth_async.tokens.managers import TokenManagers


class DeviceFlowPool:
    """Runs device flows for many users of one client and one set of scopes. A `DeviceFlowRunner`.

    Use it as an async context manager. While it is open, it runs by itself: it takes up the stored flows that no
    process polls, also those that an earlier process left, and it reports each end to `on_end`. When it is closed, it
    gives back the flows that are pending, and the next process goes on with them.

    Any number of processes can share `flows` and `tokens`. A user has one pending sign-in in all of them: `submit`,
    `events`, `result`, `find` and `cancel` work in each process, wherever the flow is polled.
    """

    def __init__(
        self,
        flow: DeviceFlow,
        *,
        tokens: TokenStore,
        flows: FlowStore | None = None,
        max_flows: int = 5_000,
        on_end: OnEnd | None = None,
        take_up_every: float = 15.0,
        close_timeout: float = 8.0,
    ) -> None:
        """Create a pool; nothing is sent.

        Args:
            flow: what all sign-ins ask for. It is lent.
            tokens: where the tokens are saved, under the users' keys.
            flows: where pending flows are kept; None: in memory, so that they end with the process.
            max_flows: with that many under way in this process, `submit` refuses a further one. With 5,000 flows at an
                interval of 5 s, 99 of 100 polls were late by less than 0.35 s, with stores in memory, on a file and on
                Redis; the process needed 0.4 to 0.6 of a core. With 10,000, polls were late by seconds on Redis
                (``benchmarks/pool_scale.py``).
            on_end: a function or coroutine function that is called with each sign-in that has ended, at least once, in
                one of the processes that have one, also if it ended while no process ran. If it raises, or takes longer
                than a minute, it is called again with the same sign-in, with growing pauses, for a day. It can be set
                as an attribute until the pool is opened.
            take_up_every: seconds between two looks for flows that no process polls, at most.
            close_timeout: seconds for which `close` waits for polls, saves and callbacks that are under way.

        Raises:
            ConfigurationError: `max_flows` is less than one, a time is not positive, or `on_end` is not callable.
        """
        check_methods("flow", flow, ("start", "poller"), "a DeviceFlow")
        if flows is not None:
            check_methods("flows", flows, ("create", "save", "list_due", "lease"), "a FlowStore")
        check_count("max_flows", max_flows, 1)
        check_seconds("take_up_every", take_up_every)
        check_seconds("close_timeout", close_timeout)
        clock = flow.session.clock
        self._flows: FlowStore = flows if flows is not None else MemoryFlowStore(clock=clock)
        calls = StoreCalls("flow store")
        leases = Leases(self._flows, calls, clock, secrets.token_hex(8))
        self._managers = TokenManagers(flow, store=tokens)
        self._shared = Shared(flow, self._flows, tokens, leases, clock, self._managers, calls)
        self._max_flows = max_flows
        self._take_up_every = take_up_every
        self._close_timeout = close_timeout
        self._is_open = False
        self.on_end = on_end
        self._renew_parts()

    def _renew_parts(self) -> None:
        """Make what a pool has from `open` to `close`."""
        shared = self._shared
        self._reporter = Reporter(shared)
        self._members = Members(shared, self._reporter)
        self._upkeep = Upkeep(
            shared, self._members, self._reporter, max_flows=self._max_flows, every=self._take_up_every
        )
        self._submissions = Submissions(shared, self._members, self._upkeep, max_flows=self._max_flows)

    @property
    def clock(self) -> Clock:
        """The clock of the session, by which codes expire."""
        return self._shared.clock

    @property
    def identity(self) -> GrantIdentity:
        """The client, the server, and what all sign-ins ask for."""
        return self._shared.flow.identity

    @property
    def on_end(self) -> OnEnd | None:
        """The callback for ends. Setting it while the pool is open raises `ConfigurationError`."""
        return self._on_end

    @on_end.setter
    def on_end(self, on_end: OnEnd | None) -> None:
        if self._is_open:
            raise ConfigurationError("on_end can be set until the pool is opened")
        if on_end is not None and not callable(on_end):
            raise ConfigurationError("on_end must be a function that takes a SignIn")
        self._on_end = on_end

    def __repr__(self) -> str:
        return f"DeviceFlowPool({self._shared.flow!r}, {len(self._members)} sign-ins)"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Start to run. Do nothing if the pool is open.

        Raises:
            StoreError: the flow store failed, for example because its path is wrong. Once the pool is open, it waits
                until a store that fails works again.
        """
        if self._is_open:
            return
        self._renew_parts()
        self._reporter.on_end = self._on_end
        self._is_open = True
        try:
            await self._upkeep.check_store()
        except BaseException:
            self._is_open = False
            raise
        if not self._members.is_closing:
            self._upkeep.start()

    async def close(self) -> None:
        """Stop, and give back all pending flows. Do nothing if the pool is closed.

        All event streams end at once. Polls, saves and callbacks that are under way get `close_timeout` seconds. A
        token that has arrived and cannot be saved in that time is revoked. A pool can be opened again.
        """
        if not self._is_open:
            return
        self._is_open = False
        self._members.close_streams()
        try:
            await self._submissions.stop()
            await self._upkeep.stop()
            await self._members.stop_followers()
        finally:
            await closing.close(self._shared, self._members, self._reporter, self._close_timeout)
        await self._shared.leases.close()
        await self._managers.close()

    async def submit(self, user: str, *, context: Mapping[str, str] | None = None) -> SignIn:
        """Start a sign-in, and return once the code is issued.

        A user with a pending sign-in joins it, in whichever process it runs: the same code is returned.

        Args:
            user: the key under which the token is stored.
            context: what the application needs when the sign-in ends, for example a chat or a path. It is stored with
                the flow and is the `SignIn.context` of each state. That of the first `submit` counts.

        Raises:
            ConfigurationError: the pool is not open, `user` is empty, or `context` does not map strings to strings.
            TooManySignIns: `max_flows` sign-ins are under way here.
            DeviceFlowError: the pool was closed meanwhile, or another program polls a sign-in of this user.
            StoreError: the flow could not be stored.
            TransportError, ProtocolError, ApiError: no code was issued.
        """
        self._check_open()
        if not user:
            raise ConfigurationError("user must not be empty")
        context = context or {}
        if not all(isinstance(part, str) for pair in context.items() for part in pair):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError("context must map strings to strings")
        return await self._submissions.submit(user, context)

    async def events(self, id: str) -> AsyncGenerator[SignIn, None]:  # noqa: A002 - SignIn.id
        """Yield the present state of a sign-in, then each change, until it has ended or the pool is closed.

        Any number of listeners, in any process. A slow listener misses states that a later one has replaced.

        Raises:
            ConfigurationError: the pool is not open.
            SignInNotFound: there is no such sign-in.
            StoreError: the flow store failed.
        """
        self._check_open()
        async for sign_in in self._members.events(id):
            yield sign_in

    async def all_events(self) -> AsyncGenerator[SignIn, None]:
        """Yield each change of the sign-ins that run in this process, until the pool is closed.

        A slow reader misses states that a later state of the same sign-in has replaced; it does not miss an end, unless
        it is behind by more than 10,000 sign-ins.

        Raises:
            ConfigurationError: the pool is not open.
        """
        self._check_open()
        async for sign_in in self._members.all_events.read():
            yield sign_in

    async def result(self, id: str) -> None:  # noqa: A002
        """Wait until the token is stored.

        Raises:
            ConfigurationError: the pool is not open.
            SignInNotFound: there is no such sign-in.
            AccessDeniedError: the user denied.
            DeviceCodeExpiredError: the code expired.
            DeviceFlowError: it was cancelled, it failed, the store has lost it, or the pool was closed: then it is
                still pending.
            TwilioOAuthError: what else it ended with. Each caller gets an exception of its own.
        """
        self._check_open()
        watch = await self._members.watch(id)
        async for _ in watch.events():
            pass
        if not watch.present.is_over:
            raise self._why_no_end()
        error = error_of(watch.present, watch.error)
        if error is not None:
            raise error

    async def find(self, id: str) -> SignIn | None:  # noqa: A002
        """Return a sign-in, in whichever process it runs; None if there is none.

        One that has ended can be found for five minutes after its end was reported.

        Raises:
            StoreError: the flow store failed.
        """
        running = self._members.running.get(id)
        if running is not None:
            return await self._members.look_at(running)
        flow = await self._shared.load(id)
        return None if flow is None else self._members.seen(flow)

    async def find_user(self, user: str) -> SignIn | None:
        """Return the pending sign-in of `user`, in whichever process it runs; None if there is none.

        Raises:
            StoreError: the flow store failed.
        """
        running = self._members.by_user.get(user)
        if running is not None and not (sign_in := await self._members.look_at(running)).is_over:
            return sign_in
        flow = await self._submissions.find_user(user)
        return None if flow is None else self._members.seen(flow)

    async def cancel(self, id: str) -> None:  # noqa: A002
        """Cancel a sign-in, in whichever process it runs. A later approval is of no effect: its token is revoked.

        If its token has arrived already, it is too late: this returns when the sign-in has ended. It does nothing if
        the sign-in has ended.

        Raises:
            ConfigurationError: the pool is not open.
            SignInNotFound: there is no such sign-in.
            StoreError: the flow store failed; the sign-in goes on.
            DeviceFlowError: the pool was closed before the sign-in, whose token had arrived, has ended.
        """
        self._check_open()
        shared = self._shared
        if await shared.flow_calls.of(self._flows.end(id, CANCELLED.state, CANCELLED.problem)):
            running = self._members.running.get(id)
            if running is not None:
                running.end(CANCELLED)
                self._members.publish(running.sign_in)
            else:
                await self._report_cancelled(id)
            return
        if await shared.load(id) is None:
            raise SignInNotFound("there is no such sign-in")
        watch = await self._members.watch(id)
        async for _ in watch.events():
            pass
        if not watch.present.is_over:
            raise self._why_no_end()

    def manager(self, user: str) -> TokenManager:
        """Return the manager of the token of `user`, with the same grant and store."""
        return self._managers.get(user)

    async def _report_cancelled(self, id_: str) -> None:
        """Report the end of a flow that does not run here, if no process polls it."""
        flow = await self._shared.load(id_)
        if flow is not None:
            self._members.publish(SignIn.of(flow))
            if self._on_end is not None:
                self._reporter.start(flow, SignIn.of(flow))

    def _why_no_end(self) -> DeviceFlowError:
        """Return why a stream of events ended before the sign-in did."""
        if self._is_open:
            return DeviceFlowError("the sign-in is not stored any more")
        return DeviceFlowError("the pool was closed: the sign-in is still pending in its store")

    def _check_open(self) -> None:
        if not self._is_open:
            raise ConfigurationError("the pool is not open: use 'async with DeviceFlowPool(...)'")
