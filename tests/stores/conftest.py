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


@pytest.fixture(params=[(2, False), (3, True)], ids=["bytes", "decoded"])
def client(request, shared_redis, open_redis):
    """A client of the shared server: both protocols, with and without ``decode_responses``."""
    protocol, decoded = request.param
    return open_redis(shared_redis, protocol=protocol, decode_responses=decoded)


@pytest.fixture
def own_client(own_redis, open_redis):
    return open_redis(own_redis)


@pytest.fixture
def open_own_store(own_client):
    """A function that opens a token store on `own_redis`."""
    from twilio_oauth_async.stores.redis import RedisTokenStore

    return lambda **options: RedisTokenStore(own_client, **{"lock_timeout": 0.3, **options})


@pytest.fixture
def hanging_redis(own_redis):
    """A server that accepts connections and commands, and does not respond."""
    with own_redis.suspended():
        yield own_redis
