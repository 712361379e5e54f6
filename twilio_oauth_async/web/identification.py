"""`Identification`: finds out which visitor sent a request: by the cookie of the site, or by the host application."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from twilio_oauth_async.errors import ConfigurationError, LoginRequired
from twilio_oauth_async.web.cookies import Cookies
from twilio_oauth_async.web.visitors import Visitor

Identify: TypeAlias = Callable[[Any], Awaitable[str | None] | str | None]
"""Returns the user of the host application who sent a request; None: no user is signed in to the host application."""

HostRequest: TypeAlias = Any
"""A request object of aiohttp or Starlette, or of another framework that has the cookies in `cookies`."""

_UNKNOWN: Final = object()


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
        self._key = f"twilio_oauth_async.user.{cookies.visitor}"
        self._users: dict[int, tuple[weakref.ref[Any], object]] = {}

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
            self._remember(request, user)
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
            user = self._remembered(request)
            if user is _UNKNOWN:
                user = self._identify(request)
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

    def _remember(self, request: Any, user: object) -> None:
        if hasattr(request, "scope"):  # of ASGI: all objects of one request share it
            request.scope[self._key] = user
        else:  # a request of aiohttp cannot be hashed, and warns about keys that are texts
            key = id(request)
            self._users[key] = (weakref.ref(request, lambda _: self._users.pop(key, None)), user)

    def _remembered(self, request: Any) -> object:
        if hasattr(request, "scope"):
            return request.scope.get(self._key, _UNKNOWN)
        return self._users.get(id(request), (None, _UNKNOWN))[1]

    def _of_user(self, user: object, cookie: str | None) -> Visitor | None:
        if user is None:
            return None
        if not isinstance(user, str) or not user:
            raise ConfigurationError("identify must return the user as a text that is not empty, or None")
        return Visitor.of_user(user, self._site_key, cookie)
