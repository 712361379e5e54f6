"""The command ``twilio-oauth``: as a process, and in this process with packages missing."""

import os
import subprocess
import sys

COMMAND = [
    *(sys.executable, "-X", "dev", "-W", "error", "-c"),
    "import sys; from twilio_oauth_async.cli import main; sys.exit(main())",
]


def start(*args, stdout=subprocess.PIPE, without=(), **environment):
    """Start it with `args`; `without` are variables to remove from the environment, `environment` those to set."""
    kept = {name: value for name, value in os.environ.items() if name not in without}
    return subprocess.Popen(
        [*COMMAND, *args],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env=kept | {"TERM": "xterm"} | environment,
    )


def error_lines(err):
    """Return the lines of `err` without reports of slow callbacks: development mode makes them on a busy machine."""
    return [line for line in err.splitlines() if line and not line.startswith("Executing <")]


def hide_modules(monkeypatch, *modules):
    """Make Python import the modules of the command again, as if `modules` were not installed."""
    for name in [
        name for name in sys.modules if name.startswith(("twilio_oauth_async.cli.", "twilio_oauth_async.emu"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    for name in modules:
        monkeypatch.setitem(sys.modules, name, None)
