"""Checks of requested scopes and audiences, and the scope that a refresh token needs."""

from __future__ import annotations

import re
from collections.abc import Iterable

from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.rules.model import App

_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+", re.ASCII)
"""RFC 6749 3.3: one scope-token, not a list of several."""


def check_scopes(app: App, scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes without repetitions, in the requested order.

    Raises:
        ErrorResponse: ``invalid_scope``: a scope is malformed, or `app` may not request it.
    """
    requested = tuple(dict.fromkeys(scopes))
    if not all(_SCOPE_TOKEN.fullmatch(scope) for scope in requested):
        raise ErrorResponse("invalid_scope", "A scope is empty or contains a character that is not allowed.")
    if app.scopes is not None and not app.scopes.issuperset(requested):
        raise ErrorResponse("invalid_scope", "The client may not request one of these scopes.")
    return requested


def check_audiences(app: App, audiences: Iterable[str]) -> tuple[str, ...]:
    """Return the audiences without repetitions.

    Raises:
        ErrorResponse: ``invalid_target`` (RFC 8707 2): an audience is malformed, or `app` may not request it.
    """
    requested = tuple(dict.fromkeys(audiences))
    if not all(audience.isprintable() and " " not in audience for audience in requested):
        raise ErrorResponse("invalid_target", "An audience contains a character that is not allowed.")
    if app.audiences is not None and not app.audiences.issuperset(requested):
        raise ErrorResponse("invalid_target", "The client may not request one of these audiences.")
    return requested


def allow_refresh_token(scopes: Iterable[str], *, refreshed: bool) -> bool:
    """Return whether ``POST /v2/token`` issues a refresh token: with ``offline_access``, or after a refresh."""
    return refreshed or "offline_access" in scopes
