"""`twilio-oauth emulator`: the emulated server by itself, for programs and tests in any language."""

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
STOPPED_AS_TOLD = 0


class CannotListenError(click.ClickException):
    """The address cannot be listened on; one line, because the usage would not help."""

    exit_code = 2


@click.command(short_help="Serve the emulated server until stopped.")
@click.option(
    "--host",
    metavar="ADDRESS",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen. Only this machine, unless --insecurely-on-the-network.",
)
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=0,
    show_default="a free one",
    help="Where to listen.",
)
@click.option(
    "--control-token",
    metavar="TOKEN",
    envvar=CONTROL_TOKEN_VARIABLE,
    help=f"Serve /_control/ to whoever sends this as a Bearer token. Better set {CONTROL_TOKEN_VARIABLE}: "
    "every process of this machine can read the options of this one.",
)
@click.option("--seed", metavar="NUMBER", type=int, help="Make the same identifiers and secrets in every run.")
@click.option(
    "--errors",
    type=click.Choice(["oauth", "twilio"]),
    default="oauth",
    show_default=True,
    help="Whose form refusals have: RFC 6749's or Twilio's.",
)
@click.option(
    "--dates", type=click.Choice(["rfc2822", "iso8601"]), default="rfc2822", show_default=True, help="How dates look."
)
@click.option(
    "--interval",
    metavar="SECONDS",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="The least time between two polls.",
)
@click.option(
    "--expires-in",
    metavar="SECONDS",
    type=click.IntRange(min=1),
    default=299,
    show_default=True,
    help="How long a device code lives.",
)
@click.option("--virtual-clock", is_flag=True, help="Let time stand still until /_control/advance moves it.")
@click.option("--json", "as_json", is_flag=True, help="Tell what is needed to use it as one line of JSON.")
@click.option(
    "--insecurely-on-the-network",
    is_flag=True,
    help="Let other machines connect, although nothing is encrypted and anybody may approve.",
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
    """Serve the emulated OAuth server until it is stopped.

    As soon as it listens, it prints its address and its throw-away credentials as lines that a shell can read in,
    under the names that the examples of this package use. With --control-token a test in any language can approve,
    deny, make faults and more: see the module twilio_oauth_async.emulator.control.http.

    Exit code: 0 stopped by SIGTERM, 2 wrong usage or an address that is taken, 130 stopped with Ctrl-C.
    """
    from twilio_oauth_async.emulator import Emulator

    if not _is_loopback(host) and not insecurely_on_the_network:
        raise click.UsageError(
            "--host is not an address of this machine alone. The emulator encrypts nothing and anybody may approve at "
            "it; with --insecurely-on-the-network it listens there all the same."
        )
    if virtual_clock and control_token is None:
        raise click.UsageError("--virtual-clock needs --control-token: nobody else could move the clock.")
    try:
        server = Emulator(
            host=host,
            port=port,
            # From now on, so that what checks its tokens by the machine's clock finds them fresh.
            clock=VirtualClock(datetime.now(UTC), auto=False) if virtual_clock else SystemClock(),
            seed=seed,
            errors=errors,
            dates=dates,
            interval=interval,
            expires_in=expires_in,
            control_token=control_token,
        )
    except ValueError as error:  # the token; the message does not quote it
        raise click.UsageError(f"{error}.") from None
    if insecurely_on_the_network:
        click.echo("Warning: other machines can reach this server, and nothing is encrypted.", err=True)
    asyncio.run(_serve(server, _json_line if as_json else _shell_lines))
    return STOPPED_AS_TOLD


async def _serve(server: Emulator, ready: Callable[[Emulator], str]) -> None:
    """Serve until SIGTERM, and print what `ready` makes of the server once it listens; Ctrl-C cancels this."""
    stop = asyncio.Event()
    with _on_sigterm(stop.set):
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(server)
            except OSError as error:
                raise CannotListenError(f"Cannot listen where --host and --port say: {_reason(error)}.") from error
            # At once: whoever starts this as a process waits for it.
            print(ready(server), flush=True)
            await stop.wait()


@contextlib.contextmanager
def _on_sigterm(stop: Callable[[], None]) -> Generator[None]:
    loop = asyncio.get_running_loop()
    # Not every event loop can do that; there, SIGTERM ends the process as it does by itself.
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
    told = {
        "base_url": server.base_url,
        "account_sid": server.account_sid,
        "auth_token": server.auth_token,
        "client_sid": server.client_sid,
        "client_secret": server.client_secret,
        "control_url": server.control_url,
    }
    return json.dumps(told)


def _shell_lines(server: Emulator) -> str:
    """Lines that a person can read and a shell can too: what is for the person alone is a comment."""
    variables = {
        "TWILIO_OAUTH_URL": server.base_url,
        "TWILIO_ACCOUNT_SID": server.account_sid,
        "TWILIO_AUTH_TOKEN": server.auth_token,
        "TWILIO_CLIENT_ID": server.client_sid,
        "TWILIO_CLIENT_SECRET": server.client_secret or "",
    }
    lines = [
        "# The OAuth emulator is ready; it is for tests, and not Twilio. Ctrl-C stops it.",
        f"# Codes are entered at {server.activation_url}",
    ]
    if server.control_url is not None:
        lines.append(f"# The control token opens {server.control_url}")
    lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join(lines)
