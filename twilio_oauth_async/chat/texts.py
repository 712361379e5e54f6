"""The texts of a chat bot, beside those of `TEXTS` that all sign-ins share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from twilio_oauth_async.protocol.sign_in_texts import TEXTS

CHAT_TEXTS: Final[Mapping[str, str]] = {
    **TEXTS,
    # Messages about the end of a sign-in; "unavailable" and "unreachable" are those of all sign-ins.
    "approved": "You are signed in. /whoami shows your name, /logout signs you out.",
    "denied": "You denied the sign-in at Twilio. /login starts a new one.",
    "expired": "The code expired before it was approved. /login gives a new one.",
    "failed": "The sign-in failed: {problem}",
    # Replies to commands.
    "chat.cancel": "Send /cancel to cancel it.",
    "chat.already": "You are already signed in. /whoami shows your name, /logout signs you out.",
    "chat.whoami": "You are signed in as {name}.",
    "chat.not_signed_in": "You are not signed in. Use /login.",
    "chat.cancelled": "The sign-in is cancelled.",
    "chat.nothing_pending": "There is no pending sign-in.",
    "chat.too_late": "It was too late: the sign-in is completed. /logout signs you out.",
    "chat.signed_out": "You are signed out.",
    "chat.busy": "Too many sign-ins are pending. Try again in a moment.",
    "chat.too_often": "Too many commands. Try again in {seconds} seconds.",
    "chat.store": "The bot cannot read its sign-ins at the moment. Try again later.",
    "chat.error": "The command failed: {error}",
}
"""The default texts of a `ChatSignIn`, by name. The argument `texts` replaces some of them."""
