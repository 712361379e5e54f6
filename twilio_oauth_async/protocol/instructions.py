"""Sign-in instructions for the user, as text: where to enter the user code, and what the user approves."""

from __future__ import annotations

from typing import Protocol


class _DeviceSignIn(Protocol):
    """The fields from which the instructions are made."""

    @property
    def client_sid(self) -> str: ...
    @property
    def scopes(self) -> tuple[str, ...]: ...
    @property
    def user_code(self) -> str: ...
    @property
    def verification_uri(self) -> str: ...
    @property
    def verification_uri_complete(self) -> str | None: ...


class Instructions:
    """Mixin: adds `instructions` to a class that has the fields of a device sign-in."""

    __slots__ = ()

    def instructions(self: _DeviceSignIn, app_name: str | None = None) -> str:
        """Return the instructions for the user as plain text of several lines.

        The text contains the code even if the link contains it too (RFC 8628 3.3.1), so that the user can compare the
        two. Against remote phishing, it names the app and the scopes and warns the user (RFC 8628 5.4, RFC 10027).

        Args:
            app_name: the name by which the user knows the application; None: the SID of the OAuth app.
        """
        if self.verification_uri_complete is None:
            where = [f"To sign in, open {self.verification_uri}", f"and enter the code {self.user_code}"]
        else:
            where = [
                f"To sign in, open {self.verification_uri_complete}",
                f"and check that the page shows the code {self.user_code}",
                f"(or enter the code at {self.verification_uri})",
            ]
        return "\n".join(
            [
                *where,
                "",
                f"This lets {app_name or self.client_sid} use: {', '.join(self.scopes)}",
                "Do this only if you started the sign-in yourself. Never enter a code that you did not request.",
            ]
        )
