"""A stored token with everything in it, and a secret that must show up nowhere."""

import traceback
from datetime import UTC, datetime, timedelta

from twilio_oauth_async import Token, TwilioOAuthError
from twilio_oauth_async.stores.base import StoredToken

CANARY = "s3cr3t-canary"
NOW = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def stored(generation=1, unanswered=0, **changes):
    """The token of this generation; `changes` to its fields."""
    token = {
        "access_token": f"{CANARY}-access-{generation}",
        "access_token_expires_at": NOW + timedelta(hours=1),
        "refresh_token": f"{CANARY}-refresh-{generation}",
        "refresh_token_expires_at": NOW + timedelta(days=30),
        "id_token": f"{CANARY}.id.{generation}",
        "scope": "openid calls:read",
    }
    return StoredToken(
        token=Token(**{**token, **changes}), generation=generation, obtained_at=NOW, unanswered=unanswered
    )


async def told_by(call):
    """All that the library's error of `call` tells; nothing where it brings none."""
    try:
        await call
    except TwilioOAuthError as error:
        caught = error
    else:
        return []
    assert caught.__context__ is caught.__cause__ is None
    return [str(caught), repr(caught), repr(vars(caught)), "".join(traceback.format_exception(caught))]
