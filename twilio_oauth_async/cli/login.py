"""`twilio-oauth login`: signs a user in and stores the token under the profile."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from twilio_oauth_async.cli.exit_codes import INTERRUPTED
from twilio_oauth_async.cli.invocation import Invocation, granted_scopes, invocation_options
from twilio_oauth_async.cli.settings import Setting, Settings

if TYPE_CHECKING:
    from twilio_oauth_async.cli.login_screen import LoginScreen
    from twilio_oauth_async.cli.opening import OpenProfile
    from twilio_oauth_async.protocol.models import Token
    from twilio_oauth_async.tokens.manager import TokenManager

_MAX_SECRET = 4096
"""Bytes that are read from a file with a secret."""


@click.command(short_help="Sign in, and store the token.")
@invocation_options
@click.option("--device", "flow", flag_value="device", help="Show a code that a user approves on another device.")
@click.option("--web", "flow", flag_value="web", help="Use the browser of this machine.")
@click.option("--client-credentials", "flow", flag_value="client_credentials", help="Sign the app itself in (v2).")
@click.option("--scope", "scopes", metavar="SCOPE", multiple=True, help="A scope to ask for; repeat it for several.")
@click.option("--audience", "audiences", metavar="URI", multiple=True, help="An API that the token is for.")
@click.option("--encrypt/--no-encrypt", default=None, help="Encrypt the stored token with a key in the keyring.")
@click.option("--client-secret-file", metavar="FILE", help="Read the secret of the app from a file; - is stdin.")
@click.option("--open", "opens", is_flag=True, help="Open the link in the browser of this machine.")
@click.option("--qr/--no-qr", default=None, help="Show a QR code. Default: if the terminal is large enough.")
@click.option("--resume", is_flag=True, help="Continue the sign-in that was interrupted with Ctrl-C.")
def login(invocation: Invocation, *, client_secret_file: str | None, opens: bool, qr: bool | None, resume: bool) -> int:
    """Sign in, and store the token under the profile.

    By default it shows a link and a code. Open the link on any device, check the code, and approve. Never enter a code
    that you did not ask for.

    \b
    twilio-oauth login --client-id OQ... --scope openid --scope email
    twilio-oauth login --web
    twilio-oauth login --resume          after Ctrl-C, until the code expires

    With --json it prints one line of JSON when the code is there (user_code, verification_uri,
    verification_uri_complete, expires_at; with --web authorization_url), and one at the end, with state: approved,
    denied, expired or failed.

    Exit code: 0 signed in, 1 denied, expired or refused, 2 wrong usage or configuration, 3 network, 4 server, 5 store,
    130 interrupted.
    """  # noqa: D301 - click needs the character
    from twilio_oauth_async.cli.login_screen import choose_login_screen

    if resume and invocation.settings.flow != "device":
        raise click.UsageError("--resume continues a sign-in with a code; this profile has another flow.")
    if invocation.settings.flow != "client_credentials" and invocation.settings.credentials() is None:
        raise click.UsageError(
            "There are no credentials of the account. Set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or TWILIO_API_KEY "
            "and TWILIO_API_SECRET, or put them into the profile."
        )
    if client_secret_file is not None:
        invocation = _with_secret(invocation, client_secret_file)
    screen = choose_login_screen(sys.stderr, as_json=invocation.as_json, qr=qr)
    # On a terminal, a code that has expired can be replaced at once. A program gets no prompt.
    asks = sys.stdin.isatty() and sys.stderr.isatty() and not invocation.as_json
    try:
        return asyncio.run(_login(invocation, screen, opens=opens, resume=resume, asks=asks))
    except KeyboardInterrupt:
        if invocation.settings.flow == "device":
            screen.say("\nStopped. Until the code expires, `twilio-oauth login --resume` goes on.")
            return INTERRUPTED
        raise


def _with_secret(invocation: Invocation, path: str) -> Invocation:
    """Return the invocation with the client secret in a file.

    Raises:
        click.UsageError: it cannot be read.
    """
    try:
        content = sys.stdin.buffer.read(_MAX_SECRET) if path == "-" else Path(path).read_bytes()[:_MAX_SECRET]
        secret = content.decode("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise click.UsageError("--client-secret-file cannot be read.") from None
    values = {**invocation.settings.values, "client_secret": Setting(secret, "an option", 0)}
    return attrs.evolve(invocation, settings=attrs.evolve(invocation.settings, values=values))


async def _login(invocation: Invocation, screen: LoginScreen, *, opens: bool, resume: bool, asks: bool) -> int:
    from twilio_oauth_async.cli.login_screen import JsonLoginScreen
    from twilio_oauth_async.cli.opening import open_profile
    from twilio_oauth_async.errors import TwilioOAuthError

    state = "approved"
    try:
        async with open_profile(invocation.settings) as opened:
            if invocation.settings.flow == "device":
                await _device_login(invocation, opened, screen, opens=opens, resume=resume, asks=asks)
            elif invocation.settings.flow == "web":
                await _web_login(invocation, opened, screen, opens=opens)
            else:
                await opened.manager.login()
            token = await opened.manager.token()
            text, user = await _who(invocation, opened.manager, token)
    except TwilioOAuthError as error:
        state = _state_of(error)
        if isinstance(screen, JsonLoginScreen):
            screen.write({"state": state, "error": str(error)})
        raise
    if isinstance(screen, JsonLoginScreen):
        expires_at = token.access_token_expires_at
        screen.write(
            {
                "state": state,
                "profile": invocation.settings.profile,
                "scopes": granted_scopes(token, invocation),
                "expires_at": None if expires_at is None else expires_at.isoformat(),
                "user": user,
            }
        )
    else:
        screen.say(text)
    return 0


async def _device_login(
    invocation: Invocation, opened: OpenProfile, screen: LoginScreen, *, opens: bool, resume: bool, asks: bool
) -> None:
    from twilio_oauth_async.cli.device_login import follow
    from twilio_oauth_async.cli.opening import device_flow_of, flow_store
    from twilio_oauth_async.cli.pending_login import pending_login
    from twilio_oauth_async.errors import DeviceCodeExpiredError, StoreError, TwilioOAuthError

    settings = invocation.settings
    flow, store = device_flow_of(settings, opened.session), flow_store(settings)
    try:
        while True:
            async with pending_login(store, flow, settings.profile, resume=resume) as pending:
                if await _has_token_of(pending.epoch, settings):
                    # The command was killed after it had saved the token. Another poll would revoke it (RFC 8628 3.4:
                    # a code is exchanged once).
                    await pending.delete()
                    return
                screen.show(pending.authorization, str(settings.get("app_name")))
                if opens:
                    await asyncio.to_thread(_open, pending.authorization.link)
                try:
                    token = await follow(flow, pending.authorization, screen, save=pending.save)
                except DeviceCodeExpiredError:
                    await pending.delete()
                    if not asks or not click.confirm("The code has expired. Get a new one?", default=True, err=True):
                        raise
                    resume = False
                    continue
                except StoreError:
                    raise  # the sign-in can be resumed
                except TwilioOAuthError:
                    await pending.delete()
                    raise
                try:
                    await opened.manager.adopt(token, epoch=pending.epoch)
                finally:
                    await pending.delete()
                return
    finally:
        await store.close()


async def _has_token_of(epoch: str, settings: Settings) -> bool:
    """Return whether the stored token came from this sign-in."""
    from twilio_oauth_async.cli.opening import token_store
    from twilio_oauth_async.cli.stored_token import key_of

    store = token_store(settings)
    stored = await store.load(key_of(settings))
    await store.close()
    return stored is not None and stored.epoch == epoch


async def _web_login(invocation: Invocation, opened: OpenProfile, screen: LoginScreen, *, opens: bool) -> None:
    from twilio_oauth_async.cli.login_screen import JsonLoginScreen
    from twilio_oauth_async.cli.opening import web_flow_of

    async def show(url: str) -> None:
        if isinstance(screen, JsonLoginScreen):
            screen.write({"authorization_url": url})
        screen.say(f"Open this page in the browser of this machine:\n{url}\nWaiting until you have signed in there.")
        if opens:
            await asyncio.to_thread(_open, url)

    token = await web_flow_of(invocation.settings, opened.session, show).run()
    await opened.manager.adopt(token)


def _open(link: str) -> None:
    import webbrowser

    with contextlib.suppress(webbrowser.Error):  # the link is on the screen too
        webbrowser.open(link)


async def _who(invocation: Invocation, manager: TokenManager, token: Token) -> tuple[str, dict[str, Any] | None]:
    """Return a sentence about who is signed in, and the same as JSON values."""
    from twilio_oauth_async.cli.account import user_as_json, user_text
    from twilio_oauth_async.errors import TwilioOAuthError

    profile = f"profile {invocation.settings.profile}"
    if "openid" not in granted_scopes(token, invocation):
        return f"Signed in ({profile}).", None
    try:
        user = await manager.user_info()
    except TwilioOAuthError:  # the sign-in has succeeded all the same
        return f"Signed in ({profile}).", None
    return f"Signed in as {user_text(user)} ({profile}).", user_as_json(user)


def _state_of(error: Exception) -> str:
    from twilio_oauth_async.errors import AccessDeniedError, AuthorizationError, DeviceCodeExpiredError

    is_denied = isinstance(error, AuthorizationError) and error.error == "access_denied"
    if is_denied or isinstance(error, AccessDeniedError):
        return "denied"
    return "expired" if isinstance(error, DeviceCodeExpiredError) else "failed"
