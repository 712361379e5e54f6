"""What a call may cost, whatever the number of rows: which pages it writes, and which rows it reads."""

import asyncio
import sys

import attrs
import pytest

from tests.helpers.stored_values import CLIENT, SERVER, flow, stored
from twilio_oauth_async.stores.file import FileFlowStore, FileTokenStore


@pytest.mark.asyncio
async def test_lease_renewal_rewrites_no_value(tmp_path):
    """Two thousand leases are renewed every few seconds."""
    path = tmp_path / "flows.db"
    store = FileFlowStore(path)
    ids = [f"{n}" for n in range(300)]
    big = {"note": "x" * 3000}
    await asyncio.gather(*(store.create(attrs.evolve(flow(i), context=big), owner="me", seconds=60) for i in ids))
    await store.close()
    assert path.stat().st_size > 300 * 3000
    assert await store.lease(ids, "me", 60) == set(ids)
    assert path.with_name("flows.db-wal").stat().st_size < 100_000
    await store.close()


@pytest.mark.asyncio
async def test_queries_use_their_indexes(tmp_path):
    tokens, flows = FileTokenStore(tmp_path / "tokens.db"), FileFlowStore(tmp_path / "flows.db")
    await tokens.save("a", stored(), replaces=None)
    await flows.create(flow(), owner="me", seconds=60)
    seen = []

    def plans(calls):
        def plan(rows, cipher):
            statements = []
            rows.set_trace_callback(statements.append)
            calls(rows, cipher)
            rows.set_trace_callback(None)
            for statement in statements:
                if statement.lstrip().startswith(("SELECT", "UPDATE", "DELETE")):
                    seen.extend(row[3] for row in rows.execute(f"EXPLAIN QUERY PLAN {statement}"))

        return plan

    module = sys.modules["twilio_oauth_async.stores.file.flows"]
    await flows._read(
        plans(
            lambda rows, cipher: [
                module._select(rows, cipher, where, parameters, [])
                for where, parameters in (
                    (module._BY_ID, ("a",)),
                    (module._OF_USER, ("user of a", CLIENT, SERVER)),
                    (module._BY_END, (module._app(CLIENT, SERVER), False, 0, 5)),
                )
            ]
        ),
        missing=None,
    )
    module = sys.modules["twilio_oauth_async.stores.file.tokens"]
    await tokens._read(
        plans(lambda rows, cipher: rows.execute(module._SELECT, ("a", CLIENT, SERVER)).fetchall()), missing=None
    )
    assert len(seen) >= 7
    assert not [detail for detail in seen if "SCAN" in detail or "TEMP B-TREE" in detail], seen
    await tokens.close()
    await flows.close()


@pytest.mark.asyncio
async def test_save_writes_the_same_pages_with_few_and_with_many_rows(tmp_path):
    written = []
    for count in (10, 2000):
        path = tmp_path / f"{count}" / "tokens.db"
        store = FileTokenStore(path)
        await asyncio.gather(*(store.save(f"{n}", stored(), replaces=None) for n in range(count)))
        await store.close()
        await store.save("7", stored(2), replaces=stored().epoch)
        written.append(path.with_name("tokens.db-wal").stat().st_size)
        await store.close()
    assert written[1] <= written[0] + 3 * 4200
