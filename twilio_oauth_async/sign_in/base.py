"""A sign-in as those see it who wait for it: no device code, no token, safe to send to a browser."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

import attrs

from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.instructions import Instructions

SignInState: TypeAlias = Literal["pending", "approved", "denied", "expired", "cancelled", "failed"]


@attrs.frozen(kw_only=True)
class SignIn(Instructions):
    """One person's sign-in at one moment."""

    id: str
    """Cannot be guessed. Who knows it may watch and cancel the sign-in, no more; an application that serves many
    compares `user` all the same."""
    user: str
    """The key under which the token will be stored."""
    client_sid: str
    scopes: tuple[str, ...]
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    expires_at: datetime
    """UTC."""
    state: SignInState = "pending"

    @classmethod
    def of(cls, id: str, user: str, authorization: DeviceAuthorization) -> SignIn:  # noqa: A002 - SignIn.id
        """What may be told of a flow that is under way."""
        return cls(
            id=id,
            user=user,
            client_sid=authorization.client_sid,
            scopes=authorization.scopes,
            user_code=authorization.user_code,
            verification_uri=authorization.verification_uri,
            verification_uri_complete=authorization.verification_uri_complete,
            expires_at=authorization.expires_at,
        )

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state != "pending"


@attrs.frozen(kw_only=True)
class SignInEvent:
    """Something happened."""

    sign_in: SignIn
    problem: str | None = None
    """Why it ended as it did, or why the server cannot be reached just now; safe to show."""


class DeviceFlowRunner(Protocol):
    """Runs the device flows of many people."""

    async def submit(self, user: str) -> SignIn:
        """Begin, and return once the code is issued. A user who has a sign-in under way joins it."""
        ...

    def events(self, id: str) -> AsyncGenerator[SignInEvent, None]:  # noqa: A002 - SignIn.id
        """The present state, then what happens; ends when the sign-in is over. Any number may listen."""
        ...

    async def result(self, id: str) -> None:  # noqa: A002
        """Wait for the end; the token is stored then. Raises what the flow ended with."""
        ...

    async def cancel(self, id: str) -> None:  # noqa: A002
        """Give it up."""
        ...
