"""`need_nats`: tests are skipped where there is no NATS server, or fail where one is required."""

import pytest

from tests.helpers import nats_server
from tests.helpers.nats_server import REQUIRED, need_nats


@pytest.fixture
def _no_nats(monkeypatch):
    monkeypatch.setattr(nats_server, "_PROGRAM", None)


@pytest.mark.usefixtures("_no_nats")
def test_need_nats_without_a_server_skips_the_test(monkeypatch):
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install nats-server"):
        need_nats()


@pytest.mark.usefixtures("_no_nats")
def test_need_nats_without_a_required_server_fails_the_test(monkeypatch):
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match=f"{REQUIRED}=1"):
        need_nats()


def test_need_nats_with_a_server_lets_the_test_run(monkeypatch):
    monkeypatch.setattr(nats_server, "_PROGRAM", "/usr/sbin/nats-server")
    need_nats()
