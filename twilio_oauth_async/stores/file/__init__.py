"""Stores in SQLite databases, for a command, a bot, or the processes of one machine. They need the extra ``file``.

Importing this package needs no optional package: one that is missing is named when a store is created.

May import: the modules of `stores` that backends share, and what `stores` may import.
"""

from __future__ import annotations

from twilio_oauth_async.stores.file.flows import FileFlowStore
from twilio_oauth_async.stores.file.keyring import Keyring
from twilio_oauth_async.stores.file.tokens import FileTokenStore

__all__ = ["FileFlowStore", "FileTokenStore", "Keyring"]
