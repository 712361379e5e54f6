"""`Reports`: calls the caller's `on_token` and `on_login_required`, outside the lock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import LoginReason
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.tokens.callbacks import Callbacks
from twilio_oauth_async.tokens.state import AskForLogin, Decision, TokenState

OnToken: TypeAlias = Callable[[Token], Awaitable[None] | None]
OnLoginRequired: TypeAlias = Callable[[LoginReason], Awaitable[None] | None]


class Reports:
    """Calls each callback once for each thing that it is about."""

    def __init__(self, clock: Clock, on_token: OnToken | None, on_login_required: OnLoginRequired | None) -> None:
        self._callbacks = Callbacks(clock)
        self._on_token = on_token
        self._on_login_required = on_login_required
        self._reported: str | None = None  # the access token that was reported last
        self._unreported: list[Token] = []
        self._living: str | None = None  # the epoch of a sign-in that has not ended
        self._ended: str | None = None  # the epoch of the sign-in whose end was reported last

    def changed(self, before: TokenState, after: TokenState) -> None:
        """Note a token that this process has received, and report it once the lock is released."""
        if after.is_signing_out and after.held is None:
            self._living = None  # the caller has asked for this end
        used = after.used
        if used is not None and used is not before.used and used.is_new:
            token = used.stored.token
            if token.access_token != self._reported:
                self._reported = token.access_token
                self._unreported.append(token)
        if self._unreported and not after.is_locked:
            tokens, self._unreported = self._unreported, []
            # In the next turn of the loop, so that a callback may call any method of the manager.
            asyncio.get_running_loop().call_soon(self._report_tokens, tokens)

    def round_ended(self, state: TokenState, decision: Decision) -> None:
        """Report the end of a sign-in that was alive in this process, or was refused when it was refreshed here."""
        if not isinstance(decision.next, AskForLogin):
            self._living = None if state.held is None else state.held.stored.epoch
        elif decision.use is None:
            reason = decision.next.reason
            ended = self._living or (state.refused_epoch if reason == "refused" else None)
            self._living = None
            if ended is not None and ended != self._ended:
                self._ended = ended
                if self._on_login_required is not None:
                    self._callbacks.call("on_login_required", self._on_login_required, reason)

    async def close(self) -> None:
        """Wait for the callbacks that are running, for a limited time."""
        await self._callbacks.close()

    def _report_tokens(self, tokens: list[Token]) -> None:
        if self._on_token is not None:
            for token in tokens:
                self._callbacks.call("on_token", self._on_token, token)
