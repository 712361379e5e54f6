"""`DeviceFlowQueue`: runs the sign-ins of many users on many hosts, with NATS JetStream.

`records` has the rules of one sign-in and of the turns in which it is polled; `turns` performs them. `pulling` receives
messages, `states` keeps states, `ends` reports ends, `watching` tells listeners, and `sweep` repairs.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING, Self, cast

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.grants.base import GrantIdentity
from twilio_oauth_async.grants.device_flow import DeviceFlow
from twilio_oauth_async.protocol.argument_checks import check_count, check_methods, check_seconds
from twilio_oauth_async.sign_in.base import SignIn
from twilio_oauth_async.sign_in.endings import error_of
from twilio_oauth_async.sign_in.leases import Leases
from twilio_oauth_async.sign_in.nats import setup
from twilio_oauth_async.sign_in.nats.background import Background
from twilio_oauth_async.sign_in.nats.connection import QueueConnection
from twilio_oauth_async.sign_in.nats.ends import Ends
from twilio_oauth_async.sign_in.nats.names import Names
from twilio_oauth_async.sign_in.nats.states import States
from twilio_oauth_async.sign_in.nats.submissions import QueueSubmissions
from twilio_oauth_async.sign_in.nats.sweep import Messages, Sweep, sweep_for_ever
from twilio_oauth_async.sign_in.nats.turns import Turns
from twilio_oauth_async.sign_in.nats.watching import Watching
from twilio_oauth_async.sign_in.reporter import OnEnd
from twilio_oauth_async.sign_in.running import Shared
from twilio_oauth_async.stores.base import FlowStore, TokenStore
from twilio_oauth_async.stores.encryption import FernetKey, given_cipher
from twilio_oauth_async.tokens.manager import TokenManager
from twilio_oauth_async.tokens.managers import TokenManagers

if TYPE_CHECKING:
    from nats.js import JetStreamContext


class DeviceFlowQueue:
    """Runs device flows for many users of one client and one set of scopes, on many hosts. A `DeviceFlowRunner`.

    Use it as an async context manager, in each process: in those that start sign-ins, and in those that poll. Any of
    them can stop or be killed; the others go on with its sign-ins within `ack_wait` seconds and one interval.

    Each sign-in is polled at its own interval, by one worker at a time. A user has one pending sign-in in all
    processes, and `submit`, `events`, `result`, `find` and `cancel` work in each.

    The clocks of the hosts should agree to within a second, for example by NTP: a worker whose clock is ahead polls too
    early after another one, and the server then asks for a longer interval.
    """

    def __init__(
        self,
        js: JetStreamContext,
        flow: DeviceFlow,
        *,
        tokens: TokenStore,
        on_end: OnEnd | None = None,
        concurrency: int = 100,
        name: str = "twilio-oauth",
        max_flows: int = 1_000_000,
        ack_wait: float = 30.0,
        replicas: int = 1,
        encryption: FernetKey | Sequence[FernetKey] | None = None,
        sweep_every: float = 60.0,
        close_timeout: float = 8.0,
    ) -> None:
        """Create a queue; nothing is sent.

        Args:
            js: a connection to NATS, which is lent: it is neither changed nor closed. Credentials, TLS and the prefix
                of inboxes are those of the caller. Use one that reconnects without a limit
                (``max_reconnect_attempts=-1``).
            flow: what all sign-ins ask for. It is lent.
            tokens: where the tokens are saved, under the users' keys. It must be shared by all processes.
            on_end: a function or coroutine function that is called with each sign-in that has ended, at least once, in
                one of the processes that have one. If it raises, or takes longer than a minute, it is called again with
                the same sign-in, with growing pauses, for a day. It can be set as an attribute until the queue is
                opened. Ends are kept for it from the first time that a process with an `on_end` was opened.
            concurrency: polls that this process sends at the same time while it is open; 0: none, because other
                processes poll. See also `run_worker`.
            name: the prefix of the streams, the subjects and the bucket.
            max_flows: the limit of pending sign-ins in all processes, when the stream is created. Beyond it, `submit`
                raises `TooManySignIns`.
            ack_wait: seconds after which the sign-in of a worker that does not respond is given to another one, when
                the consumer is created.
            replicas: of the streams and the bucket, when they are created: 3 in a cluster, so that one server can fail.
            encryption: one Fernet key, or several, of which the first encrypts and all decrypt. States contain device
                codes. All processes need the same keys. Needs the extra ``encryption``.
            sweep_every: seconds between two looks for sign-ins whose message is missing.
            close_timeout: seconds for which `close` waits for polls, saves and callbacks that are under way.

        Raises:
            ConfigurationError: an argument is invalid.
        """
        check_methods("flow", flow, ("start", "poller"), "a DeviceFlow")
        check_methods("tokens", tokens, ("load", "save", "lock"), "a TokenStore")
        check_count("concurrency", concurrency, 0)
        check_seconds("sweep_every", sweep_every, may_be_infinite=False)
        check_seconds("close_timeout", close_timeout)
        clock = flow.session.clock
        self._names = Names.of(name, flow.identity)
        self._connection = QueueConnection(js, clock)
        self._states = States(self._connection, self._names, given_cipher(encryption), clock)
        self._ends = Ends(self._connection, self._names, self._states, clock)
        self._states.publish_end = self._ends.publish
        # `RunningFlow` uses the part of a flow store that `States` has.
        flows = cast("FlowStore", self._states)
        leases = Leases(flows, self._connection.calls, clock, secrets.token_hex(8))
        self._managers = TokenManagers(flow, store=tokens)
        self._shared = Shared(flow, flows, tokens, leases, clock, self._managers, self._connection.calls)
        self._concurrency = concurrency
        self._background = Background(self._connection, self._names, setup.Limits(max_flows, ack_wait, replicas), clock)
        self._sweep_every = sweep_every
        self._close_timeout = close_timeout
        self._is_open = False
        self.on_end = on_end
        self._renew_parts()

    def _renew_parts(self) -> None:
        """Make what a queue has from `open` to `close`."""
        clock = self._shared.clock
        messages = Messages(self._connection, self._names)
        self._sweep = Sweep(messages, self._states, self._ends, clock, every=self._sweep_every)
        self._watching = Watching(self._connection, self._names, self._states, clock)
        self._turns = Turns(self._shared, self._states, self._watching.publish)
        self._submissions = QueueSubmissions(self._shared, self._states, messages, self._sweep)

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
        """The callback for ends. Setting it while the queue is open raises `ConfigurationError`."""
        return self._on_end

    @on_end.setter
    def on_end(self, on_end: OnEnd | None) -> None:
        if self._is_open:
            raise ConfigurationError("on_end can be set until the queue is opened")
        if on_end is not None and not callable(on_end):
            raise ConfigurationError("on_end must be a function that takes a SignIn")
        self._on_end = on_end

    def __repr__(self) -> str:
        return f"DeviceFlowQueue({self._shared.flow!r}, name={self._names.name!r})"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Create the streams, the consumers and the bucket where they do not exist, and start to run.

        Raises:
            ConfigurationError: a stream with this name exists, and is used for something else.
            StoreError: NATS cannot be reached, or JetStream is not enabled. Once the queue is open, it waits until NATS
                works again.
        """
        if self._is_open:
            return
        self._renew_parts()
        self._ends.on_end = self._on_end
        self._is_open = True
        try:
            await self._background.ensure(has_callback=self._on_end is not None)
        except BaseException:
            self._is_open = False
            raise
        background = self._background
        background.start(self._watching.follow_for_ever())
        background.start(sweep_for_ever(self._sweep, self.clock, self._sweep_every))
        background.start(background.measure_for_ever())
        background.start(background.repair_for_ever(has_callback=self._on_end is not None))
        if self._concurrency:
            background.start(self.run_worker(concurrency=self._concurrency))
        if self._on_end is not None:
            background.start(background.report_ends(self._ends.take, self._close_timeout))

    async def close(self) -> None:
        """Stop, and leave all pending sign-ins to the other processes. Do nothing if the queue is closed.

        All event streams end at once. Polls, saves and callbacks that are under way get `close_timeout` seconds. A
        token that has arrived and cannot be saved in that time is revoked. A queue can be opened again.
        """
        if not self._is_open:
            return
        self._is_open = False
        self._watching.close_streams()
        try:
            await self._submissions.stop()
        finally:
            await self._background.stop()
        await self._turns.close()
        await self._watching.close()
        await self._managers.close()

    async def run_worker(self, *, concurrency: int = 100) -> None:
        """Poll sign-ins until this is cancelled or the queue is closed, for a process that does only this.

        A cancellation lets the polls and saves under way finish, for `close_timeout` seconds at most. All other
        sign-ins go to other workers at once.

        Args:
            concurrency: polls at the same time. 100 are enough for thousands of sign-ins, unless the server is slow.

        Raises:
            ConfigurationError: the queue is not open, or `concurrency` is less than one.
        """
        self._check_open()
        check_count("concurrency", concurrency, 1)
        await self._background.poll(self._turns.take, concurrency, self._close_timeout)

    async def submit(self, user: str, *, context: Mapping[str, str] | None = None) -> SignIn:
        """Start a sign-in, and return once the code is issued.

        A user with a pending sign-in joins it, in whichever process it was started: the same code is returned.

        Args:
            user: the key under which the token is stored.
            context: what the application needs when the sign-in ends, for example a chat or a path. It is stored with
                the flow and is the `SignIn.context` of each state. That of the first `submit` counts.

        Raises:
            ConfigurationError: the queue is not open, `user` is empty, or `context` does not map strings to strings.
            TooManySignIns: `max_flows` sign-ins are pending.
            DeviceFlowError: the queue was closed meanwhile, or another program polls a sign-in of this user.
            StoreError: the flow could not be stored.
            TransportError, ProtocolError, ApiError: no code was issued.
        """
        self._check_open()
        sign_in = await self._submissions.submit(user, context or {})
        self._watching.all_events.tell(sign_in)
        return sign_in

    async def events(self, id: str) -> AsyncGenerator[SignIn, None]:  # noqa: A002 - SignIn.id
        """Yield the present state of a sign-in, then each change, until it has ended or the queue is closed.

        Any number of listeners, in any process. A slow listener misses states that a later one has replaced.

        Raises:
            ConfigurationError: the queue is not open.
            SignInNotFound: there is no such sign-in.
            StoreError: NATS failed.
        """
        self._check_open()
        async for sign_in in self._watching.events(id):
            yield sign_in

    async def all_events(self) -> AsyncGenerator[SignIn, None]:
        """Yield each change that this process makes to a sign-in, until the queue is closed.

        Each change is made by one process, so that all processes together see it once.

        Raises:
            ConfigurationError: the queue is not open.
        """
        self._check_open()
        async for sign_in in self._watching.all_events.read():
            yield sign_in

    async def result(self, id: str) -> None:  # noqa: A002
        """Wait until the token is stored.

        Raises:
            ConfigurationError: the queue is not open.
            SignInNotFound: there is no such sign-in.
            AccessDeniedError: the user denied.
            DeviceCodeExpiredError: the code expired.
            DeviceFlowError: it was cancelled, it failed, the bucket has lost it, or the queue was closed: then it is
                still pending.
            TwilioOAuthError: what else it ended with. Each caller gets an exception of its own.
        """
        self._check_open()
        watch = await self._watching.wait_for_end(id)
        error = error_of(watch.present, watch.error)
        if error is not None:
            raise error

    async def find(self, id: str) -> SignIn | None:  # noqa: A002
        """Return a sign-in, in whichever process it was started; None if there is none.

        One that has ended can be found for five minutes after its end was reported.

        Raises:
            StoreError: NATS failed.
        """
        entry = await self._states.read(id)
        return None if entry is None else entry.state.seen(self.clock.now())

    async def find_user(self, user: str) -> SignIn | None:
        """Return the pending sign-in of `user`, in whichever process it was started; None if there is none.

        Raises:
            StoreError: NATS failed.
        """
        return await self._submissions.find_user(user)

    async def cancel(self, id: str) -> None:  # noqa: A002
        """Cancel a sign-in, in whichever process it is polled. A later approval is of no effect: its token is revoked.

        If its token has arrived already, it is too late: this returns when the sign-in has ended. It does nothing if
        the sign-in has ended.

        Raises:
            ConfigurationError: the queue is not open.
            SignInNotFound: there is no such sign-in.
            StoreError: NATS failed; the sign-in goes on.
            DeviceFlowError: the queue was closed before the sign-in, whose token had arrived, has ended.
        """
        self._check_open()
        ended = await self._submissions.cancel(id)
        if ended is None:
            await self._watching.wait_for_end(id)
        else:
            self._watching.publish(ended)

    async def pending(self) -> int:
        """Return the number of pending sign-ins of this client and these scopes, in all processes.

        Raises:
            StoreError: NATS failed.
        """
        return await self._background.pending()

    @property
    def is_ready(self) -> bool:
        """Whether the queue is open, connected to NATS, and has found all its parts there."""
        return self._is_open and self._connection.is_connected and not self._connection.is_incomplete

    def manager(self, user: str) -> TokenManager:
        """Return the manager of the token of `user`, with the same grant and store."""
        return self._managers.get(user)

    def _check_open(self) -> None:
        if not self._is_open:
            raise ConfigurationError("the queue is not open: use 'async with DeviceFlowQueue(...)'")
