"""`twilio-oauth demo`: a whole device sign-in at the emulator, with a real page to approve it on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

import click

from twilio_oauth_async.cli.seconds import Seconds

if TYPE_CHECKING:
    from twilio_oauth_async.cli.screen import Screen
    from twilio_oauth_async.cli.sign_in import Script
    from twilio_oauth_async.emulator import Emulator

INTERVAL = 1
"""Seconds between two polls. Twilio's server asks for 5, but nobody should have to wait for a demo."""


@click.command(short_help="Go through a whole sign-in at an emulated server.")
@click.option(
    "--approve-after", type=Seconds(), help="Let a scripted person approve on the page after so many seconds."
)
@click.option("--deny-after", type=Seconds(), help="Let a scripted person deny on the page after so many seconds.")
@click.option(
    "--expires-in",
    metavar="SECONDS",
    type=click.IntRange(min=1),
    default=299,
    show_default=True,
    help="How long the code lives.",
)
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="a free one",
    help="Where the emulated server listens, on this machine only.",
)
def demo(approve_after: float | None, deny_after: float | None, expires_in: int, port: int) -> int:
    """Go through a whole sign-in by the device grant.

    Starts an emulated OAuth server on this machine, asks it for a code, shows you where to approve it in your
    browser, and waits until you have. No account is needed, nothing leaves this machine and nothing is kept.

    Exit code: 0 signed in, 1 refused or expired, 2 wrong usage, 130 stopped with Ctrl-C.
    """
    from twilio_oauth_async.cli.screen import choose_screen
    from twilio_oauth_async.cli.scripted_person import Decision
    from twilio_oauth_async.cli.sign_in import APP_NAME
    from twilio_oauth_async.emulator import Emulator

    if approve_after is not None and deny_after is not None:
        raise click.UsageError("--approve-after and --deny-after exclude each other.")
    script: Script | None = None
    if approve_after is not None:
        script = Decision.APPROVE, approve_after
    elif deny_after is not None:
        script = Decision.DENY, deny_after
    # A public app, as one is that runs on a device (RFC 8628 5.6).
    emulator = Emulator(port=port, app_name=APP_NAME, public=True, interval=INTERVAL, expires_in=expires_in)
    return asyncio.run(_serve(emulator, choose_screen(sys.stdout), script))


async def _serve(emulator: Emulator, screen: Screen, script: Script | None) -> int:
    from twilio_oauth_async.cli.sign_in import sign_in

    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(emulator)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise click.UsageError(f"Cannot listen on the port that --port names: {reason}.") from error
        return await sign_in(emulator, screen, emulator.clock, script)
