"""`SharedLogin`: many callers wait for one sign-in, so that the user is asked once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from twilio_oauth_async.errors import TwilioOAuthError
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.tasks import create_task
from twilio_oauth_async.tokens.failures import copy_of, request_failed


class SharedLogin:
    """Runs the grant in one task. If all callers are cancelled while the user is asked, the grant is cancelled too."""

    def __init__(self, obtain: Callable[[], Awaitable[Token]], keep: Callable[[Token], Awaitable[Token]]) -> None:
        """Create it; nothing is started.

        Args:
            obtain: asks the user.
            keep: verifies and saves the token; it is not cancelled any more.
        """
        self._obtain = obtain
        self._keep = keep
        self._task: asyncio.Task[Token | TwilioOAuthError] | None = None
        self._callers = 0
        self._is_obtained = False

    @property
    def is_running(self) -> bool:
        """Whether a sign-in is under way."""
        return self._task is not None and not self._task.done() and not self._task.get_loop().is_closed()

    async def run(self) -> Token:
        """Join the sign-in that is under way, or start one.

        Raises:
            TwilioOAuthError: it failed; each caller gets an exception of its own.
        """
        loop = asyncio.get_running_loop()
        task = self._task
        if task is None or task.done() or task.get_loop() is not loop:
            self._callers, self._is_obtained = 0, False
            task = self._task = create_task(self._sign_in())
        self._callers += 1
        try:
            outcome = await asyncio.shield(task)
        finally:
            if task is self._task:
                self._callers -= 1
                if self._callers == 0 and not self._is_obtained:
                    self._task = None
                    task.cancel()
        if isinstance(outcome, TwilioOAuthError):
            raise copy_of(outcome)
        return outcome

    async def close(self) -> None:
        """Wait until a token that was received is kept. A user who is asked is not waited for."""
        task = self._task
        if task is not None and self._is_obtained and self.is_running:
            await asyncio.wait({task})

    async def _sign_in(self) -> Token | TwilioOAuthError:
        try:
            token = await self._obtain()
            self._is_obtained = True
            return await self._keep(token)
        except Exception as error:  # noqa: BLE001 - of the caller's own code
            return request_failed(error, None).error
