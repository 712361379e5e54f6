"""The NATS stores pass the contracts."""

import os

import pytest
import pytest_asyncio

from twilio_oauth_async.stores.nats import NatsFlowStore, NatsTokenStore
from twilio_oauth_async.stores.testing import (
    FlowStoreContract,
    SharedFlowStoreContract,
    SharedTokenStoreContract,
    TokenStoreContract,
)

KILL_ROUNDS = int(os.environ.get("TWILIO_OAUTH_CRASH_ROUNDS", "8"))  # the nox session `crash` tries more
RECIPE = """
import nats
from twilio_oauth_async.stores.nats import {kind}
async def open_store():
    client = await nats.connect({url!r}, reconnect_time_wait=0.05)
    return {kind}(client.jetstream(), bucket={bucket!r}{more})
"""
LOCK_LIFETIME = 2.0


@pytest_asyncio.fixture
async def hanging_js(own_nats, connect):
    """A connection to a server that has stopped to respond."""
    js = await connect(own_nats)
    with own_nats.suspended():
        yield js


class TestNatsTokenStore(TokenStoreContract):
    several_loops = False  # the client of NATS belongs to one
    client_packages = ("nats",)

    @pytest.fixture
    def open_store(self, js, bucket, clock):
        return lambda: NatsTokenStore(js, bucket=bucket, clock=clock)

    @pytest.fixture
    def open_store_at(self, js, bucket):
        return lambda clock: NatsTokenStore(js, bucket=bucket, clock=clock)

    @pytest.fixture
    def open_broken_store(self, hanging_js):
        return lambda: NatsTokenStore(hanging_js, timeout=0.05, lock_timeout=0.2)


class TestSharedNatsTokenStore(SharedTokenStoreContract):
    kill_rounds = KILL_ROUNDS

    @pytest.fixture
    def open_store(self, js, bucket):
        return lambda: NatsTokenStore(js, bucket=bucket, lock_lifetime=LOCK_LIFETIME)

    @pytest.fixture
    def recipe(self, shared_nats, bucket):
        # The lock of a killed holder expires by itself: soon, but not while a busy machine delays a running holder.
        more = f", lock_lifetime={LOCK_LIFETIME}"
        return RECIPE.format(kind="NatsTokenStore", url=shared_nats.url, bucket=bucket, more=more)


class TestNatsFlowStore(FlowStoreContract):
    several_loops = False
    client_packages = ("nats",)

    @pytest.fixture
    def open_store(self, js, bucket, clock):
        return lambda: NatsFlowStore(js, bucket=bucket, clock=clock)

    @pytest.fixture
    def open_store_at(self, js, bucket):
        return lambda clock: NatsFlowStore(js, bucket=bucket, clock=clock)

    @pytest.fixture
    def open_broken_store(self, hanging_js):
        return lambda: NatsFlowStore(hanging_js, timeout=0.05)


class TestSharedNatsFlowStore(SharedFlowStoreContract):
    kill_rounds = KILL_ROUNDS

    @pytest.fixture
    def open_store(self, js, bucket):
        return lambda: NatsFlowStore(js, bucket=bucket)

    @pytest.fixture
    def recipe(self, shared_nats, bucket):
        return RECIPE.format(kind="NatsFlowStore", url=shared_nats.url, bucket=bucket, more="")
