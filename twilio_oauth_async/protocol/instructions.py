"""Sign-in instructions for the user: where to enter the user code, and what the user approves, as text and QR code."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit

from twilio_oauth_async.protocol import qr_code
from twilio_oauth_async.protocol.sign_in_texts import SignInTexts


class _DeviceSignIn(Protocol):
    """The fields from which the instructions are made."""

    @property
    def client_sid(self) -> str: ...
    @property
    def scopes(self) -> tuple[str, ...]: ...
    @property
    def audiences(self) -> tuple[str, ...]: ...
    @property
    def user_code(self) -> str: ...
    @property
    def verification_uri(self) -> str: ...
    @property
    def verification_uri_complete(self) -> str | None: ...
    @property
    def expires_at(self) -> datetime: ...
    @property
    def host(self) -> str: ...
    @property
    def link(self) -> str: ...


class Instructions:
    """Mixin: adds what a user needs to a class that has the fields of a device sign-in."""

    __slots__ = ()

    @property
    def link(self: _DeviceSignIn) -> str:
        """The URI to open: the one that contains the code, if there is one."""
        return self.verification_uri_complete or self.verification_uri

    @property
    def host(self: _DeviceSignIn) -> str:
        """The host, and the port if there is one, of the page on which the user approves."""
        return urlsplit(self.verification_uri).netloc

    def instructions(
        self: _DeviceSignIn,
        app_name: str | None = None,
        *,
        started_at: datetime | None = None,
        started_from: str | None = None,
        texts: SignInTexts | Mapping[str, str] | None = None,
    ) -> str:
        """Return the instructions for the user as plain text of several lines.

        The text contains the code even if the link contains it too (RFC 8628 3.3.1), so that the user can compare the
        two. Against remote phishing, it says which application asks for what, until when, and on which host the user
        approves, and it warns the user (RFC 8628 5.4, RFC 10027 6.1.13).

        Args:
            app_name: the name by which the user knows the application; None: the SID of the OAuth app.
            started_at: when the sign-in was started (aware), if that is known.
            started_from: where it was started, for example a place or a device.
            texts: texts that replace the default ones, by the names in `TEXTS`.

        Raises:
            ConfigurationError: `texts` has an unknown name or field.
        """
        name = app_name or self.client_sid
        say = texts if isinstance(texts, SignInTexts) else SignInTexts(texts)
        lines = [say.fill("asks", app_name=name)]
        if started_at is not None:
            text = "started" if started_from is None else "started_from"
            lines.append(say.fill(text, time=say.time(started_at), place=started_from))
        if self.verification_uri_complete is None:
            lines += [
                say.fill("open_link", link=self.verification_uri),
                say.fill("enter_code", code=self.user_code),
            ]
        else:
            lines += [
                say.fill("open_link", link=self.verification_uri_complete),
                say.fill("check_code", code=self.user_code),
                say.fill("or_enter_code", link=self.verification_uri),
            ]
        lines += [
            " ".join((say.fill("host", host=self.host), say.fill("expires", time=say.time(self.expires_at)))),
            "",
            say.fill("allows", app_name=name),
            *(f"- {allowed}" for allowed in say.allowed(self.scopes, self.audiences)),
            "",
            say["warning"],
        ]
        return "\n".join(lines)

    def qr_svg(self: _DeviceSignIn) -> str:
        """Return the QR code of `link` as an SVG image, dark on white.

        Raises:
            MissingExtraError: the extra ``web`` is not installed.
        """
        return qr_code.svg(self.link)

    def qr_text(self: _DeviceSignIn, *, dark_on_light: bool = False) -> str:
        """Return the QR code of `link` as lines of block characters, for a terminal.

        Args:
            dark_on_light: for a terminal with dark text on a light background; False: for light text on a dark one.

        Raises:
            MissingExtraError: the extra ``web`` is not installed.
        """
        return qr_code.text(self.link, dark_on_light=dark_on_light)
