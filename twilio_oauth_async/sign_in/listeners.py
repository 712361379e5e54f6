"""One sign-in of a pool while it runs: its stored state, and the present for those who listen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import attrs

from twilio_oauth_async.errors import TwilioOAuthError
from twilio_oauth_async.sign_in.base import SignIn, SignInEvent, SignInState
from twilio_oauth_async.stores.base import StoredFlow


class RunningSignIn:
    """Told by the pool, listened to by anybody."""

    def __init__(self, flow: StoredFlow) -> None:
        self.flow = flow
        self.event = SignInEvent(sign_in=SignIn.of(flow.id, flow.user, flow.authorization))
        self.error: TwilioOAuthError | None = None
        self.ended_at: float | None = None
        self.task: asyncio.Task[None] | None = None
        self.stored = flow.authorization
        """What the flow store has of it."""
        self.is_stopping = False
        """The pool closes: no further poll."""
        self.is_polling = False
        """The answer under way may hold the token."""
        self.has_token = False
        """The server has given the token: from here on it is finished, whatever happens."""
        self.is_closed = False
        """Nobody drives it here any more."""
        self._next = asyncio.Event()

    @property
    def sign_in(self) -> SignIn:
        """How it stands."""
        return self.event.sign_in

    def tell(self, state: SignInState, problem: str | None = None) -> None:
        """Make this the present, and wake all who wait for it; nothing where it is the present already."""
        if (state, problem) == (self.sign_in.state, self.event.problem):
            return
        self.event = SignInEvent(sign_in=attrs.evolve(self.sign_in, state=state), problem=problem)
        self._next.set()
        self._next = asyncio.Event()

    def close(self) -> None:
        """Let go of all who listen, although it is not over."""
        self.is_closed = True
        self._next.set()

    async def events(self) -> AsyncGenerator[SignInEvent, None]:
        """The present, then each later one; what came and went while a listener was busy is passed over."""
        while True:
            event, following = self.event, self._next
            yield event
            if event.sign_in.is_over:
                return
            if self.event is event and not self.is_closed:
                await following.wait()
            if self.event is event:
                return  # closed
