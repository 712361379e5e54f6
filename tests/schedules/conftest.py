"""detangle wraps the locks of asyncio when its first event loop is created; the tests of this folder take that back."""

import asyncio

import detangle
import pytest


@pytest.fixture(autouse=True, scope="module")
def locks_as_before():
    """Restore `asyncio.Lock` and `asyncio.Semaphore` for the tests that follow in the same process."""
    methods = {(kind, name): getattr(kind, name) for kind in (asyncio.Lock, asyncio.Semaphore) for name in NAMES}
    yield
    for (kind, name), method in methods.items():
        setattr(kind, name, method)
    detangle._instrument._installed = False


NAMES = ("acquire", "release")
