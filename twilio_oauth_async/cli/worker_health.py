"""`Health`: responds to the probes of an orchestrator for one worker, for example those of Kubernetes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING

import click
from aiohttp import web

from twilio_oauth_async.errors import StoreError

if TYPE_CHECKING:
    from twilio_oauth_async.sign_in.nats import DeviceFlowQueue


class Health:
    """Two resources: ``/healthz`` (the process responds) and ``/readyz`` (it polls sign-ins)."""

    def __init__(self) -> None:
        """Create it without a queue: not ready."""
        self.queue: DeviceFlowQueue | None = None

    @contextlib.asynccontextmanager
    async def served(self, host: str, port: int | None, say: Callable[[str], None]) -> AsyncGenerator[None]:
        """Serve both during a block; nothing if `port` is None.

        Args:
            host: the address to listen on.
            port: 0: a free one, which `say` is called with.
            say: writes a sentence.

        Raises:
            click.ClickException: the port cannot be used.
        """
        if port is None:
            yield
            return
        app = web.Application()
        app.add_routes([web.get("/healthz", self._live), web.get("/readyz", self._ready)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, host, port)
            try:
                await site.start()
            except OSError as error:
                raise click.UsageError(f"--health {port} cannot be used on {host}: {_reason(error)}.") from None
            if port == 0:
                say(f"Health checks: http://{host}:{runner.addresses[0][1]}")
            yield
        finally:
            await runner.cleanup()

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "live"})

    async def _ready(self, _: web.Request) -> web.Response:
        queue, pending = self.queue, None
        if queue is None or not queue.is_ready:
            return web.json_response({"status": "not ready"}, status=503)
        with contextlib.suppress(StoreError):
            pending = await queue.pending()
        is_ready = pending is not None
        document = {"status": "ready" if is_ready else "not ready", "pending": pending}
        return web.json_response(document, status=200 if is_ready else 503)


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else type(error).__name__
