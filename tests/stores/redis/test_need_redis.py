"""`need_redis`: tests are skipped where there is no Redis server, or fail where one is required."""

import shutil

import pytest

from tests.helpers.redis_server import REQUIRED, need_redis


@pytest.fixture
def _no_redis(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)


@pytest.mark.usefixtures("_no_redis")
def test_need_redis_without_a_server_skips_the_test(monkeypatch):
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install redis-server"):
        need_redis()


@pytest.mark.usefixtures("_no_redis")
def test_need_redis_without_a_required_server_fails_the_test(monkeypatch):
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match=f"{REQUIRED}=1"):
        need_redis()


def test_need_redis_with_a_server_lets_the_test_run(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    need_redis()
