"""The process of `twilio-oauth worker`: it connects to NATS, opens the queue, and polls until a signal ends it."""

# pyright: reportUnknownMemberType=false
# nats-py and redis declare only some of their types.

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import ssl
from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
import click

from twilio_oauth_async.cli.exit_codes import OK, TERMINATED
from twilio_oauth_async.cli.invocation import Invocation
from twilio_oauth_async.cli.opening import device_flow_of, open_session, token_store
from twilio_oauth_async.cli.signals import on_signals
from twilio_oauth_async.cli.worker_health import Health
from twilio_oauth_async.errors import ConfigurationError, StoreError
from twilio_oauth_async.extras import from_extra
from twilio_oauth_async.stores.base import TokenStore
from twilio_oauth_async.tasks import create_task

if TYPE_CHECKING:
    from nats.aio.client import Client

    from twilio_oauth_async.sign_in.nats import DeviceFlowQueue

Say: TypeAlias = Callable[[str], None]
"""Writes a sentence for the operator."""

OPEN_PAUSE: Final = 2.0
"""Seconds between two tries to open the queue, where JetStream is not available yet."""


@attrs.frozen
class Nats:
    """How to connect to NATS."""

    servers: list[str] = attrs.field(repr=False)
    creds: Path | None
    nkey: Path | None
    ca: Path | None
    cert: Path | None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `nats.connect`; raises `ConfigurationError`."""
        arguments: dict[str, Any] = {"servers": self.servers, "name": "twilio-oauth worker"}
        if self.creds is not None:
            arguments["user_credentials"] = str(self.creds)
        if self.nkey is not None:
            arguments["nkeys_seed"] = str(self.nkey)
        if self.ca is not None or self.cert is not None:
            arguments["tls"] = self._tls()
        return arguments

    def _tls(self) -> ssl.SSLContext:
        failed = ""
        try:
            context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
            if self.cert is not None:
                context.load_cert_chain(self.cert)
        except OSError as error:  # ssl.SSLError too
            failed = error.strerror or type(error).__name__
        else:
            return context
        raise ConfigurationError(f"a file for TLS cannot be used: {failed}")


@attrs.frozen(kw_only=True)
class Options:
    """What the command was given."""

    nats: Nats
    tokens: str
    redis_url: str | None = attrs.field(repr=False)
    keys: list[str] | None = attrs.field(repr=False)
    name: str
    concurrency: int
    ack_wait: float
    replicas: int
    drain: float
    health: int | None
    health_host: str


async def serve(invocation: Invocation, options: Options) -> int:
    """Poll until SIGTERM, or until Ctrl-C cancels this task. Return the exit code.

    Raises:
        ConfigurationError: a setting is missing or not valid.
        click.ClickException: the port for health checks is in use.
    """
    _report_metrics()
    stop, health, say = asyncio.Event(), Health(), partial(_say, as_json=invocation.as_json)
    work = create_task(_work(invocation, options, health, stop, say))
    code = OK

    def terminate(_: signal.Signals) -> None:
        nonlocal code
        if stop.is_set():
            code = TERMINATED
            work.cancel()
        stop.set()

    with on_signals((signal.SIGTERM,), terminate):
        async with health.served(options.health_host, options.health, say):
            try:
                await asyncio.wait({work})
            finally:
                work.cancel()
                await asyncio.wait({work})
    if work.cancelled():
        return code
    work.result()
    return code


async def _work(invocation: Invocation, options: Options, health: Health, stop: asyncio.Event, say: Say) -> None:
    from twilio_oauth_async.sign_in.nats import DeviceFlowQueue

    stopping = create_task(stop.wait())
    try:
        async with open_session(invocation.settings) as session:
            flow = device_flow_of(invocation.settings, session)
            connecting = create_task(_connect(options.nats, say))
            client = await _first(connecting, stopping)
            if client is None:
                return
            try:
                async with _tokens(invocation, options, client) as tokens:
                    queue = DeviceFlowQueue(
                        client.jetstream(),
                        flow,
                        tokens=tokens,
                        concurrency=options.concurrency,
                        name=options.name,
                        ack_wait=options.ack_wait,
                        replicas=options.replicas,
                        encryption=options.keys,
                        close_timeout=options.drain,
                    )
                    if await _first(create_task(_open(queue, say)), stopping) is not None:
                        await _poll(queue, health, stopping, say)
            finally:
                await client.close()
    finally:
        stopping.cancel()
        await asyncio.wait({stopping})


async def _first(task: asyncio.Task[Any], stopping: asyncio.Task[Any]) -> Any:
    """Return the result of `task`; None if `stopping` ends before, and then `task` is cancelled."""
    try:
        await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _connect(nats_: Nats, say: Say) -> Client:
    """Return a client that is connected. It tries again for ever, also later when the connection is lost."""
    with from_extra("nats", "nats"):
        import nats

    is_reported = False

    async def failed(error: Exception) -> None:
        nonlocal is_reported
        if not is_reported:
            is_reported = True
            # The class only: a text may contain the URL of the server, which may have a password.
            say(f"NATS cannot be reached ({type(error).__name__}); trying again.")

    async def reconnected() -> None:
        nonlocal is_reported
        is_reported = False
        say("Connected to NATS again.")

    return await nats.connect(
        **nats_.arguments(),
        max_reconnect_attempts=-1,
        error_cb=failed,
        reconnected_cb=reconnected,
    )


@contextlib.asynccontextmanager
async def _tokens(invocation: Invocation, options: Options, client: Client) -> AsyncGenerator[TokenStore]:
    """Yield the store for tokens."""
    if options.tokens == "file":
        store = token_store(invocation.settings)
        try:
            yield store
        finally:
            await store.close()
    elif options.tokens == "redis":
        with from_extra("redis", "redis"):
            from redis.asyncio import Redis
        from twilio_oauth_async.stores.redis import RedisTokenStore

        assert options.redis_url is not None, "the command has checked it"
        async with Redis.from_url(options.redis_url) as redis:
            yield RedisTokenStore(redis)
    else:
        from twilio_oauth_async.stores.nats import NatsTokenStore

        js, keys = client.jetstream(), options.keys
        yield NatsTokenStore(js, bucket=options.name, encryption=keys, replicas=options.replicas)


async def _open(queue: DeviceFlowQueue, say: Say) -> DeviceFlowQueue:
    is_reported = False
    while True:
        try:
            await queue.open()
        except StoreError as error:
            if not is_reported:
                is_reported = True
                say(f"The queue cannot be opened: {error}. Trying again.")
            await queue.clock.sleep(OPEN_PAUSE)
        else:
            return queue


async def _poll(queue: DeviceFlowQueue, health: Health, stopping: asyncio.Task[Any], say: Say) -> None:
    health.queue = queue
    try:
        say("Polling sign-ins. SIGTERM ends this after the polls under way.")
        await asyncio.wait({stopping})
        say("Finishing the polls that are under way.")
    finally:
        health.queue = None
        await queue.close()


def _report_metrics() -> None:
    """Report to OpenTelemetry where it is installed: without a provider, that does nothing."""
    with contextlib.suppress(ModuleNotFoundError):
        from twilio_oauth_async import otel

        otel.instrument()


def _say(text: str, *, as_json: bool) -> None:
    """Write a sentence to stderr, or a line of JSON to stdout. It is flushed at once, for those who wait for it."""
    click.echo(json.dumps({"message": text}) if as_json else text, err=not as_json)
