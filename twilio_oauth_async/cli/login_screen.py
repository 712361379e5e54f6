"""How a sign-in is shown: on a terminal with a line that is redrawn, as plain lines, or as lines of JSON."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import sys
from collections.abc import Callable, Generator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from twilio_oauth_async.protocol.sign_in_texts import SignInTexts

if TYPE_CHECKING:
    from rich.console import Console

    from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization

Update = Callable[[str], None]
"""A function that replaces the text of the live line."""

_MARGIN = 2
"""Columns beside a QR code, and those of the spinner."""


class LoginScreen(Protocol):
    """Output of a sign-in."""

    def show(self, authorization: DeviceAuthorization, app_name: str) -> None:
        """Show the link, the code, and what the user allows."""
        ...

    def live(self, text: str, code: str) -> contextlib.AbstractContextManager[Update]:
        """Show a text while a block runs; the function that it yields replaces the text."""
        ...

    def say(self, text: str) -> None:
        """Show a sentence."""
        ...


class PlainLoginScreen:
    """Lines without colours, for a pipe, a log, or a terminal that cannot redraw a line."""

    def __init__(self, stream: TextIO, *, qr: bool = False) -> None:
        self._stream, self._qr = stream, qr

    def show(self, authorization: DeviceAuthorization, app_name: str) -> None:
        """Write the instructions."""
        self.say(authorization.instructions(app_name))
        if self._qr:
            self.say("\n" + authorization.qr_text())

    @contextlib.contextmanager
    def live(self, text: str, code: str) -> Generator[Update]:  # noqa: ARG002 - nothing can be copied here
        """Write a line for each new state, but not for each second."""
        last = _state_of(text)
        self.say(last)

        def update(text: str) -> None:
            nonlocal last
            if _state_of(text) != last:
                last = _state_of(text)
                self.say(last)

        yield update

    def say(self, text: str) -> None:
        """Write a line at once."""
        print(text, file=self._stream, flush=True)


class JsonLoginScreen:
    """One line of JSON when the code is there; the last line is written by the command."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, authorization: DeviceAuthorization, app_name: str) -> None:  # noqa: ARG002 - programs have it
        """Write what a program needs to show the code."""
        self.write(
            {
                "user_code": authorization.user_code,
                "verification_uri": authorization.verification_uri,
                "verification_uri_complete": authorization.verification_uri_complete,
                "expires_at": authorization.expires_at.isoformat(),
            }
        )

    @contextlib.contextmanager
    def live(self, text: str, code: str) -> Generator[Update]:  # noqa: ARG002 - nothing is written meanwhile
        """Write nothing."""
        yield lambda text: None  # noqa: ARG005 - an `Update`

    def say(self, text: str) -> None:
        """Write nothing: the events have it."""

    def write(self, event: dict[str, Any]) -> None:
        """Write one event."""
        print(json.dumps(event), file=self._stream, flush=True)


