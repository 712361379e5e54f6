"""Where a command writes for a person: a terminal that can redraw a line, or a stream that only grows."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TextIO

Update = Callable[[str], None]


class Screen(Protocol):
    """What a command needs to write."""

    def say(self, text: str = "", *, stress: Sequence[str] = ()) -> None:
        """Write lines that stay; the parts in `stress` stand out where that is possible."""
        ...

    def status(self, text: str) -> contextlib.AbstractContextManager[Update]:
        """Show what is being waited for; calling the result replaces the text."""
        ...


class PlainScreen:
    """Lines for a pipe, a file or a log: no colours, nothing redrawn, each line flushed at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def say(self, text: str = "", *, stress: Sequence[str] = ()) -> None:  # noqa: ARG002 - cannot stress
        """Write the lines."""
        print(text, file=self._stream, flush=True)

    @contextlib.contextmanager
    def status(self, text: str) -> Generator[Update]:
        """Write the first text as a line and no update: a log full of countdowns helps nobody."""
        self.say(text)
        yield lambda text: None  # noqa: ARG005 - an `Update`


class TerminalScreen:
    """A terminal; `rich` draws on it and minds ``NO_COLOR``."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)

    def say(self, text: str = "", *, stress: Sequence[str] = ()) -> None:
        """Write the lines, wrapped at words; one with a link is left whole, so that the terminal sees all of it."""
        from rich.text import Text

        for line in text.split("\n"):
            styled = Text(line)
            styled.highlight_words(stress, "bold cyan")
            self._console.print(styled, soft_wrap="://" in line)

    @contextlib.contextmanager
    def status(self, text: str) -> Generator[Update]:
        """Show one line that moves, and take it away at the end."""
        # The one spinner that every terminal and encoding can draw.
        with self._console.status(text, spinner="line", spinner_style="cyan") as status:
            yield status.update


def choose_screen(stream: TextIO) -> Screen:
    """The best screen for `stream`; a terminal that cannot move its cursor counts as a plain one."""
    if stream.isatty() and os.environ.get("TERM") not in {"dumb", "unknown"}:
        return TerminalScreen(stream)
    return PlainScreen(stream)
