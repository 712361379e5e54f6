"""Where there is no Redis the tests that need one are skipped, and say so, unless somebody insists."""

import shutil

import pytest

from tests.helpers.redis_server import REQUIRED, need_redis


@pytest.fixture
def _no_redis(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)


@pytest.mark.usefixtures("_no_redis")
def test_absent(monkeypatch):
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install redis-server"):
        need_redis()


@pytest.mark.usefixtures("_no_redis")
def test_absent_and_required(monkeypatch):
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match=f"{REQUIRED}=1"):
        need_redis()


def test_present(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    need_redis()
