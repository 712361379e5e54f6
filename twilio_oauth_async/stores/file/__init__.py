"""Stores in a file, for a command, a bot, or the processes of one machine. Need the extra ``file``.

May import: the modules of `stores` that backends share, and what `stores` may import.
"""

from __future__ import annotations

from twilio_oauth_async.stores.file.keyring import Keyring
from twilio_oauth_async.stores.file.stores import FileFlowStore, FileTokenStore

__all__ = ["FileFlowStore", "FileTokenStore", "Keyring"]
