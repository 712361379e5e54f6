"""One clock for several processes that a test can advance, so that no process has to wait in real time.

Run as a program, it runs an example with this clock.
"""

from __future__ import annotations

import asyncio
import os
import runpy
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from twilio_oauth_async import SystemClock

VARIABLE = "EXAMPLE_CLOCK"


class SharedClock:
    """The system clock plus the seconds that are written in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def advance(self, seconds: float) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(str(self._offset() + seconds))
        new.replace(self.path)

    def monotonic(self) -> float:
        return time.monotonic() + self._offset()

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self._offset())

    async def sleep(self, seconds: float) -> None:
        until = self.monotonic() + seconds
        await asyncio.sleep(0)
        while (left := until - self.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.02))

    def _offset(self) -> float:
        return float(self.path.read_text()) if self.path.exists() else 0.0


def main() -> None:
    clock = SharedClock(Path(os.environ[VARIABLE]))
    SystemClock.monotonic = staticmethod(clock.monotonic)  # type: ignore[assignment]
    SystemClock.now = staticmethod(clock.now)  # type: ignore[assignment]
    SystemClock.timestamp = staticmethod(lambda: clock.now().timestamp())  # type: ignore[assignment]
    SystemClock.sleep = lambda _, seconds: clock.sleep(seconds)  # type: ignore[method-assign, assignment]
    del sys.argv[0]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
