"""The command as a process of its own, on the real clock."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

COMMAND = [
    *(sys.executable, "-X", "dev", "-W", "error", "-c"),
    "import sys; from twilio_oauth_async.cli import main; sys.exit(main())",
]


def start(*args, stdout=subprocess.PIPE, without=(), **environment):
    without = {"NO_COLOR", "FORCE_COLOR", "COLORTERM", *without}
    kept = {name: value for name, value in os.environ.items() if name not in without}
    return subprocess.Popen(
        [*COMMAND, *args],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=kept | {"TERM": "xterm"} | environment,
    )


def complaints(err):
    """What was complained about, but for slowness: development mode reports that, and the machine may be busy."""
    return [line for line in err.splitlines() if line and not line.startswith("Executing <")]


@pytest.mark.parametrize(
    ("option", "code", "end"), [("--approve-after", 0, "60 minutes."), ("--deny-after", 1, "token.")]
)
def test_a_whole_run_in_a_pipe(option, code, end):
    with start("demo", option, "0") as process:
        out, err = process.communicate(timeout=30)
    assert (process.returncode, complaints(err)) == (code, [])
    assert out.rstrip().endswith(end)
    assert "\x1b" not in out


def test_a_whole_run_on_a_terminal():
    ours, theirs = pty.openpty()
    with start("demo", "--approve-after", "0", stdout=theirs, COLUMNS="100", NO_COLOR="1") as process:
        os.close(theirs)
        shown = b""
        # The end of a terminal is an error to its reader.
        with contextlib.suppress(OSError):
            while chunk := os.read(ours, 65536):
                shown += chunk
        os.close(ours)
        err = process.communicate(timeout=30)[1]
    text = shown.decode()
    assert (process.returncode, complaints(err)) == (0, [])
    assert "left." in text
    assert "Signed in as Ada Example" in text
    assert not re.search(r"\x1b\[[\d;]*3\d[;m]", text)


def seconds_from_ctrl_c_to_the_end():
    # Coverage, which writes its findings at the very end, must not be measured with it.
    with start("demo", without=[name for name in os.environ if name.startswith("COV")]) as process:
        # A pipe sees each line as soon as it is written, the link first.
        assert process.stdout.readline().startswith("To sign in, open http://127.0.0.1:")
        while not process.stdout.readline().startswith("Waiting for you"):
            pass
        pressed = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        took = time.monotonic() - pressed
    assert process.returncode == 130
    assert out == ""
    assert complaints(err) == ["Stopped."]
    return took


def test_ctrl_c_ends_it_within_a_second():
    # The fastest of a few: what a busy machine adds is not the program's. One that is slow is so each time.
    assert any(seconds_from_ctrl_c_to_the_end() < 1 for _ in range(4))


def test_a_reader_that_goes_away_is_no_traceback():
    with start("demo", "--approve-after", "0") as process:
        process.stdout.readline()
        process.stdout.close()
        assert complaints(process.stderr.read()) == []
        assert process.wait(30) != 0
