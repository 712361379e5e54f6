"""`SignIn`: a sign-in as users and browsers may see it. `DeviceFlowRunner`: what runs the sign-ins of many users."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypeAlias

import attrs

from twilio_oauth_async.clock import Clock, SystemClock
from twilio_oauth_async.protocol.instructions import Instructions
from twilio_oauth_async.stores.base import StoredFlow
from twilio_oauth_async.tokens.manager import TokenManager

SignInState: TypeAlias = Literal["pending", "approved", "denied", "expired", "cancelled", "failed"]


NOT_POLLED: Final = "this sign-in is interrupted; a process continues it within a minute"
"""The `SignIn.problem` of a pending sign-in whose process was killed, until another one takes it up."""


@attrs.frozen(kw_only=True)
class SignIn(Instructions):
    """The sign-in of one user at one moment. It holds no device code and no token, so a browser may get it."""

    id: str
    """Cannot be guessed. A user who knows it can follow and cancel the sign-in, and nothing else. An application with
    many users compares `user` too."""
    user: str
    """The user under whose key the token is stored."""
    client_sid: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...] = ()
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    expires_at: datetime
    """UTC."""
    state: SignInState = "pending"
    problem: str | None = None
    """For the user: why the server cannot be reached at the moment (known only in the process that polls), `NOT_POLLED`
    if no process polls, or why the sign-in ended without a token."""
    context: Mapping[str, str] = attrs.field(factory=dict[str, str], repr=False)
    """What the application gave to `submit`. It is not part of `to_dict`."""

    @classmethod
    def of(cls, flow: StoredFlow, problem: str | None = None) -> SignIn:
        """Return what others may see of a stored flow.

        Args:
            flow: as it is stored.
            problem: why a pending flow makes no progress.
        """
        authorization = flow.authorization
        return cls(
            id=flow.id,
            user=flow.user,
            client_sid=authorization.client_sid,
            scopes=authorization.scopes,
            audiences=authorization.audiences,
            user_code=authorization.user_code,
            verification_uri=authorization.verification_uri,
            verification_uri_complete=authorization.verification_uri_complete,
            expires_at=authorization.expires_at,
            state="pending" if flow.state == "granted" else flow.state,
            problem=flow.problem if flow.has_ended else problem,
            context=flow.context,
        )

    @property
    def is_over(self) -> bool:
        """Whether the sign-in has ended."""
        return self.state != "pending"

    def seconds_left(self, now: datetime) -> float:
        """Return the seconds from `now` (aware) until the code expires; 0.0 if it has expired or the sign-in ended."""
        return 0.0 if self.is_over else max(0.0, (self.expires_at - now).total_seconds())

    def to_dict(self) -> dict[str, Any]:
        """Return everything but `context`, with values that JSON has; dates are in ISO 8601 format."""
        values = {field.name: getattr(self, field.name) for field in attrs.fields(type(self))}
        del values["context"]
        lists = {"scopes": list(self.scopes), "audiences": list(self.audiences)}
        return values | lists | {"expires_at": self.expires_at.isoformat()}


class DeviceFlowRunner(Protocol):
    """Runs the device flows of many users: `DeviceFlowPool` in a process, or a queue on many hosts."""

    async def submit(self, user: str, *, context: Mapping[str, str] = ...) -> SignIn:
        """Start a sign-in, and return when the code is issued. A user with a pending sign-in joins it."""
        ...

    def events(self, id: str) -> AsyncGenerator[SignIn, None]:  # noqa: A002 - SignIn.id
        """Yield the present state, then each change; ends with the sign-in. Any number of listeners."""
        ...

    async def result(self, id: str) -> None:  # noqa: A002
        """Wait for the end; then the token is stored. Raises the error that the sign-in ended with."""
        ...

    async def find(self, id: str) -> SignIn | None:  # noqa: A002
        """Return the sign-in; None if there is none. One that has ended can be found for five minutes."""
        ...

    async def find_user(self, user: str) -> SignIn | None:
        """Return the pending sign-in of `user`; None if there is none."""
        ...

    async def cancel(self, id: str) -> None:  # noqa: A002
        """Cancel the sign-in, in whichever process it runs."""
        ...

    def manager(self, user: str) -> TokenManager:
        """Return the manager of the user's token."""
        ...


def clock_of_runner(runner: DeviceFlowRunner, clock: Clock | None) -> Clock:
    """Return `clock` if it is given; otherwise that of `runner`, or the system's if it has none."""
    return clock or getattr(runner, "clock", None) or SystemClock()


async def open_runner(runner: DeviceFlowRunner) -> None:
    """Call ``runner.open()``, if it has that."""
    await _call(runner, "open")


async def close_runner(runner: DeviceFlowRunner) -> None:
    """Call ``runner.close()``, if it has that."""
    await _call(runner, "close")


async def _call(runner: DeviceFlowRunner, method: str) -> None:
    function = getattr(runner, method, None)
    if function is not None:
        result = function()
        if inspect.isawaitable(result):
            await result
