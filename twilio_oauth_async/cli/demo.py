"""`twilio-oauth demo`: a complete device sign-in against the emulator, with a page on which to approve it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from twilio_oauth_async.cli.demo_sign_in import SimulatedDecision
    from twilio_oauth_async.cli.login_screen import LoginScreen
    from twilio_oauth_async.emulator import Emulator

INTERVAL = 1
"""Seconds between two polls. Twilio's server asks for 5; a demo should not take that long."""


class Seconds(click.ParamType[float]):
    """A click type: a finite number of seconds, zero or more. click's own range type accepts NaN."""

    name = "seconds"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Parse `value`; fail with a usage error if it is not such a number."""
        try:
            seconds = float(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        if not 0 <= seconds < math.inf:
            self.fail(f"{value!r} is not zero or a positive number of seconds.", param, ctx)
        return seconds


@click.command(short_help="Run a complete sign-in against the emulator.")
@click.option(
    "--approve-after", type=Seconds(), help="Simulate a user who approves on the page after this many seconds."
)
@click.option("--deny-after", type=Seconds(), help="Simulate a user who denies on the page after this many seconds.")
@click.option(
    "--expires-in",
    metavar="SECONDS",
    type=click.IntRange(min=1),
    default=299,
    show_default=True,
    help="Lifetime of the code.",
)
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="a free port",
    help="Port of the emulator; other machines cannot connect to it.",
)
@click.option("--qr/--no-qr", default=None, help="Show a QR code. Default: if the terminal is large enough.")
def demo(approve_after: float | None, deny_after: float | None, expires_in: int, port: int, qr: bool | None) -> int:
    """Run a complete sign-in with the device grant.

    \b
    twilio-oauth demo
    twilio-oauth demo --approve-after 2      on a machine without a browser

    Starts the emulator of the OAuth server on this machine, requests a code, prints the link to the page on which you
    approve or deny, and waits for your decision. Needs no account, sends nothing to other machines, stores nothing.

    Exit code: 0 signed in, 1 denied, expired or failed, 2 wrong usage, 130 stopped with Ctrl-C.
    """  # noqa: D301 - click needs the character
    from twilio_oauth_async.cli.demo_sign_in import APP_NAME
    from twilio_oauth_async.cli.login_screen import choose_login_screen
    from twilio_oauth_async.cli.simulated_user import Decision
    from twilio_oauth_async.emulator import Emulator

    if approve_after is not None and deny_after is not None:
        raise click.UsageError("--approve-after and --deny-after cannot be used together.")
    simulated: SimulatedDecision | None = None
    if approve_after is not None:
        simulated = Decision.APPROVE, approve_after
    elif deny_after is not None:
        simulated = Decision.DENY, deny_after
    # A public client, as apps on devices are (RFC 8628 5.6).
    emulator = Emulator(port=port, app_name=APP_NAME, public=True, interval=INTERVAL, expires_in=expires_in)
    return asyncio.run(_serve(emulator, choose_login_screen(sys.stdout, as_json=False, qr=qr), simulated))


async def _serve(emulator: Emulator, screen: LoginScreen, simulated: SimulatedDecision | None) -> int:
    from twilio_oauth_async.cli.demo_sign_in import sign_in

    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(emulator)
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise click.UsageError(f"Cannot listen on the port given by --port: {reason}.") from error
        return await sign_in(emulator, screen, emulator.clock, simulated)
