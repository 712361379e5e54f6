"""Redis for the tests that need one."""

import secrets

import pytest
import pytest_asyncio

from tests.helpers.redis_server import RedisServer, need_redis

pytest.register_assert_rewrite(
    "stores.flow_contract", "stores.interrupting", "stores.sample", "stores.shared_contract", "stores.token_contract"
)


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory):
    """One server for all tests of this process that do not harm it; they keep apart by their `prefix`."""
    need_redis()
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture
def own_redis(tmp_path):
    """A server that the test may do to as it likes."""
    need_redis()
    server = RedisServer(tmp_path).start()
    yield server
    server.stop()


@pytest.fixture
def prefix():
    return f"test-{secrets.token_hex(6)}"


@pytest_asyncio.fixture
async def open_redis():
    """Opens clients that try again as those of today do by default, only sooner; closes them in the end."""
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import ConstantBackoff

    clients = []

    def open_(server, **options):
        clients.append(Redis.from_url(server.url, **{"retry": Retry(ConstantBackoff(0.01), 3), **options}))
        return clients[-1]

    yield open_
    for client in clients:
        await client.aclose()
