"""The sign-in site that a web backend mounts: its pages, cookies, forms, event streams and limits.

`SignInSite` knows no web framework; `aiohttp.sign_in_app` and `asgi.SignInApp` mount it. A module of a framework is
imported when it is first used, and says what to install if the framework is missing.

May import: `sign_in`, `tokens`, `grants`, `stores`, `client` (for types), `protocol`, `clock`, `extras`, `errors`, and
the framework that a module is named after.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twilio_oauth_async.web import aiohttp, asgi
    from twilio_oauth_async.web.site import SignInSite
    from twilio_oauth_async.web.texts import PAGE_TEXTS

__all__ = ["PAGE_TEXTS", "SignInSite", "aiohttp", "asgi"]

_MODULE_OF = {"SignInSite": "site", "PAGE_TEXTS": "texts"}
_MODULES = ("aiohttp", "asgi")

# Names are not added to dir(): `help` reads each of them, and would fail where a framework is not installed.


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
