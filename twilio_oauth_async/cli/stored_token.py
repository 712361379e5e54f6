"""The stored token of a profile, read without a session: scripts ask for it often, and mostly it is still fresh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twilio_oauth_async.cli import opening
from twilio_oauth_async.protocol.endpoints import choose_base_url
from twilio_oauth_async.stores.records import TokenKey

if TYPE_CHECKING:
    from twilio_oauth_async.cli.settings import Settings
    from twilio_oauth_async.protocol.models import Token
    from twilio_oauth_async.stores.records import StoredToken

LEEWAY = 60.0
"""Seconds before expiry at which a token is refreshed, as `TokenManager` has it by default."""


async def fresh_token(settings: Settings, min_valid: float) -> Token | None:
    """Return the stored token if it needs no request; None if a `TokenManager` has to decide.

    Args:
        settings: of the profile.
        min_valid: seconds that the token must still be valid.

    Raises:
        StoreError: it cannot be read.
    """
    store = opening.token_store(settings)
    try:
        stored = await store.load(key_of(settings))
    finally:
        await store.close()
    if stored is None or stored.unanswered or not set(settings.get("scopes")) <= set(stored.scopes):
        return None
    return stored.token if _is_fresh(stored, min_valid) else None


def key_of(settings: Settings) -> TokenKey:
    """Return the key under which the token of a profile is stored."""
    return TokenKey(settings.profile, settings.need("client_id"), choose_base_url(*settings.server()))


def _is_fresh(stored: StoredToken, min_valid: float) -> bool:
    """Decide by the rules of `TokenManager`."""
    from twilio_oauth_async.tokens.lifetime import decide
    from twilio_oauth_async.tokens.state import Now, TokenState, Work
    from twilio_oauth_async.tokens.validity import hold

    clock = opening.new_clock()
    now = Now(clock.monotonic(), clock.now())
    held = hold(stored, now)
    decision = decide(TokenState(held=held, used=held, has_read=True), now, LEEWAY, min_valid)
    return not isinstance(decision.next, Work)
