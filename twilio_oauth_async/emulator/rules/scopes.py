"""What may be asked for: scopes and audiences."""

from __future__ import annotations

import re
from collections.abc import Iterable

from twilio_oauth_async.emulator.messages.refusal import RefusalError
from twilio_oauth_async.emulator.rules.model import App

_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+", re.ASCII)
"""RFC 6749 3.3: one scope-token; a list of several is not one."""


def check_scopes(app: App, scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes without repetitions, in the order they were asked for.

    Raises:
        RefusalError: ``invalid_scope``: malformed, or more than `app` may ask for.
    """
    wanted = tuple(dict.fromkeys(scopes))
    if not all(_SCOPE_TOKEN.fullmatch(scope) for scope in wanted):
        raise RefusalError("invalid_scope", "A scope is empty or holds a character that scopes must not have.")
    if app.scopes is not None and not app.scopes.issuperset(wanted):
        raise RefusalError("invalid_scope", "The client may not ask for one of these scopes.")
    return wanted


def check_audiences(app: App, audiences: Iterable[str]) -> tuple[str, ...]:
    """Return the audiences without repetitions.

    Raises:
        RefusalError: ``invalid_target`` (RFC 8707 2): malformed, or one that `app` may not ask for.
    """
    wanted = tuple(dict.fromkeys(audiences))
    if not all(audience.isprintable() and " " not in audience for audience in wanted):
        raise RefusalError("invalid_target", "An audience holds a character that audiences must not have.")
    if app.audiences is not None and not app.audiences.issuperset(wanted):
        raise RefusalError("invalid_target", "The client may not ask for one of these audiences.")
    return wanted
