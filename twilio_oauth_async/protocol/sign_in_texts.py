"""`SignInTexts`: the sentences that a user reads during a sign-in, in one place for pages, chats and terminals. Pure.

Against remote phishing, they say what RFC 10027 6.1.13 and 6.1.14 ask for: which application asks, where and when the
sign-in was started, to which host the link leads, when the code expires, what is allowed, and when to cancel.
"""

from __future__ import annotations

import difflib
import string
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from twilio_oauth_async.errors import ConfigurationError

TEXTS: Final[Mapping[str, str]] = {
    "asks": "{app_name} asks to use your Twilio account.",
    "started": "This sign-in was started at {time}.",
    "started_from": "This sign-in was started at {time} from {place}.",
    "open_link": "To sign in, open {link}",
    "check_code": "and check that the page shows the code {code}",
    "or_enter_code": "(or enter the code at {link})",
    "enter_code": "and enter the code {code}",
    "host": "The page must be on {host}.",
    "expires": "The code expires at {time}.",
    "allows": "This lets {app_name}:",
    "warning": "Continue only if you started this sign-in yourself. "
    "If you got the code from a website, in a message or in a call, cancel.",
    "scope": "use the permission {scope}",
    "scope.openid": "see which Twilio user you are",
    "scope.profile": "see your name",
    "scope.email": "see your email address",
    "scope.offline_access": "stay signed in until you sign out",
    "audience": "use the API {audience}",
    "time": "{hours:02}:{minutes:02} UTC",
    "approved": "You are signed in to Twilio.",
    "denied": "You denied the sign-in at Twilio. {app_name} has no access.",
    "expired": "The code expired before it was approved. {app_name} has no access.",
    "cancelled": "The sign-in was cancelled. {app_name} has no access.",
    "failed": "The sign-in failed. {app_name} has no access.",
    "unavailable": "Twilio, or the administrator of your account, does not allow sign-in with a code for {app_name}.",
    "interrupted": "{app_name} was interrupted. The sign-in continues within a minute.",
    "unreachable": "Twilio cannot be reached at the moment. The sign-in goes on as soon as it can.",
}
"""The default texts by name. What stands in braces is filled in; a replacement may use the same names, or fewer."""

_FORMATS: Final = frozenset({"02"})
"""Formats that a text may have: of hours and minutes."""


class SignInTexts:
    """The texts of a sign-in: the default ones, and those that the application has replaced or translated."""

    def __init__(
        self, replaced: Mapping[str, str] | None = None, *, defaults: Mapping[str, str] = TEXTS, what: str = "texts"
    ) -> None:
        """Create it.

        Args:
            replaced: texts by name. `scope.` with a scope as in ``scope.calls:read`` says what that scope allows.
            defaults: all names that exist, with their texts.
            what: the name of the argument, for messages.

        Raises:
            ConfigurationError: a name does not exist, a text is not a string, or it has a field in braces that the
                default text does not have.
        """
        if replaced is not None and not isinstance(replaced, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(f"{what} must map names to texts")
        self._texts = dict(defaults)
        for name, text in (replaced or {}).items():
            default = defaults.get(name, defaults.get("scope") if str(name).startswith("scope.") else None)
            if default is None:
                close = difflib.get_close_matches(str(name), defaults, 1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise ConfigurationError(f"{what} has no text of the name {name!r}{hint}")
            if unknown := _fields(name, text, what) - _fields(name, default, what):
                raise ConfigurationError(f"{what}[{name!r}] has a field that does not exist there: {min(unknown)}")
            self._texts[name] = text

    def __getitem__(self, name: str) -> str:
        """Return a text that has no fields, or one whose fields are to be filled in later."""
        return self._texts[name]

    def fill(self, name: str, /, **values: object) -> str:
        """Return the text `name` with its fields filled in. Braces in the values have no meaning."""
        return self._texts[name].format_map(values)

    def allowed(self, scopes: Iterable[str], audiences: Iterable[str] = ()) -> list[str]:
        """Return what each scope and each audience allows, in words, in the same order."""
        return [
            *(self._texts.get(f"scope.{scope}") or self.fill("scope", scope=scope) for scope in scopes),
            *(self.fill("audience", audience=audience) for audience in audiences),
        ]

    def time(self, moment: datetime) -> str:
        """Return the time of day of `moment` (aware), in UTC."""
        utc = moment.astimezone(UTC)
        return self.fill("time", hours=utc.hour, minutes=utc.minute)


def _fields(name: str, text: object, what: str) -> set[str]:
    """Return the names in braces of `text`.

    Raises:
        ConfigurationError: `text` is not a string, or is not a format string.
    """
    problem = f"{what}[{name!r}] must be a string in which each brace belongs to a field"
    if not isinstance(text, str):
        raise ConfigurationError(problem)
    try:
        parsed = [part for part in string.Formatter().parse(text) if part[1] is not None]
    except ValueError:
        raise ConfigurationError(problem) from None
    # A format such as {seconds:d} may not fit the value; the default texts have one for numbers.
    if any((format_ and format_ not in _FORMATS) or conversion for _, _, format_, conversion in parsed):
        raise ConfigurationError(f"{what}[{name!r}] must have its fields without a format, as in {{link}}")
    return {str(field) for _, field, _, _ in parsed}
