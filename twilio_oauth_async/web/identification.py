"""`Identification`: finds out which visitor sent a request: by the cookie of the site, or by the host application."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Protocol, TypeAlias, cast

from twilio_oauth_async.errors import ConfigurationError, LoginRequired
from twilio_oauth_async.web.cookies import Cookies
from twilio_oauth_async.web.visitors import Visitor

Identify: TypeAlias = Callable[[Any], Awaitable[str | None] | str | None]
"""Returns the user of the host application who sent a request; None: no user is signed in to the host application."""


class HostRequest(Protocol):
    """A request object of aiohttp, Starlette, or another framework with such cookies."""

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies of the request, by name."""
        ...


class Identification:
    """Identifies visitors."""

    def __init__(self, identify: Identify | None, cookies: Cookies, site_key: bytes) -> None:
        """Create it.

        Args:
            identify: of the host application; None: each browser is a visitor, by its cookie.
            cookies: the cookies of the site.
            site_key: the key of the site.
        """
        self._identify = identify
        self._cookies = cookies
        self._site_key = site_key
        self._memory = f"twilio_oauth_async.user.{cookies.visitor}"

    @property
    def is_by_host(self) -> bool:
        """Whether the host application identifies the users."""
        return self._identify is not None

    async def visitor(self, request: HostRequest) -> Visitor | None:
        """Return the visitor who sent `request`; None: a browser without the cookie, or no user of the host.

        Raises:
            ConfigurationError: `identify` returned something else than a text or None.
        """
        cookie = request.cookies.get(self._cookies.visitor)
        if self._identify is None:
            return Visitor.from_cookie(cookie)
        user = self._identify(request)
        if inspect.isawaitable(user):
            user = await user
        _memory_of(request)[self._memory] = user
        return self._of_user(user, cookie)

    def visitor_now(self, request: HostRequest) -> Visitor:
        """Return the visitor who sent `request`, without waiting.

        Raises:
            LoginRequired: it is a browser without the cookie, or no user of the host.
            ConfigurationError: `identify` is a coroutine function and was not awaited for this request.
        """
        cookie = request.cookies.get(self._cookies.visitor)
        visitor: Visitor | None
        if self._identify is None:
            visitor = Visitor.from_cookie(cookie)
        else:
            memory = _memory_of(request)
            user = memory[self._memory] if self._memory in memory else self._identify(request)
            if inspect.isawaitable(user):
                if inspect.iscoroutine(user):
                    user.close()  # else Python warns that it was never awaited
                raise ConfigurationError(
                    "identify is asynchronous: await site.user(request) before site.manager(request)"
                )
            visitor = self._of_user(user, cookie)
        if visitor is None:
            raise LoginRequired("no user is signed in with this browser")
        return visitor

    def _of_user(self, user: object, cookie: str | None) -> Visitor | None:
        if user is None:
            return None
        if not isinstance(user, str) or not user:
            raise ConfigurationError("identify must return the user as a text that is not empty, or None")
        return Visitor.of_user(user, self._site_key, cookie)


def _memory_of(request: Any) -> MutableMapping[str, Any]:
    """Return where values of one request can be kept: an aiohttp request itself, or the scope of ASGI."""
    return cast("MutableMapping[str, Any]", getattr(request, "scope", request))
