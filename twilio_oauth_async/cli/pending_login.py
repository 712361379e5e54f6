"""The sign-in of a profile that waits for approval: stored, so that `login --resume` can finish it after Ctrl-C."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs

from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.stores.records import StoredFlow, TokenKey

if TYPE_CHECKING:
    from twilio_oauth_async.grants.device_flow import DeviceFlow
    from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
    from twilio_oauth_async.stores.base import FlowStore

LEASE = 90.0
"""Seconds after which another command may continue a sign-in whose command was killed: longer than any gap of polls."""


class PendingLogin:
    """A stored sign-in, and the right to poll it, which one command has at a time."""

    def __init__(self, store: FlowStore, stored: StoredFlow, owner: str) -> None:
        self._store, self._stored, self._owner = store, stored, owner

    @property
    def authorization(self) -> DeviceAuthorization:
        """The state of the device flow."""
        return self._stored.authorization

    @property
    def epoch(self) -> str:
        """The epoch of its token in the store."""
        return self._stored.epoch

    async def save(self, authorization: DeviceAuthorization) -> None:
        """Store the state after a poll, and keep the right to poll.

        Raises:
            StoreError: it cannot be stored.
        """
        self._stored = attrs.evolve(self._stored, authorization=authorization)
        await self._store.save(self._stored)
        await self._store.lease([self._stored.id], self._owner, LEASE)

    async def delete(self) -> None:
        """Delete it: the sign-in has ended."""
        await self._store.delete(self._stored.id)


@asynccontextmanager
async def pending_login(
    store: FlowStore, flow: DeviceFlow, profile: str, *, resume: bool
) -> AsyncGenerator[PendingLogin]:
    """Yield the sign-in of `profile`: the stored one with `resume`, else a new one in place of it.

    At the end it is released, so that another command can continue it, unless it was deleted.

    Raises:
        ConfigurationError: there is nothing to resume, or another command waits for this sign-in.
        TwilioOAuthError: no code was issued, or the store failed.
    """
    owner = f"command {os.getpid()} {secrets.token_hex(8)}"
    key = TokenKey(profile, flow.client_sid, flow.session.base_url)
    found = await store.find_user(key)
    if found is not None:
        if not await store.lease([found.id], owner, LEASE):
            raise ConfigurationError(
                f"another command waits for the sign-in of profile {profile}: finish or stop it first"
            )
        found = attrs.evolve(found, owner=owner)
    if found is not None and (not resume or found.authorization.expires_at <= flow.session.clock.now()):
        await store.delete(found.id)
        found = None
    if found is None:
        if resume:
            raise ConfigurationError(f"there is no sign-in of profile {profile} that could be resumed")
        stored = StoredFlow(
            id=secrets.token_urlsafe(24), user=profile, server=flow.session.base_url, authorization=await flow.start()
        )
        found = await store.create(stored, owner=owner, seconds=LEASE)
    try:
        yield PendingLogin(store, found, owner)
    finally:
        await store.release([found.id], owner)
