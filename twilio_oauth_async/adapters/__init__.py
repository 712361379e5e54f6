"""Adapters that put the access token on the requests of other libraries; one public module per HTTP client.

`aiohttp.BearerAuth` is a client middleware, `httpx.BearerAuth` an ``httpx.Auth``, and `twilio.BearerCredentials` a
credential provider for Twilio's SDK. They take any object with the methods of `TokenSource`, for example a
`TokenManager`. A module is imported when it is first used, and says what to install if its HTTP client is missing.

May import: `protocol`, `extras`, `errors`, and the HTTP client that the module is named after. Not `tokens`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twilio_oauth_async.adapters import aiohttp, httpx, twilio
    from twilio_oauth_async.adapters.bearer_policy import TokenSource
    from twilio_oauth_async.adapters.twilio import BearerCredentials

__all__ = ["BearerCredentials", "TokenSource", "aiohttp", "httpx", "twilio"]

_MODULE_OF = {"BearerCredentials": "twilio", "TokenSource": "bearer_policy"}
_MODULES = ("aiohttp", "httpx", "twilio")

# Names are not added to dir(): `help` reads each of them, and would fail where an HTTP client is not installed.


def __getattr__(name: str) -> object:
    if name == "BearerAuth":
        # An AttributeError would make "from ... import" raise an ImportError with a text of its own.
        raise ImportError(
            f"BearerAuth exists for two HTTP clients: import it from {__name__}.aiohttp or from {__name__}.httpx",
            name=name,
        )
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
