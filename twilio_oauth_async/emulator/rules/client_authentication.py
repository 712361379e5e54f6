"""Client authentication: finds the app of a request and checks its secret (RFC 6749 2.3)."""

from __future__ import annotations

from collections.abc import Mapping

from twilio_oauth_async.emulator.messages.credentials import same_secret
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.rules.model import App


def find_client(apps: Mapping[str, App], sid: str) -> App:
    """Return the app `sid`, not yet authenticated.

    Raises:
        ErrorResponse: ``invalid_client``: there is no such app.
    """
    app = apps.get(sid)
    if app is None:
        raise ErrorResponse("invalid_client", "There is no such client.", status=401, twilio_code=322402)
    return app


def authenticate_client(
    apps: Mapping[str, App], sid: str, secret: str | None, *, required: bool = True
) -> tuple[App, bool]:
    """Return the app `sid`, and whether it authenticated with its secret (RFC 6749 2.3.1).

    With `required`, a confidential app must send its secret. A secret that is sent is always checked.

    Raises:
        ErrorResponse: ``invalid_client``: there is no such app, or the secret is wrong, missing or not expected.
    """
    app = find_client(apps, sid)
    if app.secret is None:
        # A public client has no secret. One that sends a secret is misconfigured and gets an error.
        if secret is not None:
            raise ErrorResponse("invalid_client", "A public client has no secret.", status=401, twilio_code=322402)
        return app, False
    if secret is None:
        if required:
            raise ErrorResponse(
                "invalid_client", "A confidential client must send its secret.", status=401, twilio_code=321405
            )
        return app, False
    if not same_secret(secret, app.secret):
        raise ErrorResponse("invalid_client", "The client secret is wrong.", status=401, twilio_code=322402)
    return app, True
