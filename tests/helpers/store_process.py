"""Another process on a store: does what each line says, and answers with a line. See `shared_contract`."""

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


async def perform(store, held, do, **told):
    key = told.get("key")
    if do == "load":
        found = await store.load(key)
        return None if found is None else found.generation
    if do == "save":
        await store.save(key, stored(told["generation"]))
        return "saved"
    if do == "delete":
        await store.delete(key)
        return "deleted"
    if do == "hold":
        await held.enter_async_context(store.lock(key))
        return "held"
    if do == "release":
        await held.aclose()
        return "released"
    if do == "count":
        generations = []
        for _ in range(told["times"]):
            async with store.lock(key):
                before = await store.load(key)
                generations.append(1 if before is None else before.generation + 1)
                await store.save(key, stored(generations[-1]))
        return generations
    if do == "list_due":
        return [found.id for found in await store.list_due()]
    until = datetime.now(UTC) + timedelta(minutes=5)
    won = await asyncio.gather(*(store.claim(id_, told["owner"], until) for id_ in told["ids"]))
    return [id_ for id_, mine in zip(told["ids"], won, strict=True) if mine]


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
            answer = await perform(store, held, **json.loads(line))
        except TwilioOAuthError as error:
            answer = type(error).__name__
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
