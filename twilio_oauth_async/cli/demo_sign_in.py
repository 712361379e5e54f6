"""The sign-in of the demo: against a running emulator, on the screen of `login`."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TypeAlias

from twilio_oauth_async.cli.account import user_text
from twilio_oauth_async.cli.device_login import follow
from twilio_oauth_async.cli.login_screen import LoginScreen
from twilio_oauth_async.cli.simulated_user import Decision, SimulatedUser, SimulatedUserError
from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.clock import Clock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.errors import AccessDeniedError, DeviceCodeExpiredError, TwilioOAuthError
from twilio_oauth_async.grants.device_flow import DeviceFlow
from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.tasks import create_task

SIGNED_IN = 0
NOT_SIGNED_IN = 1

APP_NAME = "twilio-oauth demo"
SCOPES = ("openid", "profile", "email")

SimulatedDecision: TypeAlias = tuple[Decision, float]
"""The decision of the simulated user, and the seconds after which it is made."""


async def sign_in(
    emulator: Emulator, screen: LoginScreen, clock: Clock, simulated: SimulatedDecision | None = None
) -> int:
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
            screen.show(authorization, APP_NAME)
            if simulated is not None:
                screen.say(_simulation_text(simulated))
            token = await _wait(flow, authorization, screen, simulated)
            user = await session.fetch_user_info(access_token=token.access_token)
            screen.say(f"Signed in as {user_text(user)}.")
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
    screen: LoginScreen,
    simulated: SimulatedDecision | None,
) -> Token:
    """Wait for the token. A simulated user, if there is one, submits the pages meanwhile; its error is raised too."""
    if simulated is None:
        return await follow(flow, authorization, screen)
    decision, seconds = simulated
    user = SimulatedUser(authorization.link, authorization.user_code)

    async def decide() -> None:
        await flow.session.clock.sleep(seconds)
        await user.decide(decision)

    waiting, deciding = create_task(follow(flow, authorization, screen)), create_task(decide())
    try:
        await asyncio.wait({waiting, deciding}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            await deciding
        return await waiting
    finally:
        for task in (waiting, deciding):
            task.cancel()
        await asyncio.gather(waiting, deciding, return_exceptions=True)


def _simulation_text(simulated: SimulatedDecision) -> str:
    decision, seconds = simulated
    verb = {"approve": "approves", "deny": "denies"}[decision.value]
    return f"The simulated user {verb} after {seconds:g} s."


def _expiry_text(token: Token, now: datetime) -> str:
    if token.access_token_expires_at is None:
        return "The server did not return an expiry time for the access token."
    minutes = (token.access_token_expires_at - now).total_seconds() / 60
    when = token.access_token_expires_at.astimezone()
    return f"The access token (not shown) expires at {when:%Y-%m-%d %H:%M:%S %Z}, in {minutes:.0f} minutes."
