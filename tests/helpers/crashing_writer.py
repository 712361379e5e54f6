"""Saves that ``kill -9`` interrupts. A process that forks one for each round: faster than starting Python.

``crashing_writer.py steps <file>`` kills a save at each of its system calls, one after the other;
``crashing_writer.py times <file> <n>`` kills a process that saves again and again at n random moments. It prints the
number of rounds, or fails.
"""

import asyncio
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.helpers.stored_values import stored
from twilio_oauth_async.stores.file import FileTokenStore

CALLS = ("open", "write", "fchmod", "fsync", "close", "rename", "unlink", "mkdir")
SECONDS = 0.03
"""The latest moment of a kill; a save takes some milliseconds."""


def kill_self():
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(number):
    """Arrange for a kill in place of the `number`-th system call; half of a write is done before."""
    left = number

    def with_kill(name, call):
        def step(*arguments, **options):
            nonlocal left
            left -= 1
            if left == 0:
                if name == "write":
                    call(arguments[0], arguments[1][: len(arguments[1]) // 2])
                kill_self()
            return call(*arguments, **options)

        return step

    for name in CALLS:
        call = getattr(os, name)
        setattr(os, name, with_kill(name, call))
        if call in os.supports_dir_fd:
            os.supports_dir_fd.add(getattr(os, name))


def forked(work):
    """Run `work` in a forked process and return its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - it must not run the code of its parent
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid


def survived(pid):
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in {0, -signal.SIGKILL}, code
    return code == 0


def check(path, allowed):
    """Check that the store has one of the `allowed` generations, intact, and can be written; return the generation."""

    async def read_and_write():
        store = FileTokenStore(path, lock_timeout=1)
        found = await store.load("a")
        generation = 0 if found is None else found.generation
        assert generation in allowed, f"{generation} instead of {allowed}"
        assert found is None or found == stored(generation)
        async with store.lock("a"):
            await store.save("b", stored(1))
            await store.delete("b")
        return generation

    generation = asyncio.run(read_and_write())
    left = {entry.name for entry in path.parent.iterdir()} - {path.name, f"{path.name}.lock"}
    assert not [name for name in left if "set-aside" in name or ".new" in name], left
    return generation


def steps(path):
    number, generation, has_survived = 0, 0, False
    while not has_survived:
        number += 1

        def save(number=number, generation=generation):
            kill_at(number)
            asyncio.run(FileTokenStore(path).save("a", stored(generation + 1)))

        has_survived = survived(forked(save))
        generation = check(path, {generation + 1} if has_survived else {generation, generation + 1})
    return number


def times(path, rounds):
    generation = check(path, {0})
    interrupted = 0
    for _ in range(rounds):
        read, write = os.pipe()

        def save_on(write=write, generation=generation):
            async def save():
                store, number = FileTokenStore(path), generation
                while True:
                    number += 1
                    os.write(write, b"<")
                    await store.save("a", stored(number))
                    os.write(write, b">")

            asyncio.run(save())

        pid = forked(save_on)
        os.close(write)
        os.read(read, 1)  # the first save has begun
        time.sleep(random.uniform(0, SECONDS))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        marks = b"<" + os.read(read, 1 << 16)
        os.close(read)
        done, begun = marks.count(b">"), marks.count(b"<")
        interrupted += begun > done
        generation = check(path, {generation + done, generation + begun})
    assert interrupted > rounds / 4, "too few kills interrupted a save to show anything"
    return rounds


if __name__ == "__main__":
    mode, file, *more = sys.argv[1:]
    print({"steps": steps, "times": times}[mode](Path(file), *map(int, more)))
