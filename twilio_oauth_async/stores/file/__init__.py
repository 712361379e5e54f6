"""Stores in a file, for a command, a bot, or the processes of one machine. Need the extra ``file``.

May import: the modules of `stores` that backends share, and what `stores` may import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twilio_oauth_async.stores.file.keyring import Keyring
    from twilio_oauth_async.stores.file.stores import FileFlowStore, FileTokenStore

__all__ = ["FileFlowStore", "FileTokenStore", "Keyring"]


def __getattr__(name: str) -> object:
    # Imported on first use: `Keyring` can be created without the extra, which the stores need.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "keyring" if name == "Keyring" else "stores"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
