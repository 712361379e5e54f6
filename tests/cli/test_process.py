"""The command in its own process, with the real clock."""

import contextlib
import os
import pty
import re
import signal
import time

import pytest

from tests.helpers.command import error_lines, start


@pytest.mark.parametrize(
    ("option", "code", "end"), [("--approve-after", 0, "60 minutes."), ("--deny-after", 1, "token.")]
)
def test_complete_demo_in_a_pipe(option, code, end):
    with start("demo", option, "0") as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, error_lines(err)) == (code, [])
    assert out.rstrip().endswith(end)
    assert "\x1b" not in out


def test_complete_demo_on_a_terminal():
    parent_end, child_end = pty.openpty()
    with start("demo", "--approve-after", "0", stdout=child_end, COLUMNS="100", NO_COLOR="1") as process:
        os.close(child_end)
        output = b""
        # Reading a terminal raises an error when the other end is closed.
        with contextlib.suppress(OSError):
            while chunk := os.read(parent_end, 65536):
                output += chunk
        os.close(parent_end)
        err = process.communicate(timeout=30)[1]
    text = output.decode()
    assert (process.returncode, error_lines(err)) == (0, [])
    assert " left, next check in " in text
    assert "Signed in as Ada Example" in text
    assert not re.search(r"\x1b\[[\d;]*3\d[;m]", text)


def seconds_from_ctrl_c_to_exit():
    # Coverage writes its data when the process ends; that must not be part of the measured time.
    with start("demo", without=[name for name in os.environ if name.startswith("COV")]) as process:
        # Each line is flushed at once.
        assert process.stdout.readline() == "twilio-oauth demo asks to use your Twilio account.\n"
        assert process.stdout.readline().startswith("To sign in, open http://127.0.0.1:")
        while not process.stdout.readline().startswith("Waiting for your approval."):
            pass
        pressed = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        took = time.monotonic() - pressed
    assert process.returncode == 130
    assert out == ""
    assert error_lines(err) == ["Stopped."]
    return took


def test_ctrl_c_stops_the_demo_within_a_second():
    # The fastest of some attempts, because a busy machine may delay one of them.
    assert any(seconds_from_ctrl_c_to_exit() < 1 for _ in range(4))


def test_closed_stdout_is_an_error_without_traceback():
    with start("demo", "--approve-after", "0") as process:
        process.stdout.readline()
        process.stdout.close()
        assert error_lines(process.stderr.read()) == []
        assert process.wait(30) != 0
