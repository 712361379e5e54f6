import io
import re

import pytest
from rich.console import Console

from twilio_oauth_async.cli.screen import PlainScreen, TerminalScreen, choose_screen

ESCAPE = "\x1b"
COLOUR = re.compile(r"\x1b\[[\d;]*3\d[;m]")


class Stream(io.StringIO):
    def __init__(self, *, terminal):
        super().__init__()
        self.terminal = terminal
        self.flushed = ""

    def isatty(self):
        return self.terminal

    def flush(self):
        self.flushed = self.getvalue()


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


def test_pipe_gets_flushed_lines_and_only_the_first_status():
    stream = Stream(terminal=False)
    screen = choose_screen(stream)
    assert isinstance(screen, PlainScreen)
    screen.say("open http://x", highlight=["http://x"])
    assert stream.flushed == "open http://x\n"
    with screen.status("waiting") as update:
        assert stream.flushed.endswith("waiting\n")
        update("still waiting")
    assert stream.getvalue() == "open http://x\nwaiting\n"


def test_terminal_gets_colours_and_a_status_that_is_removed():
    stream = Stream(terminal=True)
    screen = choose_screen(stream)
    assert isinstance(screen, TerminalScreen)
    screen.say("code ABCD", highlight=["ABCD"])
    assert COLOUR.search(stream.getvalue())
    with screen.status("waiting") as update:
        update("still waiting")
    assert "waiting" in stream.getvalue()
    assert stream.getvalue().endswith(f"{ESCAPE}[2K"), "the status line is cleared"
    assert f"{ESCAPE}[?25h" in stream.getvalue(), "the cursor is shown again"


def test_no_color_disables_colours(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Stream(terminal=True)
    screen = choose_screen(stream)
    screen.say("code ABCD", highlight=["ABCD"])
    with screen.status("waiting"):
        pass
    assert "ABCD" in stream.getvalue()
    assert not COLOUR.search(stream.getvalue())


def test_terminal_wraps_words_but_not_a_line_with_a_link(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Stream(terminal=True)
    link = "http://127.0.0.1:8000/" + "x" * 60
    choose_screen(stream).say(f"open {link}\n{'word ' * 12}[bold]:smile:")
    first, *rest = stream.getvalue().splitlines()
    assert first == f"open {link}"
    assert all(len(line) <= 40 for line in rest)
    assert " ".join(" ".join(rest).split()) == f"{'word ' * 12}[bold]:smile:"


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_terminal_without_cursor_control_gets_plain_output(monkeypatch, term):
    monkeypatch.setenv("TERM", term)
    assert isinstance(choose_screen(Stream(terminal=True)), PlainScreen)


def test_status_can_be_written_in_ascii():
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    screen = TerminalScreen(raw)
    screen._console = Console(file=raw, force_terminal=True)
    with screen.status("waiting"):
        pass
    raw.flush()
    assert b"waiting" in raw.buffer.getvalue()
