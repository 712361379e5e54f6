"""The device flow at a terminal: polls, and says in plain words what it waits for. `login` and `demo` share it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from twilio_oauth_async.protocol.polling import Approved, Pending, SlowedDown, Unreachable
from twilio_oauth_async.tasks import create_task

if TYPE_CHECKING:
    from twilio_oauth_async.cli.login_screen import LoginScreen, Update
    from twilio_oauth_async.clock import Clock
    from twilio_oauth_async.grants.device_flow import DeviceFlow
    from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
    from twilio_oauth_async.protocol.models import Token

Step = Pending | SlowedDown | Unreachable

_WAITING = "Waiting for your approval"
_SLOWED_DOWN = "Waiting for your approval; the server asked to check less often"
_UNREACHABLE = "The connection is lost; the sign-in goes on as soon as it is back"


async def follow(
    flow: DeviceFlow,
    authorization: DeviceAuthorization,
    screen: LoginScreen,
    *,
    save: Callable[[DeviceAuthorization], Awaitable[None]] | None = None,
) -> Token:
    """Poll until the user approves, with a live line.

    Args:
        flow: sends the polls.
        authorization: the state to start from.
        screen: shows the line.
        save: is called with the state after each poll.

    Raises:
        TwilioOAuthError: the user denied, the code expired, or the server ended the flow.
    """
    clock = flow.session.clock
    line = _Line(clock, authorization)
    with screen.live(line.text(), authorization.user_code) as update:
        ticking = create_task(line.tick(update))
        try:
            async for step in flow.events(authorization):
                if isinstance(step, Approved):
                    return step.token
                if isinstance(step, Step):
                    line.step = step
                    line.authorization = step.authorization
                    update(line.text())
                    if save is not None:
                        await save(step.authorization)
        finally:
            ticking.cancel()
            await asyncio.wait({ticking})
    raise AssertionError("the events of a flow end with a token or an error")


class _Line:
    """The text of the live line."""

    def __init__(self, clock: Clock, authorization: DeviceAuthorization) -> None:
        self.clock, self.authorization = clock, authorization
        self.step: Step | None = None

    async def tick(self, update: Update) -> None:
        """Replace the text each second."""
        while True:
            await self.clock.sleep(1.0)
            update(self.text())

    def text(self) -> str:
        """Return what the command waits for, the time that is left, and when it checks next."""
        now = self.clock.now()
        left = max(0, round((self.authorization.expires_at - now).total_seconds()))
        check = max(0, round((self.authorization.next_poll_at - now).total_seconds()))
        state = _WAITING
        if isinstance(self.step, SlowedDown):
            state = _SLOWED_DOWN
        elif isinstance(self.step, Unreachable):
            state = _UNREACHABLE
        return f"{state}. {left // 60}:{left % 60:02} left, next check in {check} s."
