"""A complete authorization server on loopback, for demos, tests and development."""

from __future__ import annotations

try:
    from twilio_oauth_async.emulator.server import Emulator
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in {"jinja2", "joserfc", "cryptography"}:
        raise
    raise ModuleNotFoundError(
        f"the emulator needs {error.name}: pip install 'twilio-oauth-async[emulator]'", name=error.name
    ) from error

__all__ = ["Emulator"]
