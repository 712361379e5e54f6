"""Saves that ``kill -9`` interrupts, in forked processes: that is faster than starting Python each time.

``crashing_writer.py times FILE N`` runs two processes that save and delete at the same time, and kills both at random
moments, N times. ``crashing_writer.py create FOLDER`` kills the first save to a new database at each of its steps. Both
print the number of rounds, or fail. ``crashing_writer.py save FILE GENERATION`` saves once, for a tracer.
"""

import asyncio
import os
import random
import signal
import sqlite3
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.helpers.stored_values import stored
from twilio_oauth_async.stores.file import FileTokenStore
from twilio_oauth_async.stores.testing.worker import Steps, forked, read_all

EPOCH = stored().epoch
SECONDS = 0.05
"""The latest moment of a kill; a save takes less than a millisecond."""


def write_on(path, key, generation, write):
    """Save generation after generation under `key`, and report each save; delete another key now and then."""

    async def save():
        store, number = FileTokenStore(path), generation
        while True:
            number += 1
            os.write(write, b"<")
            await store.save(key, stored(number), replaces=EPOCH)
            os.write(write, b">")
            if number % 5 == 0:
                await store.delete(f"{key} {number}")

    asyncio.run(save())


def started(path, key, generation):
    """Return the pid of a process that saves, and the pipe with its reports."""
    pid, read = forked(lambda write: write_on(path, key, generation, write))
    os.read(read, 1)  # the first save has begun
    return pid, read


def check_database(path):
    if not path.exists():  # both processes were killed before they had created it
        return
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def generation_of(path, key):
    """Return the generation that a new store finds, which must be intact; 0 where there is none."""

    async def load():
        store = FileTokenStore(path)
        found = await store.load(key)
        await store.close()
        assert found is None or found == stored(found.generation)
        return 0 if found is None else found.generation

    return asyncio.run(load())


def times(path, rounds):
    generations = {"a": 0, "b": 0}
    interrupted = 0
    for _ in range(rounds):
        pids = {key: started(path, key, generation) for key, generation in generations.items()}
        time.sleep(random.uniform(0, SECONDS))
        # One is killed while the other goes on, and the other one soon afterwards.
        for key in random.sample(sorted(pids), 2):
            os.kill(pids[key][0], signal.SIGKILL)
            os.waitpid(pids[key][0], 0)
        for key, (_, read) in pids.items():
            marks = b"<" + read_all(read)
            done, begun = marks.count(b">"), marks.count(b"<")
            found = generation_of(path, key)
            assert generations[key] + done <= found <= generations[key] + begun, (generations, done, begun, found)
            generations[key] = found
            interrupted += begun > done
        check_database(path)
        assert not list(path.parent.glob("*.set-aside-*"))
    assert interrupted > rounds / 4, "too few kills interrupted a save to show anything"
    return rounds


def create(folder):
    """Each round has a folder of its own."""

    def killed(number):
        path = folder / str(number) / "private" / "tokens.db"

        def save_once(write):
            steps = Steps(number)
            asyncio.run(steps.run(FileTokenStore(path).save("a", stored(), replaces=None)))
            os.write(write, str(steps.count).encode())

        pid, read = forked(save_once)
        count = int(read_all(read) or 0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == (0 if count else -signal.SIGKILL)
        assert generation_of(path, "a") in ({1} if count else {0, 1})

        async def save():
            store = FileTokenStore(path)
            await store.save("a", stored(2), replaces=EPOCH)
            await store.close()

        asyncio.run(save())
        assert generation_of(path, "a") == 2
        left = {entry.name for entry in path.parent.iterdir()}
        assert left == {"tokens.db", "tokens.db.use"}, left
        return count

    steps = killed(0)
    rounds = sorted({round(1 + number * (steps - 1) / 59) for number in range(60)})  # evenly spread over the save
    for number in rounds:
        killed(number)
    return len(rounds)


def save(path, generation):
    async def save():
        await FileTokenStore(path).save("a", stored(generation), replaces=EPOCH)
        os._exit(0)  # no orderly close: the database is as after kill -9

    asyncio.run(save())


if __name__ == "__main__":
    mode, place, *more = sys.argv[1:]
    print({"times": times, "create": create, "save": save}[mode](Path(place), *map(int, more)))
