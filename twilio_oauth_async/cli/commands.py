"""The click group of all commands, and `run`, which returns the exit code of a command line."""

from __future__ import annotations

from collections.abc import Sequence

import click

from twilio_oauth_async.cli.demo import demo
from twilio_oauth_async.cli.emulator import emulator


@click.group(
    "twilio-oauth",
    epilog="Not affiliated with Twilio.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="twilio-oauth-async", message="twilio-oauth %(version)s")
def commands() -> None:
    """Sign in to Twilio's OAuth API with the device grant."""


commands.add_command(demo)
commands.add_command(emulator)


def run(args: Sequence[str] | None) -> int:
    """Run one command line and return its exit code.

    Raises:
        KeyboardInterrupt: the user pressed Ctrl-C.
    """
    try:
        # In standalone mode, click would exit with 1 on Ctrl-C. Here 1 means that the sign-in failed.
        code: object = commands.main(args, "twilio-oauth", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    return code if isinstance(code, int) else 0
