"""A Redis server that many tests share; `own_redis` in tests/conftest.py is one that a test may break."""

import secrets

import pytest

from tests.helpers.redis_server import RedisServer, need_redis


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory):
    """One server for all tests of this process that do not break it; each uses keys with its own `prefix`."""
    need_redis()
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture
def prefix():
    return f"test-{secrets.token_hex(6)}"
