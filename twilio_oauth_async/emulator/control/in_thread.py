"""`EmulatorThread`: an emulator in a thread of its own, for synchronous tests and programs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from twilio_oauth_async.emulator.control.in_process import InProcessControl
from twilio_oauth_async.emulator.control.properties import ServerProperties
from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.faults.fault import Fault
from twilio_oauth_async.emulator.rules.model import App, Policy, User

T = TypeVar("T")

CALL_TIMEOUT = 30.0
"""Seconds after which a call into the thread fails: it needs microseconds, unless the thread is blocked."""


class _Server(Protocol):
    """An `Emulator`."""

    async def __aenter__(self) -> object: ...
    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class EmulatorThread(ServerProperties):
    """An emulator that serves in a thread of its own, with synchronous methods. `Emulator.in_thread` returns it.

    ``with Emulator.in_thread() as emulator:`` serves until the block ends. Any thread can use it, also one with an
    event loop of its own. A `VirtualClock` belongs to one event loop: move it with ``call(clock.advance, 5.0)``.
    """

    def __init__(self, server: _Server, control: InProcessControl, backend: Backend) -> None:
        """Create it; nothing is started."""
        super().__init__(backend)
        self._server = server
        self._control = control
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    def __enter__(self) -> Self:
        if self._thread is not None:
            raise RuntimeError("the emulator is already running")
        started: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, args=(started,), name="twilio-oauth-emulator", daemon=True)
        self._thread.start()
        error = started.get()
        if error is not None:
            self._join()
            raise error
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):  # the event loop has ended
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._join()

    def start(self) -> Self:
        """Start, for test classes with ``setUp`` and ``tearDown``."""
        return self.__enter__()

    def stop(self) -> None:
        """Stop. Do nothing if it is not running."""
        self.__exit__(None, None, None)

    def __repr__(self) -> str:
        return f"<EmulatorThread {self._backend.base_url or 'not running'}>"

    def call(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call `function` in the thread of the emulator, and return its result.

        Raises:
            RuntimeError: the emulator is not running, or this is its thread.
            Exception: as `function` raises.
        """

        async def run() -> T:
            return function(*args, **kwargs)

        return self._wait(run())

    def approve(self, user_code: str, user: User | None = None, *, scopes: Iterable[str] | None = None) -> None:
        """As `Emulator.approve`."""
        self._wait(self._control.approve(user_code, user, scopes=scopes))

    def deny(self, user_code: str) -> None:
        """As `Emulator.deny`."""
        self._wait(self._control.deny(user_code))

    def expire(self, user_code: str) -> None:
        """As `Emulator.expire`."""
        self._wait(self._control.expire(user_code))

    def revoke(self, token: str) -> None:
        """As `Emulator.revoke`."""
        self._wait(self._control.revoke(token))

    def revoke_user(self, user: User | None = None) -> int:
        """As `Emulator.revoke_user`."""
        return self._wait(self._control.revoke_user(user))

    def expire_access_tokens(self) -> int:
        """As `Emulator.expire_access_tokens`."""
        return self._wait(self._control.expire_access_tokens())

    def fail_refreshes(self, count: int = 1, *, error: str = "invalid_grant") -> Fault:
        """As `Emulator.fail_refreshes`."""
        return self.call(self._control.fail_refreshes, count, error=error)

    def introspect(self, token: str) -> dict[str, Any]:
        """As `Emulator.introspect`."""
        return self.call(self._control.introspect, token)

    def set_policy(self, **settings: Any) -> Policy:
        """As `Emulator.set_policy`."""
        return self.call(self._control.set_policy, **settings)

    def authorize(
        self, url: str, user: User | None = None, *, approve: bool = True, scopes: Iterable[str] | None = None
    ) -> str:
        """As `Emulator.authorize`."""
        return self._wait(self._control.authorize(url, user, approve=approve, scopes=scopes))

    def load_seed(self, seed: str | os.PathLike[str] | Mapping[str, Any]) -> None:
        """As `Emulator.load_seed`."""
        self.call(self._control.load_seed, seed)

    def add_user(self, first_name: str, last_name: str, email: str, *, sid: str | None = None) -> User:
        """As `Emulator.add_user`."""
        return self.call(self._control.add_user, first_name, last_name, email, sid=sid)

    def add_app(
        self,
        name: str,
        *,
        sid: str | None = None,
        secret: str | None = None,
        public: bool = False,
        scopes: Iterable[str] | None = None,
        audiences: Iterable[str] | None = None,
        redirect_uris: Iterable[str] | None = None,
    ) -> App:
        """As `Emulator.add_app`."""
        options: dict[str, Any] = {"scopes": scopes, "audiences": audiences, "redirect_uris": redirect_uris}
        return self.call(self._control.add_app, name, sid=sid, secret=secret, public=public, **options)

    def add_api_key(self) -> tuple[str, str]:
        """As `Emulator.add_api_key`."""
        return self.call(self._control.add_api_key)

    def rotate_keys(self, keep: int = 1) -> None:
        """As `Emulator.rotate_keys`."""
        self.call(self._control.rotate_keys, keep)

    def clear(self) -> None:
        """As `Emulator.clear`."""
        self.call(self._control.clear)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        loop = self._loop
        if loop is None:
            work.close()
            raise RuntimeError("the emulator is not running; use `with Emulator.in_thread() as emulator:`")
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("this is the thread of the emulator, which cannot wait for itself")
        return asyncio.run_coroutine_threadsafe(work, loop).result(CALL_TIMEOUT)

    def _run(self, started: queue.SimpleQueue[BaseException | None]) -> None:
        async def serve() -> None:
            self._stopping = asyncio.Event()
            async with self._server:
                self._loop = asyncio.get_running_loop()
                started.put(None)
                await self._stopping.wait()
                self._loop = None

        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001 - raised to the thread that waits for the start
            started.put(error)

    def _join(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
