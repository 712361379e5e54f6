"""`twilio-oauth token` and `exec`: the access token on stdout, or in the environment of a command."""

from __future__ import annotations

import asyncio
import os
import subprocess
from typing import TYPE_CHECKING

import click

from twilio_oauth_async.cli.exit_codes import NOT_EXECUTABLE, NOT_FOUND, OK
from twilio_oauth_async.cli.invocation import Invocation, invocation_options

if TYPE_CHECKING:
    from twilio_oauth_async.protocol.models import Token

TOKEN_VARIABLE = "TWILIO_ACCESS_TOKEN"  # noqa: S105 - a name


@click.command(short_help="Print a valid access token.")
@invocation_options
@click.option("--header", is_flag=True, help="Print it as a line of an HTTP request.")
@click.option("--min-valid", metavar="SECONDS", type=click.FloatRange(min=0), help="Refresh it if it expires earlier.")
def token(invocation: Invocation, *, header: bool, min_valid: float | None) -> int:
    """Print a valid access token alone on stdout. It is refreshed if that is needed.

    Many processes at once refresh it once. It is printed nowhere else, also not with --debug.

    \b
    curl -H "$(twilio-oauth token --header)" https://api.example

    Exit code: 0, 1 a sign-in is needed, 2 wrong usage or configuration, 3 network, 4 server, 5 store.
    """  # noqa: D301 - click needs the character
    found = asyncio.run(_token(invocation, min_valid or 0.0))
    if invocation.as_json:
        expires_at = found.access_token_expires_at
        document = {
            "access_token": found.access_token,
            "expires_at": None if expires_at is None else expires_at.isoformat(),
        }
        invocation.print(document, "")
    else:
        click.echo(f"Authorization: Bearer {found.access_token}" if header else found.access_token)
    return OK


async def _token(invocation: Invocation, min_valid: float = 0.0) -> Token:
    from twilio_oauth_async.cli.stored_token import fresh_token

    stored = await fresh_token(invocation.settings, min_valid)
    if stored is not None:
        return stored
    from twilio_oauth_async.cli.opening import open_profile

    async with open_profile(invocation.settings) as opened:
        return await opened.manager.token(min_valid_for=min_valid)


@click.command("exec", short_help="Run a command with the access token in its environment.")
@invocation_options
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def exec_(invocation: Invocation, *, command: tuple[str, ...]) -> int:
    """Run COMMAND with a valid access token in the variable TWILIO_ACCESS_TOKEN.

    The token is refreshed first if that is needed; it is not replaced while the command runs.

    \b
    twilio-oauth exec -- ./report.sh

    Exit code: that of COMMAND; 127 if it does not exist, 126 if it cannot be run.
    """  # noqa: D301 - click needs the character
    found = asyncio.run(_token(invocation))
    environment = {**os.environ, TOKEN_VARIABLE: found.access_token}
    try:
        code = subprocess.run(command, env=environment, check=False).returncode  # noqa: S603 - that is its purpose
    except FileNotFoundError:
        click.echo(f"Error: The command {command[0]} was not found.", err=True)
        return NOT_FOUND
    except OSError as error:
        click.echo(f"Error: The command {command[0]} cannot be run: {error.strerror}.", err=True)
        return NOT_EXECUTABLE
    return code if code >= 0 else 128 - code
