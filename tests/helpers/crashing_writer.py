"""Saves that are ended by kill -9. A process of its own, which forks one that dies for each round: forking is cheap
where nothing runs yet, starting Python is not.

``crashing_writer.py steps <file>`` dies at each system call of a save, one after the other;
``crashing_writer.py times <file> <n>`` dies n times at a random moment of many saves in a row. It says how many
rounds it was, or fails.
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
"""A save takes some milliseconds of them."""


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(number):
    """Die instead of the `number`-th system call; a write is done by half before."""
    left = number

    def fatal(name, call):
        def step(*arguments, **options):
            nonlocal left
            left -= 1
            if left == 0:
                if name == "write":
                    call(arguments[0], arguments[1][: len(arguments[1]) // 2])
                die()
            return call(*arguments, **options)

        return step

    for name in CALLS:
        call = getattr(os, name)
        setattr(os, name, fatal(name, call))
        if call in os.supports_dir_fd:
            os.supports_dir_fd.add(getattr(os, name))


def forked(work):
    """Run `work` in a forked process; its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - it must not go on as its parent
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return pid


def survived(pid):
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in {0, -signal.SIGKILL}, code
    return code == 0


def check(path, allowed):
    """The store has one of the `allowed` generations, whole; it can be locked and written. The one that it has."""

    async def look():
        store = FileTokenStore(path, lock_timeout=1)
        found = await store.load("a")
        generation = 0 if found is None else found.generation
        assert generation in allowed, f"{generation} instead of {allowed}"
        assert found is None or found == stored(generation)
        async with store.lock("a"):
            await store.save("b", stored(1))
            await store.delete("b")
        return generation

    generation = asyncio.run(look())
    left = {entry.name for entry in path.parent.iterdir()} - {path.name, f"{path.name}.lock"}
    assert not [name for name in left if "set-aside" in name or ".new" in name], left
    return generation


def steps(path):
    number, generation, alive = 0, 0, False
    while not alive:
        number += 1

        def save(number=number, generation=generation):
            die_at(number)
            asyncio.run(FileTokenStore(path).save("a", stored(generation + 1)))

        alive = survived(forked(save))
        generation = check(path, {generation + 1} if alive else {generation, generation + 1})
    return number


def times(path, rounds):
    generation = check(path, {0})
    inside = 0
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
        told = b"<" + os.read(read, 1 << 16)
        os.close(read)
        done, begun = told.count(b">"), told.count(b"<")
        inside += begun > done
        generation = check(path, {generation + done, generation + begun})
    assert inside > rounds / 4, "too few of them fell inside of a save to say anything"
    return rounds


if __name__ == "__main__":
    what, file, *more = sys.argv[1:]
    print({"steps": steps, "times": times}[what](Path(file), *map(int, more)))
