"""A process for store_contract_processes.py: runs the command of each line of its input, and prints the result."""

import asyncio
import contextlib
import inspect
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.helpers.stored_values import stored
from twilio_oauth_async import TwilioOAuthError


async def run(store, held, command, **arguments):
    key = arguments.get("key")
    if command == "load":
        found = await store.load(key)
        return None if found is None else found.generation
    if command == "save":
        await store.save(key, stored(arguments["generation"]))
        return "saved"
    if command == "delete":
        await store.delete(key)
        return "deleted"
    if command == "hold":
        await held.enter_async_context(store.lock(key))
        return "held"
    if command == "release":
        await held.aclose()
        return "released"
    if command == "count":
        generations = []
        for _ in range(arguments["times"]):
            async with store.lock(key):
                before = await store.load(key)
                generations.append(1 if before is None else before.generation + 1)
                await store.save(key, stored(generations[-1]))
        return generations
    if command == "list_due":
        return [found.id for found in await store.list_due()]
    until = datetime.now(UTC) + timedelta(minutes=5)
    leased = await asyncio.gather(*(store.claim(id_, arguments["owner"], until) for id_ in arguments["ids"]))
    return [id_ for id_, mine in zip(arguments["ids"], leased, strict=True) if mine]


async def main(recipe):
    names = {}
    exec(recipe, names)
    store = names["open_store"]()
    if inspect.isawaitable(store):
        store = await store
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    held = contextlib.AsyncExitStack()
    while line := await reader.readline():
        try:
            result = await run(store, held, **json.loads(line))
        except TwilioOAuthError as error:
            result = type(error).__name__
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
