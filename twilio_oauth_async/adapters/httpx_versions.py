"""The base classes of ``httpx.Auth`` and its streams, for whichever line of httpx is installed.

httpx itself had its last release in 2024 (0.28.1); httpx2 goes on with the same API under another name, and many
programs hold one or the other, or both while they move. A client takes an ``Auth`` of its own line only, so the
classes here descend from each line that is there. Nothing of this is loaded by the package's other modules.
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
            line = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise
            continue
        if line not in found:  # httpx2.alias_httpx() makes both names one module
            found.append(line)
    if not found:
        raise MissingExtraError("httpx2", "twilio-oauth-async[httpx]")
    return tuple(found)


_LINES: Final = _installed()

TRANSPORT_ERRORS: Final[tuple[type[Exception], ...]] = tuple(line.TransportError for line in _LINES)
"""No answer, or only the beginning of one."""

BYTE_STREAMS: Final[tuple[type, ...]] = tuple(line.ByteStream for line in _LINES)
"""A body in memory, which can be read any number of times."""

if TYPE_CHECKING:
    import httpx
    import httpx2

    class Auth(httpx2.Auth, httpx.Auth):
        """``httpx2.Auth`` and ``httpx.Auth``."""

        def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            """Of either line."""
            ...

        def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
            """Of either line."""
            ...

        def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
            """Of either line."""
            ...

    class AsyncByteStream(httpx2.AsyncByteStream, httpx.AsyncByteStream):
        """``httpx2.AsyncByteStream`` and ``httpx.AsyncByteStream``."""

        def __aiter__(self) -> AsyncIterator[bytes]: ...

        async def aclose(self) -> None:
            """Of either line."""
else:
    Auth = type("Auth", tuple(line.Auth for line in _LINES), {})
    AsyncByteStream = type("AsyncByteStream", tuple(line.AsyncByteStream for line in _LINES), {})
