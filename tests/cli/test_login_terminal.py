"""The login on a real pseudo-terminal: the live line, the QR code, keys, Ctrl-C, and terminals of all sizes."""

from __future__ import annotations

import base64
import re
import time

import pytest

from tests.helpers.command_world import CommandWorld, world
from tests.helpers.terminal import Terminal

__all__ = ["world"]  # a fixture

WAITING = "Waiting for your approval"


def code_of(world: CommandWorld) -> str:
    """Return the code that waits."""
    [code] = world.emulator.call(lambda: world.emulator.device_codes)
    return code.user_code


def test_large_terminal_shows_everything_and_the_qr_code_contains_the_link(world: CommandWorld) -> None:
    with Terminal("login", columns=100, rows=60) as terminal:
        terminal.wait_for(WAITING)
        code = code_of(world)
        link = f"{world.emulator.activation_url}?user_code={code}"
        assert link in terminal.lines, "on a line of its own, not wrapped"
        assert b"\x1b]8;id=" in terminal.raw
        assert f";{link}\x1b\\".encode() in terminal.raw
        assert "  " + " ".join(code) in terminal.text
        assert terminal.qr_code() == link
        assert "- see which Twilio user you are" in terminal.text
        assert "Continue only if you started this sign-in yourself." in terminal.text
        assert re.search(r"The code expires at \d\d:\d\d \w+\.", terminal.text)
        assert re.search(rf"{WAITING}\. 4:5\d left, next check in \d s\. c copies the code\.", terminal.text)
        first = terminal.text
        terminal.read_for(1.2)
        assert terminal.text != first, "the seconds are counted"
        assert terminal.text.count(WAITING) == 1, "the line is redrawn in place"
        world.emulator.approve(code)
        terminal.wait_for("Signed in as Ada Example")
        assert terminal.end() == 0
        assert WAITING not in terminal.text
        assert terminal.raw.rstrip().endswith(b"(profile default).")
        assert b"\x1b[?25h" in terminal.raw, "the cursor is shown again"
        assert terminal.settings == terminal.before


@pytest.mark.parametrize("columns", [40, 200])
def test_other_widths(world: CommandWorld, columns: int) -> None:
    with Terminal("login", "--scope", "openid", columns=columns, rows=24) as terminal:
        terminal.wait_for(f"{WAITING}. 4:")
        assert terminal.qr_code() is None, "there is no room"
        assert "left, next check in" in terminal.text or columns == 40
        code = code_of(world)
        link = f"{world.emulator.activation_url}?user_code={code}"
        assert link.encode() in terminal.raw.replace(b"\r\n", b"\n"), "no line break within the link"
        words = terminal.raw.decode().split("Waiting for")[0]
        plain = re.sub(r"\x1b\]8;[^\x1b]*\x1b\\|\x1b\[[\d;?]*[a-zA-Z]", "", words)
        assert [line for line in plain.splitlines() if len(line) > columns and "://" not in line] == []
        terminal.read_for(1.1)
        assert terminal.text.count(WAITING) == 1
        terminal.press("\x03")
        assert terminal.end() == 130


def test_qr_code_is_shown_or_hidden_as_the_option_says(world: CommandWorld) -> None:
    with Terminal("login", "--no-qr", columns=100, rows=60) as terminal:
        terminal.wait_for(WAITING)
        assert terminal.qr_code() is None
        terminal.press("\x03")
        terminal.end()
    with Terminal("login", "--qr", columns=100, rows=60, environment={"TERM": "dumb"}) as terminal:
        terminal.wait_for(WAITING)
        assert terminal.qr_code() is not None
        assert b"\x1b" not in terminal.raw


@pytest.mark.parametrize("name", ["CI", "TERM"])
def test_terminal_that_gets_plain_lines(world: CommandWorld, name: str) -> None:
    value = {"CI": "true", "TERM": "dumb"}[name]
    with Terminal("login", columns=100, rows=60, environment={name: value}) as terminal:
        terminal.wait_for(WAITING)
        assert b"\x1b" not in terminal.raw
        assert terminal.qr_code() is None
        world.emulator.approve(code_of(world))
        terminal.wait_for("Signed in as Ada Example")
        assert terminal.text.count(WAITING) == 1


def test_no_color(world: CommandWorld) -> None:
    with Terminal("login", "--no-qr", columns=100, rows=60, environment={"NO_COLOR": "1"}) as terminal:
        terminal.wait_for("left, next")
        assert not re.search(rb"\x1b\[[\d;]*3\d[;m]", terminal.raw)


