"""``python -m twilio_oauth_async``: the command ``twilio-oauth``, which needs the extra ``cli``."""

from __future__ import annotations

import sys

from twilio_oauth_async.cli import main

if __name__ == "__main__":
    sys.exit(main())
