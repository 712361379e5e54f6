"""A Redis server of the test's own."""

import pytest

from tests.helpers.redis_server import RedisServer, need_redis


@pytest.fixture
def redis_server(tmp_path):
    need_redis()
    server = RedisServer(tmp_path).start()
    yield server
    server.stop()
