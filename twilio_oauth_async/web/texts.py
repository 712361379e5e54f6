"""The texts of the pages, beside those of `TEXTS` that all sign-ins share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from twilio_oauth_async.protocol.sign_in_texts import TEXTS

PAGE_TEXTS: Final[Mapping[str, str]] = {
    **TEXTS,
    "lang": "en",
    "start.title": "Connect your Twilio account",
    "start.text": "{app_name} asks to use your Twilio account. It does not see your password.",
    "start.here": "Sign in with this browser",
    "start.here_hint": "Opens Twilio and returns to this page.",
    "start.code": "Sign in with a code",
    "start.other_device": "Use another device",
    "start.code_hint": "Shows a code. You approve it on a device on which you are signed in to Twilio.",
    "continue.title": "One moment",
    "continue.link": "Continue",
    "pending.title": "Approve the sign-in",
    "pending.waiting": "Waiting for your approval",
    "pending.left": "{time} left",
    "pending.code": "Your code",
    "pending.check": "Check that Twilio shows the same code.",
    "pending.open": "Open Twilio",
    "pending.cancel": "Cancel",
    "pending.scan": "Or scan this with a phone, or open {link} and enter the code.",
    "pending.qr": "QR code of the link, for the camera of a phone",
    "pending.offline": "This page has no connection to {app_name}. It tries again.",
    "approved.title": "Signed in",
    "approved.name": "Signed in as {name}.",
    "approved.no_name": "Signed in. Twilio did not return your name.",
    "approved.sign_out": "Sign out",
    "denied.title": "Sign-in denied",
    "expired.title": "The code has expired",
    "cancelled.title": "Sign-in cancelled",
    "failed.title": "Sign-in failed",
    "unavailable.title": "Sign-in with a code is not available",
    "unavailable.next": "Sign in with this browser instead, or ask the administrator of your Twilio account.",
    "ended.again": "You can try again.",
    "problem.title": "The request failed",
    "problem.out_of_date": "This page was out of date. Nothing was changed.",
    "problem.other_address": "This page was opened at another address. Open {url} instead.",
    "problem.callback": "This browser has not started a sign-in, or has already completed it.",
    "problem.sign_out": "You are still signed in: Twilio did not confirm the sign-out. Try again in a moment.",
    "problem.server": "Twilio did not respond as expected. Try again in a moment.",
    "problem.store": "The sign-in could not be stored. Try again in a moment.",
    "problem.busy": "Too many sign-ins are pending. Try again in a moment.",
    "problem.too_often": "Too many sign-ins were started. Try again in {seconds} seconds.",
    "problem.refused": "Twilio returned an error: {error}",
    "problem.not_found": "There is no such page.",
    "problem.method": "This page cannot be used in that way.",
    "problem.too_large": "The request is too large.",
    "problem.unidentified": "Sign in to {app_name} first.",
    "problem.back": "Back to the sign-in",
}
"""The default texts of a `SignInSite`, by name. The argument `texts` replaces some of them."""
