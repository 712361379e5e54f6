"""Serving the emulator in the process of a command: what it prints, its environment file, and the command it runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import socket
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from twilio_oauth_async.cli.exit_codes import NOT_EXECUTABLE, NOT_FOUND, OK
from twilio_oauth_async.cli.signals import on_signals

if TYPE_CHECKING:
    from twilio_oauth_async.emulator import Emulator


class CannotListenError(click.ClickException):
    """The emulator cannot listen on the address. Shown as one line; the usage text would not help."""

    exit_code = 2


async def serve(
    server: Emulator, control_token: str, *, as_json: bool, env_file: Path | None, command: tuple[str, ...]
) -> int:
    """Start the server, and serve while `command` runs, or until SIGTERM, or until Ctrl-C cancels this task.

    Args:
        server: not started yet.
        control_token: its control token.
        as_json: print JSON in place of lines for a shell.
        env_file: written when the server is ready, and deleted at the end.
        command: the command to run; empty: print the description and wait.

    Returns:
        The exit code of `command`, or 0.

    Raises:
        click.ClickException: the server cannot listen, or `env_file` cannot be written.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(server)
        except OSError as error:
            raise CannotListenError(
                f"Cannot listen on the address given by --host and --port: {_reason(error)}."
            ) from error
        variables = _variables(server, control_token)
        if env_file is not None:
            stack.enter_context(_written(env_file, variables))
        if command:
            return await _run(command, variables)
        stop = asyncio.Event()
        with on_signals((signal.SIGTERM,), lambda _: stop.set()):
            # Flushed at once, because the parent process waits for it.
            print(_json_line(server, control_token) if as_json else _shell_lines(server, variables), flush=True)
            await stop.wait()
    return OK


async def _run(command: tuple[str, ...], variables: dict[str, str]) -> int:
    """Run `command` with `variables` in its environment, and return its exit code as a shell does."""
    try:
        process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **variables})
    except FileNotFoundError:
        click.echo(f"Error: The command {command[0]} was not found.", err=True)
        return NOT_FOUND
    except OSError as error:
        click.echo(f"Error: The command {command[0]} cannot be run: {_reason(error)}.", err=True)
        return NOT_EXECUTABLE

    def forward(number: signal.Signals) -> None:
        # Ctrl-C reaches the command from the terminal; it decides what to do, and this process waits for it.
        if number is not signal.SIGINT:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)

    signals = (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()))
    with on_signals(signals, forward):
        code = await process.wait()
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _written(path: Path, variables: dict[str, str]) -> Generator[None]:
    """Write `variables` to `path` for the time of a block. A program that waits for the file finds it complete."""
    try:
        descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(f"{name}={shlex.quote(value) if value else ''}\n" for name, value in variables.items())
        Path(unfinished).replace(path)
    except OSError as error:
        raise click.UsageError(f"--env-file cannot be written: {_reason(error)}.") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _variables(server: Emulator, control_token: str) -> dict[str, str]:
    return {
        "TWILIO_OAUTH_URL": server.base_url,
        "TWILIO_ACCOUNT_SID": server.account_sid,
        "TWILIO_AUTH_TOKEN": server.auth_token,
        "TWILIO_CLIENT_ID": server.client_sid,
        "TWILIO_CLIENT_SECRET": server.client_secret or "",
        "TWILIO_OAUTH_CONTROL_URL": server.control_url or "",
        "TWILIO_OAUTH_CONTROL_TOKEN": control_token,
    }


def _json_line(server: Emulator, control_token: str) -> str:
    values = {
        "base_url": server.base_url,
        "account_sid": server.account_sid,
        "auth_token": server.auth_token,
        "client_sid": server.client_sid,
        "client_secret": server.client_secret,
        "control_url": server.control_url,
        "control_token": control_token,
    }
    return json.dumps(values)


def _shell_lines(server: Emulator, variables: dict[str, str]) -> str:
    """Return lines that a shell can source; text for the user is in comments."""
    lines = [
        "# The OAuth emulator is ready. It is for tests and is not Twilio. Press Ctrl-C to stop it.",
        f"# Page on which a user enters a code: {server.activation_url}",
        f"# Page with all codes, users, tokens, faults and requests: {server.base_url}/",
        *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
    ]
    return "\n".join(lines)
