"""Output of the commands: to a terminal that can redraw a line, or to a plain stream."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TextIO

Update = Callable[[str], None]
"""A function that replaces the text of a status line."""


class Screen(Protocol):
    """Output for the user of a command."""

    def say(self, text: str = "", *, highlight: Sequence[str] = ()) -> None:
        """Write permanent lines; highlight the parts in `highlight` if possible."""
        ...

    def status(self, text: str) -> contextlib.AbstractContextManager[Update]:
        """Show a status text while a block runs; calling the function that it yields replaces the text."""
        ...


class PlainScreen:
    """Output to a pipe, a file or a log: no colours, nothing redrawn, each line flushed at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def say(self, text: str = "", *, highlight: Sequence[str] = ()) -> None:  # noqa: ARG002 - cannot highlight
        """Write `text`."""
        print(text, file=self._stream, flush=True)

    @contextlib.contextmanager
    def status(self, text: str) -> Generator[Update]:
        """Write the first text as a line. Updates are not written: a log should not be full of countdowns."""
        self.say(text)
        yield lambda text: None  # noqa: ARG005 - an `Update`


class TerminalScreen:
    """Output to a terminal with ``rich``, which respects ``NO_COLOR``."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)

    def say(self, text: str = "", *, highlight: Sequence[str] = ()) -> None:
        """Write `text`, wrapped at words. A line with a link stays whole, so that the terminal can open it."""
        from rich.text import Text

        for line in text.split("\n"):
            styled = Text(line)
            styled.highlight_words(highlight, "bold cyan")
            self._console.print(styled, soft_wrap="://" in line)

    @contextlib.contextmanager
    def status(self, text: str) -> Generator[Update]:
        """Show one line with a spinner, and remove it at the end."""
        # The spinner "line" has only ASCII characters, which every terminal and encoding can show.
        with self._console.status(text, spinner="line", spinner_style="cyan") as status:
            yield status.update


def choose_screen(stream: TextIO) -> Screen:
    """Return a screen for `stream`: plain unless it is a terminal that can move its cursor."""
    if stream.isatty() and os.environ.get("TERM") not in {"dumb", "unknown"}:
        return TerminalScreen(stream)
    return PlainScreen(stream)
