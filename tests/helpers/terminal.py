"""`Terminal`: a command on a real pseudo-terminal, whose screen a terminal emulator draws."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from typing import Self

import pyte
import zxingcpp
from PIL import Image

TIMEOUT = 20.0
"""Real seconds to wait for something on the screen."""

_SCALE = 6
"""Pixels of a module of a QR code."""
_BLOCKS = {" ": (False, False), "▀": (True, False), "▄": (False, True), "█": (True, True)}


class Terminal:
    """A command that runs on a terminal of a given size."""

    def __init__(
        self, *args: str, columns: int = 80, rows: int = 24, environment: Mapping[str, str | None] | None = None
    ) -> None:
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self._end, child = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(child)
        env = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
        for name, value in {"TERM": "xterm-256color", **(environment or {})}.items():
            env.pop(name, None)
            if value is not None:
                env[name] = value
        command = [sys.executable, "-m", "twilio_oauth_async", *args]
        self.process = subprocess.Popen(
            command,
            stdin=child,
            stdout=child,
            stderr=child,
            env=env,
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509 - one system call; the terminal must be the controlling one
        )
        self._child = child

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for descriptor in (self._child, self._end):
            os.close(descriptor)

    @property
    def settings(self) -> list[object]:
        """The settings of the terminal, for example whether it echoes."""
        return termios.tcgetattr(self._child)

    @property
    def lines(self) -> list[str]:
        """The lines of the screen, without spaces at their ends."""
        return [line.rstrip() for line in self.screen.display]

    @property
    def text(self) -> str:
        """What the screen shows."""
        return "\n".join(self.lines)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)
        if hasattr(self, "process"):
            self.process.send_signal(signal.SIGWINCH)

    def press(self, keys: str) -> None:
        """Press keys; ``\\x03`` is Ctrl-C."""
        os.write(self._end, keys.encode())

    def wait_for(self, text: str) -> None:
        """Read until the screen shows `text`."""
        ends_at = time.monotonic() + TIMEOUT
        while text not in self.text:
            assert time.monotonic() < ends_at, f"{text!r} is not on the screen:\n{self.text}"
            if not self._read(0.05) and self.process.poll() is not None:
                self._read(0.1)
                assert text in self.text, f"the command ended without {text!r}:\n{self.text}"

    def read_for(self, seconds: float) -> None:
        """Read what arrives within some real seconds."""
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            self._read(left)

    def end(self) -> int:
        """Wait until the command has ended, and return its exit code."""
        ends_at = time.monotonic() + TIMEOUT
        while self.process.poll() is None:
            assert time.monotonic() < ends_at, f"the command does not end:\n{self.text}"
            self._read(0.05)
        while self._read(0.05):
            pass
        return self.process.returncode

    def qr_code(self) -> str | None:
        """Return what a QR code on the screen contains, as a reader of pictures sees it."""
        rows = [
            [_BLOCKS.get(self.screen.buffer[y][x].data, (False, False)) for x in range(self.screen.columns)]
            for y in range(self.screen.lines)
        ]
        picture = Image.new("L", (self.screen.columns, self.screen.lines * 2))
        for y, row in enumerate(rows):
            for x, (upper, lower) in enumerate(row):
                picture.putpixel((x, 2 * y), 255 * upper)
                picture.putpixel((x, 2 * y + 1), 255 * lower)
        large = picture.resize((picture.width * _SCALE, picture.height * _SCALE), Image.Resampling.NEAREST)
        found = zxingcpp.read_barcodes(large)
        return found[0].text if found else None

    def _read(self, seconds: float) -> bool:
        """Read what has arrived; return whether there was anything."""
        if not select.select([self._end], [], [], seconds)[0]:
            return False
        with contextlib.suppress(OSError):
            data = os.read(self._end, 65536)
            self.raw += data
            self._stream.feed(data)
            return bool(data)
        return False


def _take_terminal() -> None:
    """Make the pseudo-terminal the controlling one, so that Ctrl-C interrupts the command."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
