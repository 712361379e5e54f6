"""Stores for tokens and pending flows: one contract (`base`), one module or folder per backend.

The public names are imported when they are first used. A store imports its optional packages when it is created, and
names the extra if one is missing: ``file`` for `FileTokenStore` and `FileFlowStore`, ``redis`` for `RedisTokenStore`
and `RedisFlowStore`, ``nats`` for `NatsTokenStore` and `NatsFlowStore`.

May import: `protocol`, `clock`, `in_flight`, `extras`, `errors`. Not `client`, `grants` or `tokens`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twilio_oauth_async.stores.base import (
        FlowStore,
        StoredFlow,
        StoredToken,
        TokenKey,
        TokenStore,
        Tombstone,
        epoch_of,
    )
    from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore, Keyring
    from twilio_oauth_async.stores.memory import MemoryFlowStore, MemoryTokenStore
    from twilio_oauth_async.stores.nats import NatsFlowStore, NatsTokenStore
    from twilio_oauth_async.stores.redis import RedisClient, RedisFlowStore, RedisTokenStore

__all__ = [
    "FileFlowStore",
    "FileTokenStore",
    "FlowStore",
    "Keyring",
    "MemoryFlowStore",
    "MemoryTokenStore",
    "NatsFlowStore",
    "NatsTokenStore",
    "RedisClient",
    "RedisFlowStore",
    "RedisTokenStore",
    "StoredFlow",
    "StoredToken",
    "TokenKey",
    "TokenStore",
    "Tombstone",
    "epoch_of",
]

_MODULE_OF = {
    "FileFlowStore": "file",
    "FileTokenStore": "file",
    "FlowStore": "base",
    "Keyring": "file",
    "MemoryFlowStore": "memory",
    "MemoryTokenStore": "memory",
    "NatsFlowStore": "nats",
    "NatsTokenStore": "nats",
    "RedisClient": "redis",
    "RedisFlowStore": "redis",
    "RedisTokenStore": "redis",
    "StoredFlow": "base",
    "StoredToken": "base",
    "TokenKey": "base",
    "TokenStore": "base",
    "Tombstone": "base",
    "epoch_of": "base",
}


def __getattr__(name: str) -> object:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})
