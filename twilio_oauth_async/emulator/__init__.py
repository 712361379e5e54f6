"""A complete authorization server on loopback, for demos, tests and development. Needs the extra ``emulator``.

The implementation is independent: it shares no OAuth code with the client, so that a mistake in one is not hidden by
the same mistake in the other.

May import: `clock`, `in_flight`, `extras`. Inside, each of these may import those after it: `server`, `app`, `control`,
`pages`, `endpoints`, `faults`, `rules`, `messages`.
"""

from __future__ import annotations

from twilio_oauth_async.extras import from_extra

with from_extra("emulator", "jinja2", "joserfc", "cryptography"):
    from twilio_oauth_async.emulator.server import Emulator

__all__ = ["Emulator"]
