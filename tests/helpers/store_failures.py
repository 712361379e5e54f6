"""Check that every method of a token store and a flow store fails as it should: in time, and without a secret."""

import logging
import time

import pytest

from tests.helpers.secrecy import error_texts
from tests.helpers.stored_values import CANARY, at, flow, stored

BOUND = 4.0
"""Seconds: less than a store waits by default, and enough for a busy machine."""


async def take_lock(store):
    """Enter the lock of ``"a"``, which must fail."""
    async with store.lock("a"):
        pytest.fail("the lock is held elsewhere or out of reach")


def calls_of(tokens, flows):
    """Return a call of every method of both stores."""
    return {
        "load": lambda: tokens.load("a"),
        "save": lambda: tokens.save("a", stored(2)),
        "delete": lambda: tokens.delete("a"),
        "lock": lambda: take_lock(tokens),
        "flow load": lambda: flows.load("a"),
        "flow save": lambda: flows.save(flow()),
        "flow delete": lambda: flows.delete("a"),
        "flow claim": lambda: flows.claim("a", "me", at(60)),
        "flow list_due": flows.list_due,
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
