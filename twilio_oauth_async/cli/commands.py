"""The click group of all commands, and `run`, which returns the exit code of a command line."""

from __future__ import annotations

import difflib
import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import click
from click.shell_completion import get_completion_class

from twilio_oauth_async.cli.exit_codes import OK, REFUSED, describe

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "login": ("login", "login"),
    "token": ("tokens", "token"),
    "exec": ("tokens", "exec_"),
    "whoami": ("account", "whoami"),
    "status": ("account", "status"),
    "logout": ("account", "logout"),
    "discovery": ("server", "discovery"),
    "certs": ("server", "certs"),
    "verify": ("server", "verify"),
    "doctor": ("doctor", "doctor"),
    "worker": ("worker", "worker"),
    "emulator": ("emulator", "emulator"),
    "demo": ("demo", "demo"),
    "completion": ("commands", "completion"),
}
"""The module below this folder, and the name of the command in it. A module is imported when its command is used."""


class _Commands(click.Group):
    """A group whose commands are imported when they are needed, so that each starts fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - signature of click
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(f"twilio_oauth_async.cli.{module}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and (close := difflib.get_close_matches(args[0], COMMANDS, 1)):
            raise click.UsageError(f"No such command {args[0]!r}. Did you mean {close[0]}?", ctx)
        return super().resolve_command(ctx, args)


@click.group(
    "twilio-oauth",
    cls=_Commands,
    epilog="Not affiliated with Twilio.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="twilio-oauth-async", message="twilio-oauth %(version)s")
def commands() -> None:
    """Sign in to Twilio's OAuth API, and use the token in scripts.

    Settings come from options, then from environment variables, then from a profile in the configuration file:
    `twilio-oauth status -v` shows each with its source.
    """


@click.command(short_help="Print a script that completes commands in your shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print a script that completes commands and options.

    \b
    eval "$(twilio-oauth completion bash)"          in ~/.bashrc
    eval "$(twilio-oauth completion zsh)"           in ~/.zshrc, after compinit
    twilio-oauth completion fish > ~/.config/fish/completions/twilio-oauth.fish
    """  # noqa: D301 - click needs the character
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(commands, {}, "twilio-oauth", "_TWILIO_OAUTH_COMPLETE").source())
    return 0


def run(args: Sequence[str] | None) -> int:
    """Run one command line and return its exit code.

    Raises:
        KeyboardInterrupt: the user pressed Ctrl-C.
    """
    try:
        # In standalone mode, click would exit with 1 on Ctrl-C. Here 1 means that the sign-in failed.
        code: object = commands.main(args, "twilio-oauth", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except BrokenPipeError:
        # The reader of stdout has gone, as `head` does. Python would report it again at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return REFUSED
    except Exception as error:
        if not _is_expected(error):
            raise
        return _report(error, args)
    return code if isinstance(code, int) else OK


def _is_expected(error: Exception) -> bool:
    """Return whether `error` is one of the library; others are mistakes, and keep their traceback."""
    from twilio_oauth_async.errors import TwilioOAuthError

    return isinstance(error, TwilioOAuthError)


def _report(error: Exception, args: Sequence[str] | None) -> int:
    """Say what went wrong, in one sentence on stderr, and with ``--json`` also in a document on stdout."""
    code, sentence = describe(error)
    click.echo(f"Error: {sentence}", err=True)
    given = sys.argv[1:] if args is None else list(args)
    if "--json" in given and given[:1] != ["login"]:  # `login` has written its last event
        click.echo(json.dumps({"error": sentence, "exit_code": code}))
    return code
