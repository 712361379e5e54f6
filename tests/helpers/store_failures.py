"""Check that every method of a token store and a flow store fails as it should: in time, and without a secret."""

import logging
import time

import pytest

from tests.helpers.secrecy import error_texts
from tests.helpers.stored_values import CANARY, CLIENT, SERVER, flow, stored

BOUND = 4.0
"""Seconds: less than a store waits by default, and enough for a busy machine."""


async def take_lock(store):
    """Enter the lock of ``"a"``, which must fail."""
    async with store.lock("a"):
        pytest.fail("the lock is held elsewhere or out of reach")


async def list_users(store):
    """Read the users of a token store."""
    return [user async for user in store.users()]


def calls_of(tokens, flows):
    """Return a call of every method of both stores."""
    app = {"client_sid": CLIENT, "server": SERVER}
    return {
        "load": lambda: tokens.load("a"),
        "is_deleted": lambda: tokens.is_deleted("a"),
        "save": lambda: tokens.save("a", stored(2), replaces=None),
        "delete": lambda: tokens.delete("a"),
        "users": lambda: list_users(tokens),
        "erase": lambda: tokens.erase("a"),
        "lock": lambda: take_lock(tokens),
        "flow create": lambda: flows.create(flow(), owner="me", seconds=60),
        "flow save": lambda: flows.save(flow()),
        "flow load": lambda: flows.load("a"),
        "flow find_user": lambda: flows.find_user("a"),
        "flow list_due": lambda: flows.list_due(1, **app),
        "flow lease": lambda: flows.lease(["a"], "me", 60),
        "flow release": lambda: flows.release(["a"], "me"),
        "flow grant": lambda: flows.grant("a", "me"),
        "flow end": lambda: flows.end("a", "denied"),
        "flow list_ended": lambda: flows.list_ended(1, **app),
        "flow delete": lambda: flows.delete("a"),
    }


async def check_every_method_fails(tokens, flows, caplog):
    """Check that each method raises a StoreError of Redis in bounded time, which names only the kind of failure."""
    caplog.set_level(logging.DEBUG)
    for name, call in calls_of(tokens, flows).items():
        begun = time.monotonic()
        texts = await error_texts(call())
        assert texts, name
        assert texts[1].startswith("StoreError('Redis: "), texts
        assert time.monotonic() - begun < BOUND, name
        assert not [text for text in (*texts, caplog.text) if CANARY in text]
