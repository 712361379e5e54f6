"""The command ``twilio-oauth``. Needs the extra ``cli``.

Nothing of the extra is imported before `main` runs, and each command imports what it alone needs.

May import: every other folder. No other folder imports this one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from twilio_oauth_async.extras import MissingExtraError, from_extra

INTERRUPTED = 130
"""What a shell reports for a program that Ctrl-C ended: 128 and the number of SIGINT."""
WRONG_USAGE = 2

_PACKAGES = ("click", "cryptography", "jinja2", "joserfc", "markupsafe", "rich")
"""Installed by the extra `cli`."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line `args`, the process's own where it is None; the result is the exit code."""
    try:
        with from_extra("cli", *_PACKAGES):
            from twilio_oauth_async.cli.commands import run

            return run(args)
    except MissingExtraError as error:
        print(f"twilio-oauth: {error}", file=sys.stderr)
        return WRONG_USAGE
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return INTERRUPTED
