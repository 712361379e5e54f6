"""`twilio-oauth whoami`, `status` and `logout`: who is signed in, what is stored, and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import attrs
import click

from twilio_oauth_async.cli.invocation import Invocation, invocation_of, invocation_options
from twilio_oauth_async.cli.settings import shown

if TYPE_CHECKING:
    from twilio_oauth_async.protocol.models import UserInfo
    from twilio_oauth_async.stores.records import StoredToken


@click.command(short_help="Show who is signed in.")
@invocation_options
def whoami(invocation: Invocation) -> int:
    """Show the user who is signed in, as the server knows it.

    \b
    twilio-oauth whoami --json
    """  # noqa: D301 - click needs the character
    asyncio.run(_whoami(invocation))
    return 0


async def _whoami(invocation: Invocation) -> None:
    from twilio_oauth_async.cli.opening import open_profile

    async with open_profile(invocation.settings) as opened:
        user = await opened.manager.user_info()
    invocation.print(user_as_json(user), user_text(user))


def user_text(user: UserInfo) -> str:
    """Return the name, the email address and the SID of a user, as far as they are known."""
    from twilio_oauth_async.protocol.sanitization import clean

    known = [user.friendly_name or "", f"<{user.email}>" if user.email else "", user.user_sid or ""]
    return clean(" ".join(part for part in known if part) or "an unnamed user", ())


def user_as_json(user: UserInfo) -> dict[str, Any]:
    """Return what is known of a user."""
    return attrs.asdict(user, filter=lambda _, value: value is None or isinstance(value, str | bool | int))


@click.command(short_help="Show the profile and what is stored, without secrets.")
@invocation_options
@click.option("-v", "--verbose", is_flag=True, help="Show where each setting came from.")
def status(invocation: Invocation, *, verbose: bool) -> int:
    """Show which profile is used, whether it is signed in, until when, and where the token is stored. No secrets.

    \b
    twilio-oauth status -v

    Nothing is sent. Exit code: 0 signed in, 1 not signed in.
    """  # noqa: D301 - click needs the character
    document = asyncio.run(_status(invocation))
    if verbose or invocation.as_json:
        document["settings"] = {
            name: {"value": shown(name, setting), "source": setting.source}
            for name, setting in invocation.settings.values.items()
        }
    invocation.print(document, _status_text(document))
    return 0 if document["signed_in"] else 1


async def _status(invocation: Invocation) -> dict[str, Any]:
    from twilio_oauth_async.cli.opening import token_store
    from twilio_oauth_async.cli.stored_token import key_of
    from twilio_oauth_async.protocol.endpoints import choose_base_url

    settings = invocation.settings
    store = token_store(settings)
    stored: StoredToken | None = None
    if settings.get("client_id"):
        stored = await store.load(key_of(settings))
    document: dict[str, Any] = {
        "profile": settings.profile,
        "config_file": str(invocation.config.path),
        "server": choose_base_url(*settings.server()),
        "client_id": settings.get("client_id"),
        "flow": settings.flow,
        "store": str(store.path),
        "signed_in": stored is not None,
    }
    await store.close()
    if stored is not None:
        token = stored.token
        document |= {
            "scopes": token.scope.split() if token.scope is not None else list(stored.scopes),
            "access_token_expires_at": _iso(token.access_token_expires_at),
            "refresh_token_expires_at": _iso(token.refresh_token_expires_at),
            "can_be_refreshed": token.refresh_token is not None,
        }
    return document


def _iso(moment: Any) -> str | None:
    return None if moment is None else str(moment.isoformat())


def _status_text(document: dict[str, Any]) -> str:
    lines = [f"{name.replace('_', ' ')}: {_shown(value)}" for name, value in document.items() if name != "settings"]
    for name, setting in document.get("settings", {}).items():
        lines.append(f"  {name} = {_shown(setting['value'])} (from {setting['source']})")
    return "\n".join(lines)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return " ".join(map(str, cast("Sequence[object]", value))) or "-"
    return "-" if value is None else str(value)


@click.command(short_help="Revoke and forget the token.")
@invocation_options
@click.option("--all", "all_profiles", is_flag=True, help="Of every profile in the configuration file.")
def logout(invocation: Invocation, *, all_profiles: bool) -> int:
    """Revoke the token at the server, then forget it.

    If the server cannot be reached, the token is kept, so that the command can be run again.

    \b
    twilio-oauth logout --all
    """  # noqa: D301 - click needs the character
    profiles = [invocation.settings.profile]
    if all_profiles:
        profiles += [name for name in invocation.config.profiles if name not in profiles]
    signed_out: list[str] = []
    for profile in profiles:
        of_profile = invocation
        if profile != invocation.settings.profile:
            of_profile = invocation_of(profile, invocation.config.path, {}, as_json=invocation.as_json)
        if of_profile.settings.get("client_id"):
            asyncio.run(_logout(of_profile))
            signed_out.append(profile)
    names = ", ".join(signed_out)
    invocation.print({"signed_out": signed_out}, f"Signed out ({names})." if names else "No profile was signed in.")
    return 0


async def _logout(invocation: Invocation) -> None:
    from twilio_oauth_async.cli.opening import open_profile

    async with open_profile(invocation.settings) as opened:
        await opened.manager.logout()