class TerminalLoginScreen:
    """A terminal: colours, a link that can be clicked, a QR code where there is room, and a live line."""

    def __init__(self, stream: TextIO, *, qr: bool | None = None) -> None:
        """Write to `stream`.

        Args:
            stream: a terminal.
            qr: whether to show a QR code; None: if the terminal is large enough.
        """
        from rich.console import Console

        self.console: Console = Console(file=stream, highlight=False, markup=False, emoji=False)
        self._qr = qr

    def show(self, authorization: DeviceAuthorization, app_name: str) -> None:
        """Write the link on a line of its own, the code, the QR code, what is allowed, and the warning."""
        from rich.text import Text

        say, out = SignInTexts(), self.console.print
        out(Text(say.fill("asks", app_name=app_name)))
        out()
        out(Text("Open this page and check that it shows the code:"))
        # One line, so that the terminal can open and copy it; OSC 8 where the terminal supports it.
        link = Text(authorization.link, style=f"bold cyan link {authorization.link}")
        out(link, soft_wrap=True)
        out()
        out(Text(f"  {' '.join(authorization.user_code)}  ", style="bold reverse"), soft_wrap=True)
        out()
        self._show_qr_code(authorization)
        out(Text(f"{say.fill('host', host=authorization.host)} {_expiry(authorization.expires_at)}"))
        out()
        out(Text(say.fill("allows", app_name=app_name)))
        for allowed in say.allowed(authorization.scopes, authorization.audiences):
            out(Text(f"- {allowed}"))
        out()
        out(Text(say["warning"], style="yellow"))
        out()

    def _show_qr_code(self, authorization: DeviceAuthorization) -> None:
        from twilio_oauth_async.extras import MissingExtraError

        if self._qr is False:
            return
        try:
            # Light on dark and dark on light are both read by phones; a border of light modules is needed.
            lines = authorization.qr_text(dark_on_light=False).split("\n")
        except MissingExtraError:
            if self._qr:
                raise
            return
        fits = len(lines[0]) + _MARGIN <= self.console.width and len(lines) < self.console.height - _MARGIN
        if self._qr or fits:
            from rich.text import Text

            for line in lines:
                self.console.print(Text(line, style="white on black"), soft_wrap=True)
            self.console.print()

    @contextlib.contextmanager
    def live(self, text: str, code: str) -> Generator[Update]:
        """Redraw one line with a spinner; the key c copies the code."""
        with _keys({"c": lambda: self._copy(code)}) as has_keys:
            hint = " c copies the code." if has_keys else ""
            # The spinner "line" has only ASCII characters, which every terminal and encoding can show.
            with self.console.status(self._fitting(text, hint), spinner="line", spinner_style="cyan") as status:
                yield lambda text: status.update(self._fitting(text, hint))

    def _fitting(self, text: str, hint: str) -> str:
        """Return as much of the live line as fits beside the spinner: the time that is left matters most."""
        for line in (text + hint, text, text.partition(", next")[0]):
            if len(line) <= self.console.width - _MARGIN:
                return line
        return text

    def say(self, text: str) -> None:
        """Write a sentence."""
        from rich.text import Text

        self.console.print(Text(text), soft_wrap="://" in text)

    def _copy(self, code: str) -> None:
        """Put the code into the clipboard of the terminal (OSC 52), also from within tmux."""
        sequence = f"\x1b]52;c;{base64.b64encode(code.encode()).decode()}\x07"
        if os.environ.get("TMUX"):
            sequence = f"\x1bPtmux;{sequence.replace(chr(27), chr(27) * 2)}\x1b\\"
        self.console.file.write(sequence)
        self.console.file.flush()


@contextlib.contextmanager
def _keys(actions: dict[str, Callable[[], None]]) -> Generator[bool]:
    """Call an action for each key that is pressed on the terminal; yield whether that is possible here."""
    import asyncio

    try:
        import termios
        import tty
    except ImportError:  # Windows
        yield False
        return
    if not sys.stdin.isatty():
        yield False
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    loop = asyncio.get_running_loop()

    def pressed() -> None:
        for key in os.read(descriptor, 64).decode(errors="replace"):
            if key in actions:
                actions[key]()

    try:
        tty.setcbreak(descriptor)  # Ctrl-C still interrupts
        loop.add_reader(descriptor, pressed)
        yield True
    finally:
        loop.remove_reader(descriptor)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def choose_login_screen(stream: TextIO, *, as_json: bool, qr: bool | None) -> LoginScreen:
    """Return the screen for `stream`: plain unless it is a terminal that can move its cursor."""
    if as_json:
        return JsonLoginScreen(sys.stdout)
    is_plain = not stream.isatty() or os.environ.get("TERM") in {"dumb", "unknown"} or os.environ.get("CI")
    return PlainLoginScreen(stream, qr=bool(qr)) if is_plain else TerminalLoginScreen(stream, qr=qr)


def _state_of(text: str) -> str:
    """Return the first sentence: the rest counts seconds."""
    return text.partition(". ")[0].rstrip(".") + "."


def _expiry(moment: datetime) -> str:
    """Return when the code expires, in the time zone of the terminal."""
    return f"The code expires at {moment.astimezone():%H:%M %Z}."
