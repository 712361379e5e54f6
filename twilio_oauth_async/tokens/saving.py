"""Saves the token of a new sign-in in a store, for a caller that has no `TokenManager` of its user."""

from __future__ import annotations

from datetime import datetime

from twilio_oauth_async.errors import LoginRequired, StoreConflict
from twilio_oauth_async.grants.base import Grant
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.stores.base import StoredToken, TokenStore
from twilio_oauth_async.tokens.identity import identity_of, key_of
from twilio_oauth_async.tokens.lifetime import MAX_CONFLICTS
from twilio_oauth_async.tokens.server_time import in_server_time, skew_of


async def save_sign_in(
    store: TokenStore, grant: Grant, user: str, token: Token, *, epoch: str, signed_in_at: datetime
) -> None:
    """Save `token`, unless a later sign-in of the user is stored: the later sign-in wins.

    It can be repeated after a `StoreError` with the same `epoch` and `signed_in_at`: the first call may have saved it.

    Args:
        store: keeps the token.
        grant: obtained the token.
        user: whose token it is.
        token: as it was received.
        epoch: names the sign-in.
        signed_in_at: UTC, local time, when the token was received.

    Raises:
        LoginRequired: the user has signed out since (reason ``signed_out``); nothing is saved.
        StoreError: the store failed.
    """
    identity, key = identity_of(grant), key_of(grant, user)
    stored = StoredToken(
        token=token,
        client_sid="" if identity is None else identity.client_sid,
        server="" if identity is None else identity.server,
        scopes=() if identity is None else identity.scopes,
        audiences=() if identity is None else identity.audiences,
        epoch=epoch,
        signed_in_at=signed_in_at,
        obtained_at=signed_in_at,
    )
    stored = in_server_time(stored, skew_of(grant))
    async with store.lock(key):
        for attempt in range(MAX_CONFLICTS):
            present = await store.load(key)
            if present is not None and (present.epoch == epoch or present.signed_in_at > stored.signed_in_at):
                return
            try:
                await store.save(key, stored, replaces=None if present is None else present.epoch)
            except StoreConflict:
                if attempt == MAX_CONFLICTS - 1:
                    raise
            else:
                return
            if await store.is_deleted(key):
                break
    raise LoginRequired("the user has signed out meanwhile; sign in again", reason="signed_out")


async def remove_sign_in(store: TokenStore, grant: Grant, user: str, *, epoch: str) -> None:
    """Delete the stored token of `user` if it came from the sign-in `epoch`.

    Raises:
        StoreError: the store failed.
    """
    key = key_of(grant, user)
    async with store.lock(key):
        present = await store.load(key)
        if present is not None and present.epoch == epoch:
            await store.delete(key)
