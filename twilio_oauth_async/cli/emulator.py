"""`twilio-oauth emulator`: the emulator as a process, for programs and tests in any language."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import shlex
import signal
import socket
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import click

from twilio_oauth_async.clock import SystemClock, VirtualClock

if TYPE_CHECKING:
    from twilio_oauth_async.emulator import Emulator

CONTROL_TOKEN_VARIABLE = "TWILIO_OAUTH_CONTROL_TOKEN"  # noqa: S105 - a name
EXIT_OK = 0


class CannotListenError(click.ClickException):
    """The emulator cannot listen on the address. Shown as one line; the usage text would not help."""

    exit_code = 2


@click.command(short_help="Run the emulator until it is stopped.")
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; a loopback address, unless --insecurely-on-the-network is given.",
)
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="a free port",
    help="Port to listen on.",
)
@click.option(
    "--control-token",
    metavar="TOKEN",
    envvar=CONTROL_TOKEN_VARIABLE,
    help=f"Enable /_control/ for clients that send this Bearer token. Setting {CONTROL_TOKEN_VARIABLE} is safer: "
    "other processes on this machine can read the command line.",
)
@click.option("--seed", metavar="NUMBER", type=int, help="Create the same identifiers and secrets in every run.")
@click.option(
    "--errors",
    type=click.Choice(["oauth", "twilio"]),
    default="oauth",
    show_default=True,
    help="Format of error responses: RFC 6749 or Twilio.",
)
@click.option(
    "--dates", type=click.Choice(["rfc2822", "iso8601"]), default="rfc2822", show_default=True, help="Format of dates."
)
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Minimum time between two polls.",
)
@click.option(
    "--expires-in",
    metavar="SECONDS",
    type=click.IntRange(min=1),
    default=299,
    show_default=True,
    help="Lifetime of a device code.",
)
@click.option("--virtual-clock", is_flag=True, help="Use a clock that only /_control/advance moves.")
@click.option("--json", "as_json", is_flag=True, help="Print address and credentials as one line of JSON.")
@click.option(
    "--insecurely-on-the-network",
    is_flag=True,
    help="Allow an address to which other machines can connect. Nothing is encrypted, "
    "and any client can approve a sign-in.",
)
def emulator(
    host: str,
    port: int,
    control_token: str | None,
    seed: int | None,
    errors: Literal["oauth", "twilio"],
    dates: Literal["rfc2822", "iso8601"],
    interval: int,
    expires_in: int,
    virtual_clock: bool,
    as_json: bool,
    insecurely_on_the_network: bool,
) -> int:
    """Run the emulator of the OAuth server until it is stopped.

    When it is ready, it prints its address and its test credentials as lines that a shell can source, with the variable
    names that the examples of this package use. With --control-token, a test in any language can approve and deny
    sign-ins, add faults and more: see the module twilio_oauth_async.emulator.control.http_routes.

    Exit code: 0 stopped by SIGTERM, 2 wrong usage or cannot listen on the address, 130 stopped with Ctrl-C.
    """
    from twilio_oauth_async.emulator import Emulator

    if not _is_loopback(host) and not insecurely_on_the_network:
        raise click.UsageError(
            "--host is not a loopback address. The emulator encrypts nothing, and any client can approve a sign-in; "
            "use --insecurely-on-the-network to listen there nevertheless."
        )
    if virtual_clock and control_token is None:
        raise click.UsageError("--virtual-clock needs --control-token: without it, no client could move the clock.")
    try:
        server = Emulator(
            host=host,
            port=port,
            # Starts at the present time, so that clients that use the system clock do not find its tokens expired.
            clock=VirtualClock(datetime.now(UTC), auto=False) if virtual_clock else SystemClock(),
            seed=seed,
            errors=errors,
            dates=dates,
            interval=interval,
            expires_in=expires_in,
            control_token=control_token,
        )
    except ValueError as error:  # the control token is invalid; the message does not quote it
        raise click.UsageError(f"{error}.") from None
    if insecurely_on_the_network:
        click.echo("Warning: other machines can reach this server, and nothing is encrypted.", err=True)
    asyncio.run(_serve(server, _json_line if as_json else _shell_lines))
    return EXIT_OK


async def _serve(server: Emulator, describe: Callable[[Emulator], str]) -> None:
    """Start the server, print its description, and serve until SIGTERM, or until Ctrl-C cancels this task."""
    stop = asyncio.Event()
    with _on_sigterm(stop.set):
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(server)
            except OSError as error:
                raise CannotListenError(
                    f"Cannot listen on the address given by --host and --port: {_reason(error)}."
                ) from error
            # Flushed at once, because the parent process waits for it.
            print(describe(server), flush=True)
            await stop.wait()


@contextlib.contextmanager
def _on_sigterm(stop: Callable[[], None]) -> Generator[None]:
    loop = asyncio.get_running_loop()
    # Not every event loop supports this. Without it, SIGTERM ends the process as usual.
    with contextlib.suppress(NotImplementedError):
        loop.add_signal_handler(signal.SIGTERM, stop)
    try:
        yield
    finally:
        with contextlib.suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGTERM)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _json_line(server: Emulator) -> str:
    values = {
        "base_url": server.base_url,
        "account_sid": server.account_sid,
        "auth_token": server.auth_token,
        "client_sid": server.client_sid,
        "client_secret": server.client_secret,
        "control_url": server.control_url,
    }
    return json.dumps(values)


def _shell_lines(server: Emulator) -> str:
    """Return lines that a shell can source; text for the user is in comments."""
    variables = {
        "TWILIO_OAUTH_URL": server.base_url,
        "TWILIO_ACCOUNT_SID": server.account_sid,
        "TWILIO_AUTH_TOKEN": server.auth_token,
        "TWILIO_CLIENT_ID": server.client_sid,
        "TWILIO_CLIENT_SECRET": server.client_secret or "",
    }
    lines = [
        "# The OAuth emulator is ready. It is for tests and is not Twilio. Press Ctrl-C to stop it.",
        f"# Page to enter a code: {server.activation_url}",
    ]
    if server.control_url is not None:
        lines.append(f"# Control endpoints, with the control token: {server.control_url}")
    lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join(lines)
