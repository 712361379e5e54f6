"""The rules that the two `BearerAuth` classes, for aiohttp and for httpx, share.

- The token is sent in the ``Authorization`` header only, and to the allowed origins only.
- After a redirect to another origin, requests are sent without the token, even if that origin is allowed.
- A 401 response that means the access token is invalid (RFC 6750 3.1 ``invalid_token``, Twilio's error 20003) makes the
  manager refresh the token, and the request is sent once more. A second 401 is returned to the caller.
- A token that was refreshed less than a second ago is not refreshed again: the caller gets the second 401. If a server
  rejects one new token after the other, these pauses double, up to five minutes.
- The headers of a 401 are judged first. If they do not say why, the start of its body is read, for a second at most.
- A request whose body cannot be sent again (a stream, a generator) is not sent again. The caller gets the first 401,
  still readable, and the next request uses a new token.
- A request that already has an ``Authorization`` header keeps it; only its origin is checked.
- An exception of `TokenManager.access_token` is raised from the request. Then either nothing was sent, or the first
  response was a 401, which is closed.
- One instance can be used by any number of clients and tasks in the event loop of its manager.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

from twilio_oauth_async.adapters.origins import TWILIO, Origins
from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.protocol.argument_checks import check_methods

Foreign: TypeAlias = Literal["refuse", "skip"]
"""What to do with a request to an origin that is not allowed: raise an error, or send it without the token."""


class TokenSource(Protocol):
    """The methods of `TokenManager` that the adapters use."""

    async def access_token(self) -> str:
        """Return an access token that is valid now."""
        ...

    def invalidate(self, access_token: str) -> None:
        """Mark `access_token` as rejected by a resource server; called after a 401."""
        ...


class Bearer:
    """Decides which requests get a token, and whether a 401 leads to a new one. Independent of the HTTP client."""

    def __init__(self, source: TokenSource, *, origins: Sequence[str], foreign: Foreign) -> None:
        """Check and store the arguments of `BearerAuthBase`."""
        check_methods("manager", source, ("access_token", "invalidate"), "a TokenManager")
        if foreign not in ("refuse", "skip"):
            raise ConfigurationError('foreign must be "refuse" or "skip"')
        self.source = source
        self.origins: Origins = Origins(origins)
        self.foreign = foreign

    def __repr__(self) -> str:
        return f"BearerAuth({self.source!r}, origins={self.origins.patterns!r}, foreign={self.foreign!r})"

    def may_send_token(self, scheme: str, host: str, port: int | None) -> bool:
        """Whether a request to this origin gets the token (RFC 9700 4.9.1); arguments as for `Origins.allow`.

        Raises:
            ConfigurationError: the origin is not allowed, and `foreign` is ``"refuse"``.
        """
        if self.origins.allow(scheme, host, port):
            return True
        if self.foreign == "refuse":
            origin = f"{scheme}://{f'[{host}]' if ':' in host else host}" + ("" if port is None else f":{port}")
            raise ConfigurationError(
                f"the request was not sent: {origin} is not an allowed origin."
                ' Add it to origins=, or pass foreign="skip" to send such requests without the token'
            )
        return False

    async def token_after_401(self, rejected: str, *, can_send_again: bool) -> str | None:
        """Invalidate the `rejected` token, and return another one with which to send the request again.

        Returns:
            None if the request must not be sent again: its body cannot be sent twice, or there is no other token.

        Raises:
            TwilioOAuthError: no token can be obtained, as `TokenManager.access_token`.
        """
        self.source.invalidate(rejected)
        if not can_send_again:
            return None
        token = await self.source.access_token()
        return None if token == rejected else token


class BearerAuthBase:
    """Arguments and repr of the `BearerAuth` classes."""

    def __init__(self, manager: TokenSource, *, origins: Sequence[str] = TWILIO, foreign: Foreign = "refuse") -> None:
        """Create the object; nothing is sent.

        Args:
            manager: returns the access token, and refreshes it after a server has rejected it.
            origins: origins that may get the token, as ``scheme://host[:port]``. ``*.`` before the host stands for one
                or more whole labels. ``http://`` is allowed for a loopback host only.
            foreign: what to do with a request to another origin. ``"refuse"``: raise `ConfigurationError` and send
                nothing. ``"skip"``: send it without the token.

        Raises:
            ConfigurationError: `origins` is empty or has an invalid pattern, `foreign` is neither ``"refuse"`` nor
                ``"skip"``, or `manager` lacks a method of `TokenSource`.
        """
        self._bearer = Bearer(manager, origins=origins, foreign=foreign)

    def __repr__(self) -> str:
        return repr(self._bearer)


def authorization(token: str) -> str:
    """Return the value of the ``Authorization`` header (RFC 6750 2.1); a token never goes into a URL or a body."""
    return f"Bearer {token}"
