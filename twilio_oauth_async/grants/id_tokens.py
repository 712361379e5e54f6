"""Verification of the ID token in a token response: at a sign-in, and at a refresh.

The grants use these functions for their own `verifier`, and `TokenManager` for the one that it was created with. Both
can have one; then an ID token is verified twice.

A token that these functions return has a verified ID token, or none. At a refresh, it may have the previous ID token.
If an ID token is rejected, so is the whole response, because its tokens may belong to another user. They are revoked.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import attrs

from twilio_oauth_async.errors import ConfigurationError, IdTokenError, TwilioOAuthError
from twilio_oauth_async.oidc.unverified_claims import check_not_foreign, check_unchanged, read_unverified
from twilio_oauth_async.protocol.models import Token

if TYPE_CHECKING:
    from twilio_oauth_async.client.id_token_verifier import IdTokenVerifier
    from twilio_oauth_async.grants.base import Grant

OPENID = "openid"
"""The scope that requests an ID token (OpenID Connect Core 3.1.2.1)."""

_log = logging.getLogger(__name__)


class Revoker(Protocol):
    """The part of a `Grant` that can revoke a token."""

    async def revoke(self, token: Token) -> None:
        """Revoke `token` at the server (RFC 7009)."""
        ...


async def accept_sign_in(
    grant: Revoker, verifier: IdTokenVerifier, token: Token, *, scopes: Sequence[str], nonce: str | None = None
) -> Token:
    """Return the token to use after a sign-in, as `check_sign_in`; revoke a rejected one with `grant`."""
    rejection: IdTokenError
    try:
        return await check_sign_in(verifier, token, scopes=scopes, nonce=nonce)
    except IdTokenError as error:
        rejection = error
    await revoke_quietly(grant, token)
    raise rejection


async def accept_refreshed(grant: Revoker, verifier: IdTokenVerifier, new: Token, old: Token) -> Token:
    """Return the token to use after a refresh, as `check_refreshed`; revoke a rejected one with `grant`."""
    rejection: IdTokenError
    try:
        return await check_refreshed(verifier, new, old)
    except IdTokenError as error:
        rejection = error
    await revoke_quietly(grant, new, previous=old)
    raise rejection


async def check_sign_in(
    verifier: IdTokenVerifier, token: Token, *, scopes: Sequence[str], nonce: str | None = None
) -> Token:
    """Verify the ID token of a sign-in; return the token to use.

    If the keys of the server cannot be fetched, everything but the signature is checked, and the ID token is left out:
    the user has signed in, but an ID token that is not verified must not say which user. The ID token of a later
    refresh is then verified like a first one.

    Args:
        verifier: verifies the ID token.
        token: the token of the response.
        scopes: the requested scopes. If they contain ``openid``, the response must have an ID token.
        nonce: the nonce of the authorization request; None: the request had none.

    Raises:
        IdTokenError: the ID token is invalid; or there is none, although ``openid`` was requested (OpenID Connect
            Core 3.1.3.3).
        ConfigurationError: the session of the verifier is not open.
    """
    if token.id_token is None:
        if OPENID in scopes:
            raise IdTokenError("the token response has no ID token, although the scope openid was requested")
        return token
    problem: TwilioOAuthError
    try:
        await verifier.verify(token.id_token, nonce=nonce, access_token=token.access_token)
    except (IdTokenError, ConfigurationError):
        raise
    except TwilioOAuthError as error:
        problem = error
    else:
        return token
    verifier.check_without_keys(token.id_token, nonce=nonce, access_token=token.access_token)
    _log.warning("the ID token of a sign-in could not be verified and is left out of the token: %s", problem)
    return attrs.evolve(token, id_token=None)


async def check_refreshed(verifier: IdTokenVerifier, new: Token, old: Token) -> Token:
    """Verify the ID token of a refresh response; return the token to use.

    The server may have rotated the refresh token, so a fault that may pass must not lose the response: a wrong clock,
    an unknown key, keys that cannot be fetched, an ID token that cannot be parsed, a ``nonce`` or ``azp`` that the
    previous ID token did not have. The new tokens are then returned with the ID token of `old`, and the next refresh is
    compared with it. This is safe because an ID token is optional in a refresh response (OpenID Connect Core 12.2): a
    wrong one that is ignored is no worse than none.

    A response that belongs to another user or client is never used. ``iss``, ``sub``, ``aud`` and ``azp`` are
    therefore compared first, before the signature is verified: with those of the previous ID token, or if there is
    none, with the issuer and client of the verifier.

    Args:
        verifier: verifies the ID token.
        new: the token of the response. Members that the response omits may be filled in from `old`.
        old: the token that was refreshed. Its ID token was verified when it was received.

    Raises:
        IdTokenError: the ID token belongs to another user, client, issuer or access token.
    """
    if new.id_token is None or new.id_token == old.id_token:
        return attrs.evolve(new, id_token=old.id_token)
    claims = read_unverified(new.id_token)
    previous = old.id_token
    previous_claims: Mapping[str, object] = {} if previous is None else read_unverified(previous)
    if "sub" not in previous_claims:
        previous = None
        check_not_foreign(claims, issuer=verifier.issuer, client_sid=verifier.client_sid)
    else:
        check_unchanged(claims, previous_claims, client_sid=verifier.client_sid)
    problem: TwilioOAuthError
    try:
        if previous is None:
            await verifier.verify(new.id_token, access_token=new.access_token)
        else:
            await verifier.verify_refreshed(new.id_token, previous=previous, access_token=new.access_token)
    except IdTokenError as error:
        if error.claim == "at_hash":
            # A valid signature of the issuer says that the access token of this response is another one.
            raise
        problem = error
    except TwilioOAuthError as error:
        problem = error
    else:
        return new
    _log.warning("the ID token of a refresh response was not accepted, the previous one is kept: %s", problem)
    return attrs.evolve(new, id_token=old.id_token)


async def revoke_quietly(grant: Revoker, token: Token, *, previous: Token | None = None) -> None:
    """Revoke a rejected token at the server; a failure is logged and not raised.

    Args:
        grant: sends the request.
        token: the rejected token, which was not returned to the caller.
        previous: the token that was refreshed. If the server did not rotate its refresh token, only the access token of
            `token` is revoked, because the refresh token still belongs to the earlier sign-in.
    """
    if previous is not None and token.refresh_token == previous.refresh_token:
        token = attrs.evolve(token, refresh_token=None, refresh_token_expires_at=None)
    try:
        await grant.revoke(token)
    except Exception as error:  # noqa: BLE001 - the grant may be one of the caller's
        # The text of a foreign exception may contain the token.
        reason = error if isinstance(error, TwilioOAuthError) else type(error).__name__
        _log.warning("a rejected token could not be revoked: %s", reason)


def scopes_to_check(grant: Grant) -> tuple[str, ...]:
    """Return the `scopes` that a manager passes to `check_sign_in` for a token of `grant`.

    They are empty if a missing ID token is no error: the grant has no user, does not name its scopes, or has a verifier
    of its own, which may have left the ID token out.
    """
    identity = getattr(grant, "identity", None)
    if not grant.interactive or identity is None or getattr(grant, "verifier", None) is not None:
        return ()
    return tuple(identity.scopes)