def test_ctrl_c_asks_nothing_and_the_sign_in_can_be_resumed(world: CommandWorld) -> None:
    with Terminal("login", columns=100, rows=40) as terminal:
        terminal.wait_for(WAITING)
        code = code_of(world)
        pressed = time.monotonic()
        terminal.press("\x03")
        assert terminal.end() == 130
        assert time.monotonic() - pressed < 5
        assert "twilio-oauth login --resume" in terminal.text
        assert "Traceback" not in terminal.text
        assert terminal.settings == terminal.before
    world.emulator.approve(code)
    with Terminal("login", "--resume", columns=100, rows=40) as terminal:
        terminal.wait_for("Signed in as Ada Example")
        assert " ".join(code) in terminal.text
        assert terminal.end() == 0
    assert len(world.emulator.requests.to("device_code")) == 1


@pytest.mark.parametrize("tmux", [None, "/tmp/tmux-0/default,1,0"])
def test_key_c_copies_the_code(world: CommandWorld, tmux: str | None) -> None:
    with Terminal("login", columns=100, rows=40, environment={"TMUX": tmux}) as terminal:
        terminal.wait_for("c copies the code")
        copied = b"\x1b]52;c;" + base64.b64encode(code_of(world).encode()) + b"\x07"
        expected = copied if tmux is None else b"\x1bPtmux;" + copied.replace(b"\x1b", b"\x1b\x1b") + b"\x1b\\"
        assert expected not in terminal.raw
        terminal.press("xc")
        terminal.read_for(0.5)
        assert expected in terminal.raw


def test_states_are_named(world: CommandWorld) -> None:
    world.emulator.faults.on("poll").error("slow_down")
    with Terminal("login", columns=100, rows=40) as terminal:
        terminal.wait_for("Waiting for your approval; the server asked to check less often. 4:")
        terminal.press("\x03")
        terminal.end()
    world.emulator.faults.clear()
    world.emulator.faults.on("poll").respond(503)
    with Terminal("login", columns=100, rows=40) as terminal:
        terminal.wait_for("The connection is lost; the sign-in goes on as soon as it is back. 4:")
        terminal.wait_for("Waiting for your approval. 4:")


@pytest.mark.parametrize(("key", "exit_code"), [("y", 0), ("n", 1)])
def test_code_that_has_expired_can_be_replaced(world: CommandWorld, key: str, exit_code: int) -> None:
    with Terminal("login", columns=100, rows=50) as terminal:
        terminal.wait_for(WAITING)
        first = code_of(world)
        world.emulator.expire(first)
        terminal.wait_for("The code has expired. Get a new one? [Y/n]")
        terminal.press(f"{key}\r")
        if key == "y":
            terminal.wait_for(WAITING)
            second = code_of(world)
            assert second != first
            world.emulator.approve(second)
        assert terminal.end() == exit_code


def test_denied_on_a_terminal(world: CommandWorld) -> None:
    with Terminal("login", columns=100, rows=40) as terminal:
        terminal.wait_for(WAITING)
        world.emulator.deny(code_of(world))
        terminal.wait_for("The sign-in was denied on the page. Nothing was stored.")
        assert terminal.end() == 1


def test_terminal_that_is_resized_while_it_waits(world: CommandWorld) -> None:
    with Terminal("login", "--no-qr", columns=100, rows=40) as terminal:
        terminal.wait_for("left, next")
        terminal.resize(60, 40)
        terminal.read_for(1.5)
        world.emulator.approve(code_of(world))
        terminal.wait_for("Signed in as Ada Example")
        assert terminal.end() == 0


def test_command_that_was_killed_is_resumed_after_its_lease(world: CommandWorld) -> None:
    with Terminal("login", columns=100, rows=40) as terminal:
        terminal.wait_for(WAITING)
        terminal.process.kill()
        terminal.end()
    assert world.run("login", "--resume") == 2
    assert "another command waits for the sign-in of profile default" in world.err


def test_second_login_takes_the_place_of_one_that_was_interrupted(world: CommandWorld) -> None:
    with Terminal("login", columns=100, rows=40) as terminal:
        terminal.wait_for(WAITING)
        terminal.press("\x03")
        terminal.end()
    world.login()
    assert len(world.emulator.requests.to("device_code")) == 2
