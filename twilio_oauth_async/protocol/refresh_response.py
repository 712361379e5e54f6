"""Fill in the members that a refresh response omits (RFC 6749 6, OpenID Connect Core 12.2).

Pure: a grant sends the request.
"""

from __future__ import annotations

import attrs

from twilio_oauth_async.protocol.models import Token


def fill_omitted(new: Token, old: Token) -> Token:
    """Return `new`, with each member that the refresh response omits copied from `old`.

    Args:
        new: the token of the response.
        old: the token that was refreshed.

    Returns:
        The complete token, which can be saved instead of `old`.
    """
    if new.refresh_token is None:
        # RFC 6749 6: without a new refresh token the old one stays valid, and its expiry stays as it was.
        new = attrs.evolve(new, refresh_token=old.refresh_token, refresh_token_expires_at=old.refresh_token_expires_at)
    if new.id_token is None:
        # OIDC Core 12.2: a refresh response may have no ID token; the user is still the same.
        new = attrs.evolve(new, id_token=old.id_token)
    if new.scope is None:
        # RFC 6749 6: an omitted scope is the scope that was granted before.
        new = attrs.evolve(new, scope=old.scope)
    return new
