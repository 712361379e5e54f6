"""Sign-in for chat bots: the commands of the users, and the messages to them, without a chat framework.

May import: `sign_in`, `tokens`, `grants`, `stores`, `protocol`, `clock`, `errors`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twilio_oauth_async.chat.outbox import ChatGone
    from twilio_oauth_async.chat.sign_in import ChatSignIn
    from twilio_oauth_async.chat.texts import CHAT_TEXTS

__all__ = ["CHAT_TEXTS", "ChatGone", "ChatSignIn"]

_MODULE_OF = {"ChatGone": "outbox", "ChatSignIn": "sign_in", "CHAT_TEXTS": "texts"}


def __getattr__(name: str) -> object:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
