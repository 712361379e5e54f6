"""`on_signals`: how the commands that serve until they are stopped react to signals."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Generator


@contextlib.contextmanager
def on_signals(signals: tuple[signal.Signals, ...], react: Callable[[signal.Signals], None]) -> Generator[None]:
    """Call `react` with each of `signals` that this process receives during a block.

    Args:
        signals: which ones.
        react: is called by the event loop, between two callbacks, so that it may use tasks and events.

    Source: `loop.add_signal_handler` in the documentation of asyncio.
    """
    loop = asyncio.get_running_loop()
    # Not every event loop supports this: on Windows, the signals end the process as usual.
    with contextlib.suppress(NotImplementedError):
        for number in signals:
            loop.add_signal_handler(number, react, number)
    try:
        yield
    finally:
        with contextlib.suppress(NotImplementedError):
            for number in signals:
                loop.remove_signal_handler(number)
