"""`Streams`: the event streams of the pages (server-sent events, HTML Living Standard 9.2)."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncGenerator
from typing import Any

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import TwilioOAuthError
from twilio_oauth_async.sign_in.base import NOT_POLLED, SignIn
from twilio_oauth_async.tasks import create_task

HEARTBEAT = 15.0
"""Seconds between two comments on an idle stream. Proxies close connections that are idle for 30 or 60 s."""

MAX_AGE = 300.0
"""Seconds after which a stream ends at the next heartbeat. The browser opens it again, and nothing is lost."""

RETRY = 2_000
"""Milliseconds after which the browser opens a stream again that has ended."""


class Streams:
    """All open event streams of a site."""

    def __init__(self, clock: Clock, max_per_visitor: int) -> None:
        """Create it without streams."""
        self._clock = clock
        self._max_per_visitor = max_per_visitor
        self._open: Counter[str] = Counter()
        self._closing: asyncio.Future[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return self._open.total()

    def is_full(self, visitor: str) -> bool:
        """Return whether `visitor` has as many streams as it may have, or the site is closing."""
        return self._closing is None or self._open[visitor] >= self._max_per_visitor

    def open(self) -> None:
        """Allow streams in the running event loop."""
        self._closing = asyncio.get_running_loop().create_future()

    def end(self) -> None:
        """End all streams that are open."""
        if self._closing is not None:
            self._closing.set_result(None)
            self.open()

    def close(self) -> None:
        """End all streams, and refuse new ones until `open`."""
        self.end()
        self._closing = None

    async def wait_closed(self) -> None:
        """Wait until nothing of the streams is left whose responses have ended."""
        if self._ending:
            await asyncio.wait(self._ending)

    async def chunks(self, visitor: str, states: AsyncGenerator[SignIn], last_id: str) -> AsyncGenerator[bytes]:
        """Yield the events of one stream: the present state, each change, and heartbeats.

        Args:
            visitor: who has opened it.
            states: the states of the sign-in.
            last_id: the ``Last-Event-ID`` of the browser. It has seen that state, which is not sent again.
        """
        closing = self._closing
        if closing is None or self.is_full(visitor):  # many may have been opened at the same time
            await states.aclose()
            return
        self._open[visitor] += 1
        opened = self._clock.monotonic()
        beat: asyncio.Future[None] = create_task(self._clock.sleep(HEARTBEAT))
        state: asyncio.Future[SignIn | None] = create_task(anext(states, None))
        try:
            yield b"retry: %d\n\n" % RETRY
            while True:
                waiting: set[asyncio.Future[Any]] = {state, beat, closing}
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if closing.done():
                    return
                if state.done():
                    sign_in = state.result()
                    if sign_in is None:
                        return
                    id_, data = _event(sign_in)
                    if id_ != last_id or sign_in.is_over:
                        yield data
                    last_id = id_
                    state = create_task(anext(states, None))
                elif self._clock.monotonic() - opened >= MAX_AGE:
                    return
                else:
                    yield b":\n\n"
                    beat = create_task(self._clock.sleep(HEARTBEAT))
        except TwilioOAuthError:
            # The sign-in ended a while ago, or the store has failed. The browser opens the stream again, and loads the
            # page again if that is refused.
            return
        finally:
            self._open[visitor] -= 1
            if not self._open[visitor]:
                del self._open[visitor]
            # In a task of its own: anyio cancels each `await` of a task whose browser has gone away.
            ending = create_task(_end(states, state, beat))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
            await asyncio.shield(ending)


async def _end(states: AsyncGenerator[SignIn], *tasks: asyncio.Future[Any]) -> None:
    """Cancel what a stream has waited for, and close `states`."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()
    await states.aclose()


def note_of(sign_in: SignIn) -> str | None:
    """Return the name of the text that says why a pending sign-in makes no progress; None if it does."""
    if sign_in.is_over or sign_in.problem is None:
        return None
    return "interrupted" if sign_in.problem == NOT_POLLED else "unreachable"


def _event(sign_in: SignIn) -> tuple[str, bytes]:
    """Return the id and the bytes of the event for a state. States that a page shows alike have the same id."""
    data = json.dumps({"state": sign_in.state, "note": note_of(sign_in)})
    id_ = hashlib.sha256(f"{sign_in.id} {data}".encode()).hexdigest()[:16]
    return id_, f"id: {id_}\ndata: {data}\n\n".encode()
