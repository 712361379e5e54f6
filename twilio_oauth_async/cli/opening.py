"""Opens what a command works with: the session, the grant, the stores, and the manager of the profile's token."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from twilio_oauth_async.cli.settings import DEFAULT_RANK, Settings
from twilio_oauth_async.clock import Clock, SystemClock

if TYPE_CHECKING:
    from twilio_oauth_async.client.session import OAuthSession
    from twilio_oauth_async.grants.authorization_code import AuthorizationCodeFlow
    from twilio_oauth_async.grants.base import Grant
    from twilio_oauth_async.grants.device_flow import DeviceFlow
    from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore, Keyring
    from twilio_oauth_async.tokens.manager import TokenManager

new_clock: Callable[[], Clock] = SystemClock
"""Returns the source of time of one command. Tests replace it."""


def open_session(settings: Settings) -> OAuthSession:
    """Return a session for the server of the profile; it is to be used as a context manager."""
    from twilio_oauth_async.client.session import OAuthSession

    credentials = settings.credentials()
    username, password = credentials if credentials is not None else (None, None)
    base_url, region, edge = settings.server()
    issuer = settings.need("issuer")
    return OAuthSession(
        username, password, base_url=base_url, region=region, edge=edge, issuer=issuer, clock=new_clock()
    )


def grant_of(settings: Settings, session: OAuthSession) -> Grant:
    """Return the grant by which the profile gets and refreshes its token.

    Raises:
        ConfigurationError: a setting is missing or not valid.
    """
    if settings.flow == "client_credentials":
        from twilio_oauth_async.grants.client_credentials import ClientCredentials

        return ClientCredentials(
            session,
            client_id=settings.need("client_id"),
            client_secret=settings.need("client_secret"),
            scope=" ".join(settings.get("scopes")) if settings.values["scopes"].rank < DEFAULT_RANK else None,
            audience=" ".join(settings.get("audiences")) or None,
        )
    return web_flow_of(settings, session) if settings.flow == "web" else device_flow_of(settings, session)


def web_flow_of(
    settings: Settings, session: OAuthSession, prompt: Callable[[str], Awaitable[None]] | None = None
) -> AuthorizationCodeFlow:
    """Return the authorization code flow of the profile; `prompt` shows the URL."""
    from twilio_oauth_async.grants.authorization_code import AuthorizationCodeFlow

    return AuthorizationCodeFlow(
        session,
        client_sid=settings.need("client_id"),
        client_secret=settings.get("client_secret"),
        redirect_uri=settings.get("redirect_uri"),
        scopes=settings.get("scopes"),
        prompt=prompt,
    )


def device_flow_of(settings: Settings, session: OAuthSession) -> DeviceFlow:
    """Return the device flow of the profile."""
    from twilio_oauth_async.grants.device_flow import DeviceFlow

    return DeviceFlow(
        session,
        client_sid=settings.need("client_id"),
        client_secret=settings.get("client_secret"),
        scopes=settings.get("scopes"),
        audiences=settings.get("audiences"),
    )


def token_store(settings: Settings) -> FileTokenStore:
    """Return the store of all tokens."""
    from twilio_oauth_async.stores.file import FileTokenStore

    return FileTokenStore(_path(settings, settings.get("store"), "tokens.db"), encryption=_encryption(settings))


def flow_store(settings: Settings) -> FileFlowStore:
    """Return the store of the sign-in that waits for approval, beside the tokens."""
    from twilio_oauth_async.stores.file import FileFlowStore

    store = settings.get("store")
    beside = None if store is None else str(Path(store).with_name("login.db"))
    return FileFlowStore(_path(settings, beside, "login.db"), encryption=_encryption(settings))


def _path(settings: Settings, given: str | None, name: str) -> Path:
    """Return the path of a store: as the user has given it, or in the platform's folder for the state of programs.

    Profiles with and without encryption have files of their own: a file is encrypted as a whole or not at all.
    """
    if given is not None:
        return Path(given)
    from platformdirs import user_state_path

    folder = user_state_path("twilio-oauth-async", appauthor=False)
    return folder / (f"encrypted-{name}" if settings.get("encrypt") else name)


def _encryption(settings: Settings) -> Keyring | None:
    if not settings.get("encrypt"):
        return None
    from twilio_oauth_async.stores.file import Keyring

    return Keyring()


@attrs.frozen
class OpenProfile:
    """A profile that is in use."""

    session: OAuthSession
    grant: Grant
    manager: TokenManager


@contextlib.asynccontextmanager
async def open_profile(settings: Settings) -> AsyncGenerator[OpenProfile]:
    """Yield the profile with an open session."""
    from twilio_oauth_async.tokens.manager import TokenManager

    async with open_session(settings) as session:
        store, grant = token_store(settings), grant_of(settings, session)
        manager = TokenManager(grant, store=store, key=settings.profile)
        try:
            yield OpenProfile(session, grant, manager)
        finally:
            await manager.close()
            await store.close()
