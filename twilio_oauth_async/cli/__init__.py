"""The `twilio-oauth` command.

Nothing of the extra `cli` is imported before `main` runs, and each command imports what it alone needs.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

INTERRUPTED = 130
"""What a shell reports for a program that Ctrl-C ended: 128 and the number of SIGINT."""
WRONG_USAGE = 2

_OF_THE_EXTRA = frozenset({"click", "cryptography", "jinja2", "joserfc", "markupsafe", "rich"})


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line `args`, the process's own where it is None; the result is the exit code."""
    try:
        from twilio_oauth_async.cli.commands import run

        return run(args)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _OF_THE_EXTRA:
            raise
        print(
            f"twilio-oauth needs the package {missing}, which is not installed. Run:\n"
            "  pip install 'twilio-oauth-async[cli]'",
            file=sys.stderr,
        )
        return WRONG_USAGE
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return INTERRUPTED
