"""What the adapters decide alike, whichever HTTP client they serve: who gets the token, and what a refusal leads to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

from twilio_oauth_async.adapters.origins import Origins
from twilio_oauth_async.errors import ConfigurationError

Foreign: TypeAlias = Literal["refuse", "skip"]
"""What becomes of a request to an origin that is not allowed: an error, or sent without the token."""


class TokenSource(Protocol):
    """As much of `TokenManager` as the adapters use."""

    async def access_token(self) -> str:
        """A token that works now."""
        ...

    def invalidate(self, access_token: str) -> None:
        """Be told that a resource server refused it."""
        ...


class Bearer:
    """A token source and the places that its tokens may go to."""

    def __init__(self, source: TokenSource, *, origins: Sequence[str], foreign: Foreign) -> None:
        """See `aiohttp.BearerAuth`; raises `ConfigurationError` as it does."""
        if foreign not in {"refuse", "skip"}:
            raise ConfigurationError('foreign must be "refuse" or "skip"')
        self.source = source
        self.origins = Origins(origins)
        self.foreign = foreign

    def __repr__(self) -> str:
        return f"BearerAuth({self.source!r}, origins={self.origins.patterns!r}, foreign={self.foreign!r})"

    def admits(self, scheme: str, host: str, port: int | None) -> bool:
        """Whether the token may go there (RFC 9700 4.9.1); takes what `Origins.allow` takes.

        Raises:
            ConfigurationError: it may not, and such requests are to be refused.
        """
        if self.origins.allow(scheme, host, port):
            return True
        if self.foreign == "refuse":
            place = f"{scheme}://{f'[{host}]' if ':' in host else host}" + ("" if port is None else f":{port}")
            raise ConfigurationError(
                f"{place} is not among the origins that may get the token, and was not asked."
                ' Name it in origins=, or pass foreign="skip" to send such requests without the token'
            )
        return False

    async def after_refusal(self, refused: str, *, can_send_again: bool) -> str | None:
        """Tell the source that `refused` was refused, and get another token to send the request again with.

        Returns:
            None where it makes no sense to: the body is spent, or there is no other token.

        Raises:
            TwilioOAuthError: there is no way to another token, as the source tells.
        """
        self.source.invalidate(refused)
        if not can_send_again:
            return None
        token = await self.source.access_token()
        return None if token == refused else token


def authorization(token: str) -> str:
    """The header's value (RFC 6750 2.1), the one place where the token goes: never into a URL or a body."""
    return f"Bearer {token}"
