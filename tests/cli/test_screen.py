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


def test_a_pipe_gets_whole_lines_at_once_and_one_line_of_status():
    stream = Stream(terminal=False)
    screen = choose_screen(stream)
    assert isinstance(screen, PlainScreen)
    screen.say("open http://x", stress=["http://x"])
    assert stream.flushed == "open http://x\n"
    with screen.status("waiting") as update:
        assert stream.flushed.endswith("waiting\n")
        update("still waiting")
    assert stream.getvalue() == "open http://x\nwaiting\n"


def test_a_terminal_gets_colour_and_a_status_that_goes_away():
    stream = Stream(terminal=True)
    screen = choose_screen(stream)
    assert isinstance(screen, TerminalScreen)
    screen.say("code ABCD", stress=["ABCD"])
    assert COLOUR.search(stream.getvalue())
    with screen.status("waiting") as update:
        update("still waiting")
    assert "waiting" in stream.getvalue()
    assert stream.getvalue().endswith(f"{ESCAPE}[2K"), "the line is wiped"
    assert f"{ESCAPE}[?25h" in stream.getvalue(), "the cursor is back"


def test_no_color_is_honoured(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Stream(terminal=True)
    screen = choose_screen(stream)
    screen.say("code ABCD", stress=["ABCD"])
    with screen.status("waiting"):
        pass
    assert "ABCD" in stream.getvalue()
    assert not COLOUR.search(stream.getvalue())


def test_a_terminal_wraps_words_but_never_a_link(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Stream(terminal=True)
    link = "http://127.0.0.1:8000/" + "x" * 60
    choose_screen(stream).say(f"open {link}\n{'word ' * 12}[bold]:smile:")
    first, *rest = stream.getvalue().splitlines()
    assert first == f"open {link}"
    assert all(len(line) <= 40 for line in rest)
    assert " ".join(" ".join(rest).split()) == f"{'word ' * 12}[bold]:smile:"


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_cannot_redraw_is_written_to_plainly(monkeypatch, term):
    monkeypatch.setenv("TERM", term)
    assert isinstance(choose_screen(Stream(terminal=True)), PlainScreen)


def test_the_status_can_be_drawn_in_ascii():
    raw = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    screen = TerminalScreen(raw)
    screen._console = Console(file=raw, force_terminal=True)
    with screen.status("waiting"):
        pass
    raw.flush()
    assert b"waiting" in raw.buffer.getvalue()
