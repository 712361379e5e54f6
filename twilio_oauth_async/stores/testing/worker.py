"""Another process on the storage: runs the command of each line of its input, and writes the result as a line.

``worker.py calls RECIPE`` opens one store and keeps it. ``worker.py kills RECIPE`` forks a process for each command,
which opens a store, makes calls, and is killed with ``kill -9`` on the way. A fork is faster than a new Python.

It runs as a script, and does not import the suites: they would import pytest in every process.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import os
import random
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import attrs

from twilio_oauth_async import errors
from twilio_oauth_async.stores.records import StoredFlow, StoredToken, TokenKey

_NO_STEPS = set(
    """abc binascii builtins collections datetime enum functools gc itertools json marshal math re sys time traceback
    types typing zlib _abc _asyncio _codecs _collections _contextvars _datetime _functools _hashlib _heapq _imp _json
    _operator _queue _random _sre _struct _thread _weakref""".split()  # noqa: SIM905 - easier to read
)
"""Modules whose functions change nothing outside the process: a kill between two of them shows nothing new."""


def to_line(message: object) -> bytes:
    """Return `message`, which may contain stored values, sets and errors, as a line of JSON."""

    def encode(value: object) -> dict[str, object]:
        if isinstance(value, StoredToken | StoredFlow):
            return {"kind": type(value).__name__, "value": value.to_json()}
        if isinstance(value, TokenKey):
            return {"kind": "TokenKey", "value": [value.user, value.client_sid, value.server]}
        if isinstance(value, errors.TwilioOAuthError):
            return {"kind": "error", "value": [type(value).__name__, str(value)]}
        assert isinstance(value, set), f"{type(value).__name__} cannot be sent to another process"
        return {"kind": "set", "value": [*value]}

    return json.dumps(message, default=encode).encode() + b"\n"


def from_line(line: str | bytes) -> Any:
    """Return the message that `to_line` wrote as `line`."""

    def decode(value: dict[str, Any]) -> Any:
        kind, content = value.get("kind"), value.get("value")
        if kind == "StoredToken":
            return StoredToken.from_json(content or "")
        if kind == "StoredFlow":
            return StoredFlow.from_json(content or "")
        if kind == "TokenKey":
            return TokenKey(*(content or ()))
        if kind == "set":
            return set(content or ())
        if kind == "error":
            name, text = content or ("", "")
            return getattr(errors, name)(text)
        return value

    return json.loads(line, object_hook=decode)


Open = Callable[[], Any]


def read_recipe(recipe: str) -> Open:
    """Return the function ``open_store`` of `recipe`."""
    names: dict[str, Any] = {}
    exec(recipe, names)  # noqa: S102 - source code of the test
    open_store: Open = names["open_store"]
    return open_store


async def opened(open_store: Open) -> Any:
    """Return the store that `open_store`, which may be a coroutine function, opens."""
    store = open_store()
    return await store if inspect.isawaitable(store) else store


async def rotate(store: Any, key: str, first: StoredToken, times: int) -> list[int]:
    """Load and save the next generation under the lock, and return the generations that were saved."""
    generations: list[int] = []
    for _ in range(times):
        async with store.lock(key):
            before: StoredToken | None = await store.load(key)
            new = first if before is None else attrs.evolve(before, generation=before.generation + 1)
            await store.save(key, new, replaces=new.epoch)
            generations.append(new.generation)
    return generations


async def serve_calls(open_store: Open) -> None:
    """Run the commands of the input on one store."""
    store = await opened(open_store)
    held = contextlib.AsyncExitStack()

    async def run(command: str, arguments: list[Any], options: dict[str, Any]) -> object:
        if command == "hold":
            await held.enter_async_context(store.lock(*arguments))
            return None
        if command == "free":
            await held.aclose()
            return None
        if command == "rotate":
            return await rotate(store, *arguments)
        if command == "users":
            return [user async for user in store.users()]
        return await getattr(store, command)(*arguments, **options)

    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            result = await run(**from_line(line))
        except errors.TwilioOAuthError as error:
            result = error
        sys.stdout.buffer.write(to_line(result))
        sys.stdout.flush()


class Steps:
    """Counts the steps of a call: its awaits, and the beginning and end of each call of a function in C, in any thread.

    Such functions do the input and output: ``os.write``, ``Connection.execute`` of sqlite3, ``send`` of a socket.
    """

    def __init__(self, kill_at: int) -> None:
        """The process is killed at the step with this number; 0: at none."""
        self.count: int = 0
        self._kill_at = kill_at
        self._is_armed = False
        # Threads that the store starts later get the function too.
        threading.setprofile(self._on_event)
        sys.setprofile(self._on_event)

    async def run(self, call: Coroutine[Any, Any, object]) -> None:
        """Run `call` and count its steps."""
        self._is_armed = True
        await _as_coroutine(self._steps_of(call))
        self._is_armed = False

    def step(self) -> None:
        """Count a step."""
        self.count += 1
        if self.count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _on_event(self, _: types.FrameType, event: str, function: object) -> None:
        if self._is_armed and event in {"c_call", "c_return"}:
            owner = getattr(function, "__self__", None)
            module = owner.__name__ if isinstance(owner, types.ModuleType) else type(owner).__module__
            if module not in _NO_STEPS:
                self.step()

    @types.coroutine
    def _steps_of(self, call: Coroutine[Any, Any, object]) -> Generator[Any, Any, object]:
        resume: Callable[[Any], Any] = call.send
        value: Any = None
        while True:
            try:
                waits_for = resume(value)
            except StopIteration as stop:
                return stop.value
            self.step()
            try:
                value = yield waits_for
                resume = call.send
            except BaseException as error:  # noqa: BLE001 - passed on as it is
                resume, value = call.throw, error
            self.step()


async def _as_coroutine(steps: Any) -> Any:
    return await steps


def killed_at_step(
    open_store: Open, kill_at: int, command: str, arguments: list[Any], options: dict[str, Any]
) -> int | None:
    """Make a call in a process that is killed at a step; return the number of steps, or None if it was killed."""

    async def call() -> int:
        store = await opened(open_store)
        steps = Steps(kill_at)
        await steps.run(getattr(store, command)(*arguments, **options))
        return steps.count

    def work(write: int) -> None:
        os.write(write, str(asyncio.run(call())).encode())

    pid, read = forked(work)
    _wait_for(pid)
    text = read_all(read)
    return int(text) if text else None


def killed_at_a_time(open_store: Open, seconds: float, key: str, first: StoredToken) -> list[int]:
    """Kill a process that saves generation after generation; return how many saves were begun, and how many done."""

    async def save_on(write: int) -> None:
        store, new = await opened(open_store), first
        while True:
            os.write(write, b"<")
            await store.save(key, new, replaces=new.epoch)
            os.write(write, b">")
            new = attrs.evolve(new, generation=new.generation + 1)

    pid, read = forked(lambda write: asyncio.run(save_on(write)))
    marks = os.read(read, 1)  # the first save has begun
    time.sleep(random.uniform(0, seconds))  # noqa: S311 - a moment, not a secret
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _wait_for(pid)
    marks += read_all(read)
    return [marks.count(b"<"), marks.count(b">")]


def forked(work: Callable[[int], None]) -> tuple[int, int]:
    """Run `work` in a forked process with the end of a pipe; return its id, and the other end."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            work(write)
        except BaseException:  # noqa: BLE001 - it must not run the code of its parent
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(write)
    return pid, read


def _wait_for(pid: int) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in {0, -signal.SIGKILL}, f"the process ended with {code}"


def read_all(read: int) -> bytes:
    """Return what comes through the pipe `read` until it is closed, and close it."""
    with os.fdopen(read, "rb") as file:
        return file.read()


def serve_kills(open_store: Open) -> None:
    """Run the commands of the input, each in a process of its own."""
    kills: dict[str, Callable[..., object]] = {"at_step": killed_at_step, "at_a_time": killed_at_a_time}
    for line in sys.stdin:
        message = from_line(line)
        to_line(message)  # what this imports and compiles, the forked processes have too: fewer steps without effect
        result = kills[message["command"]](open_store, *message["arguments"])
        sys.stdout.buffer.write(to_line(result))
        sys.stdout.flush()


def main(mode: str, source: str) -> None:
    """Serve the commands of `mode` with the store that the recipe `source` opens."""
    if mode == "kills":
        serve_kills(read_recipe(source))
    else:
        asyncio.run(serve_calls(read_recipe(source)))


if __name__ == "__main__":
    main(*sys.argv[1:])
