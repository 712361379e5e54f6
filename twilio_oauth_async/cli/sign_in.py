"""One sign-in against a running emulator, with output on a screen."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TypeAlias

from twilio_oauth_async.cli.screen import Screen, Update
from twilio_oauth_async.cli.simulated_user import Decision, SimulatedUser, SimulatedUserError
from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.clock import Clock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.errors import AccessDeniedError, DeviceCodeExpiredError, TwilioOAuthError
from twilio_oauth_async.grants.device_flow import DeviceFlow
from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.models import Token, UserInfo
from twilio_oauth_async.protocol.sanitization import clean

SIGNED_IN = 0
NOT_SIGNED_IN = 1

APP_NAME = "twilio-oauth demo"
SCOPES = ("openid", "profile", "email")

SimulatedDecision: TypeAlias = tuple[Decision, float]
"""The decision of the simulated user, and the seconds after which it is made."""


async def sign_in(emulator: Emulator, screen: Screen, clock: Clock, simulated: SimulatedDecision | None = None) -> int:
    """Sign a user in with the device grant and write the progress and the result to `screen`.

    Args:
        emulator: a running one; its app must be a public client.
        screen: output for the user.
        clock: the clock of the emulator.
        simulated: what the simulated user does; None to wait for a real user.

    Returns:
        The exit code.
    """
    session = OAuthSession(emulator.account_sid, emulator.auth_token, base_url=emulator.base_url, clock=clock)
    async with session:
        flow = DeviceFlow(session, client_sid=emulator.client_sid, scopes=SCOPES)
        try:
            authorization = await flow.start()
            link = authorization.verification_uri_complete or authorization.verification_uri
            screen.say(authorization.instructions(APP_NAME), highlight=(link, authorization.user_code))
            screen.say()
            with screen.status(_waiting_text(authorization, simulated)) as update:
                countdown = asyncio.create_task(_count_down(authorization, clock, update, simulated))
                try:
                    user = SimulatedUser(link, authorization.user_code)
                    token = await _wait(flow, authorization, clock, user, simulated)
                finally:
                    countdown.cancel()
            screen.say(_signed_in_text(await session.fetch_user_info(access_token=token.access_token)))
            screen.say(_expiry_text(token, clock.now()))
        except AccessDeniedError:
            screen.say("Denied: access was denied on the page. There is no token.")
        except DeviceCodeExpiredError:
            screen.say("Expired: access was neither approved nor denied in time. There is no token.")
        except SimulatedUserError as error:
            screen.say(f"Failed: the simulated user could not continue: {error}")
        except TwilioOAuthError as error:
            screen.say(f"Failed: {error}")
        else:
            return SIGNED_IN
    return NOT_SIGNED_IN


async def _wait(
    flow: DeviceFlow,
    authorization: DeviceAuthorization,
    clock: Clock,
    user: SimulatedUser,
    simulated: SimulatedDecision | None,
) -> Token:
    """Wait for the token. A simulated user, if there is one, submits the pages meanwhile; its error is raised too."""
    if simulated is None:
        return await flow.wait(authorization)
    decision, seconds = simulated

    async def decide() -> None:
        await clock.sleep(seconds)
        await user.decide(decision)

    waiting, deciding = asyncio.create_task(flow.wait(authorization)), asyncio.create_task(decide())
    try:
        await asyncio.wait({waiting, deciding}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            await deciding
        return await waiting
    finally:
        for task in (waiting, deciding):
            task.cancel()
        await asyncio.gather(waiting, deciding, return_exceptions=True)


async def _count_down(
    authorization: DeviceAuthorization, clock: Clock, update: Update, simulated: SimulatedDecision | None
) -> None:
    while True:
        left = max(0, round((authorization.expires_at - clock.now()).total_seconds()))
        update(f"{_waiting_text(authorization, simulated)} {left // 60}:{left % 60:02} left.")
        await clock.sleep(1)


def _waiting_text(authorization: DeviceAuthorization, simulated: SimulatedDecision | None) -> str:
    expiry = _local_time(authorization.expires_at)
    if simulated is None:
        return f"Waiting for your approval; the code expires at {expiry}. Press Ctrl-C to stop."
    decision, seconds = simulated
    verb = {"approve": "approves", "deny": "denies"}[decision.value]
    return f"The simulated user {verb} after {seconds:g} s; the code expires at {expiry}."


def _signed_in_text(user: UserInfo) -> str:
    known = [user.friendly_name or "", f"<{user.email}>" if user.email else "", user.user_sid or ""]
    return clean(f"Signed in as {' '.join(part for part in known if part) or 'an unnamed user'}.", ())


def _expiry_text(token: Token, now: datetime) -> str:
    if token.access_token_expires_at is None:
        return "The server did not return an expiry time for the access token."
    minutes = (token.access_token_expires_at - now).total_seconds() / 60
    when = token.access_token_expires_at.astimezone()
    return f"The access token (not shown) expires at {when:%Y-%m-%d %H:%M:%S %Z}, in {minutes:.0f} minutes."


def _local_time(moment: datetime) -> str:
    """Return `moment` as a time of day in the local time zone."""
    return f"{moment.astimezone():%H:%M:%S}"
