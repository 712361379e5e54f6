"""One sign-in at a running emulator, told on a screen from the code to the token."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TypeAlias

from twilio_oauth_async.cli.screen import Screen, Update
from twilio_oauth_async.cli.scripted_person import Decision, ScriptedPerson, ScriptedPersonError
from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.clock import Clock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.errors import AccessDeniedError, DeviceCodeExpiredError, TwilioOAuthError
from twilio_oauth_async.grants.device_flow import DeviceFlow
from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.models import Token, UserInfo
from twilio_oauth_async.protocol.redaction import clean

SIGNED_IN = 0
NOT_SIGNED_IN = 1

APP_NAME = "twilio-oauth demo"
SCOPES = ("openid", "profile", "email")

Script: TypeAlias = tuple[Decision, float]
"""What a scripted person decides, and after how many seconds."""


async def sign_in(emulator: Emulator, screen: Screen, clock: Clock, script: Script | None = None) -> int:
    """Sign somebody in at a running emulator and tell the story on `screen`.

    Args:
        emulator: its app must be a public one.
        screen: where to write.
        clock: the emulator's.
        script: None: a person is waited for.

    Returns:
        The exit code.
    """
    session = OAuthSession(emulator.account_sid, emulator.auth_token, base_url=emulator.base_url, clock=clock)
    async with session:
        flow = DeviceFlow(session, client_sid=emulator.client_sid, scopes=SCOPES)
        try:
            authorization = await flow.start()
            link = authorization.verification_uri_complete or authorization.verification_uri
            screen.say(authorization.instructions(APP_NAME), stress=(link, authorization.user_code))
            screen.say()
            with screen.status(_waiting_for(authorization, script)) as update:
                watch = asyncio.create_task(_count_down(authorization, clock, update, script))
                try:
                    person = ScriptedPerson(link, authorization.user_code)
                    token = await _wait(flow, authorization, clock, person, script)
                finally:
                    watch.cancel()
            screen.say(_welcome(await session.fetch_user_info(access_token=token.access_token)))
            screen.say(_validity(token, clock.now()))
        except AccessDeniedError:
            screen.say("Refused: access was denied on the page. There is no token.")
        except DeviceCodeExpiredError:
            screen.say("Expired: nobody decided while the code was valid. There is no token.")
        except ScriptedPersonError as error:
            screen.say(f"The scripted person gave up: {error}")
        except TwilioOAuthError as error:
            screen.say(f"Failed: {error}")
        else:
            return SIGNED_IN
    return NOT_SIGNED_IN


async def _wait(
    flow: DeviceFlow, authorization: DeviceAuthorization, clock: Clock, person: ScriptedPerson, script: Script | None
) -> Token:
    """Wait for the token while a scripted person, if there is one, goes through the page; end when either fails."""
    if script is None:
        return await flow.wait(authorization)
    decision, seconds = script

    async def act() -> None:
        await clock.sleep(seconds)
        await person.decide(decision)

    waiting, acting = asyncio.create_task(flow.wait(authorization)), asyncio.create_task(act())
    try:
        await asyncio.wait({waiting, acting}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            await acting
        return await waiting
    finally:
        for task in (waiting, acting):
            task.cancel()
        await asyncio.gather(waiting, acting, return_exceptions=True)


async def _count_down(authorization: DeviceAuthorization, clock: Clock, update: Update, script: Script | None) -> None:
    while True:
        left = max(0, round((authorization.expires_at - clock.now()).total_seconds()))
        update(f"{_waiting_for(authorization, script)} {left // 60}:{left % 60:02} left.")
        await clock.sleep(1)


def _waiting_for(authorization: DeviceAuthorization, script: Script | None) -> str:
    if script is None:
        return f"Waiting for you; the code expires at {_clock_time(authorization.expires_at)}, Ctrl-C stops."
    decision, seconds = script
    verb = {"approve": "approves", "deny": "denies"}[decision.value]
    return f"A scripted person {verb} after {seconds:g} s; the code expires at {_clock_time(authorization.expires_at)}."


def _welcome(user: UserInfo) -> str:
    known = [user.friendly_name or "", f"<{user.email}>" if user.email else "", user.user_sid or ""]
    return clean(f"Signed in as {' '.join(part for part in known if part) or 'somebody without a name'}.", ())


def _validity(token: Token, now: datetime) -> str:
    if token.access_token_expires_at is None:
        return "The server did not say when the access token expires."
    minutes = (token.access_token_expires_at - now).total_seconds() / 60
    when = token.access_token_expires_at.astimezone()
    return f"The access token, which is not shown, expires at {when:%Y-%m-%d %H:%M:%S %Z}, in {minutes:.0f} minutes."


def _clock_time(moment: datetime) -> str:
    """What the person's own clock shows then."""
    return f"{moment.astimezone():%H:%M:%S}"
