"""The command ``twilio-oauth`` (extra ``cli``).

No package of the extra is imported before `main` runs, and each command imports only what it needs.

May import: every other folder. No other folder imports this one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from twilio_oauth_async.cli.exit_codes import INTERRUPTED, WRONG_USAGE
from twilio_oauth_async.extras import MissingExtraError, from_extra

_PACKAGES = ("click", "cryptography", "jinja2", "joserfc", "keyring", "markupsafe", "platformdirs", "rich", "segno")
"""Packages that the extra ``cli`` installs."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line `args` (None: that of the process) and return the exit code."""
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
