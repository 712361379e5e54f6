"""The list of commands, and how click's ways of ending become exit codes."""

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
    """Sign people in at Twilio's OAuth API by the device grant."""


commands.add_command(demo)
commands.add_command(emulator)


def run(args: Sequence[str] | None) -> int:
    """Run one command line; the result is the exit code.

    Raises:
        KeyboardInterrupt: Ctrl-C.
    """
    try:
        # Not click's own way out, which answers Ctrl-C with the 1 that stands for a refused sign-in here.
        code: object = commands.main(args, "twilio-oauth", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    return code if isinstance(code, int) else 0
