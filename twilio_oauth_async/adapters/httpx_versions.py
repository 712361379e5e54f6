"""Base classes from httpx and httpx2, whichever is installed.

The last release of httpx is from 2024 (0.28.1). httpx2 continues it with the same API under another name. Programs
use one of them, or both while they migrate. A client accepts only an ``Auth`` of its own package, so the classes here
inherit from the classes of every installed package. No other module of this package imports httpx or httpx2.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from twilio_oauth_async.extras import MissingExtraError


def _installed() -> tuple[ModuleType, ...]:
    found: list[ModuleType] = []
    for name in ("httpx2", "httpx"):
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            continue
        if module not in found:  # httpx2.alias_httpx() makes both names one module
            found.append(module)
    if not found:
        raise MissingExtraError("httpx2", "twilio-oauth-async[httpx]")
    return tuple(found)


_MODULES: Final = _installed()

TRANSPORT_ERRORS: Final[tuple[type[Exception], ...]] = tuple(module.TransportError for module in _MODULES)
"""Exceptions of a request without a response, or with an incomplete one."""

BYTE_STREAMS: Final[tuple[type, ...]] = tuple(module.ByteStream for module in _MODULES)
"""Classes of a body in memory, which can be sent any number of times."""

if TYPE_CHECKING:
    import httpx
    import httpx2

    class Auth(httpx2.Auth, httpx.Auth):
        """``httpx2.Auth`` and ``httpx.Auth``."""

        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            """See ``httpx.Auth``."""
            ...

        def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            """See ``httpx.Auth``."""
            ...

        def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
            """See ``httpx.Auth``."""
            ...

    class AsyncByteStream(httpx2.AsyncByteStream, httpx.AsyncByteStream):
        """``httpx2.AsyncByteStream`` and ``httpx.AsyncByteStream``."""

        def __aiter__(self) -> AsyncIterator[bytes]: ...

        async def aclose(self) -> None:
            """See ``httpx.AsyncByteStream``."""
else:
    Auth = type("Auth", tuple(module.Auth for module in _MODULES), {})
    AsyncByteStream = type("AsyncByteStream", tuple(module.AsyncByteStream for module in _MODULES), {})
