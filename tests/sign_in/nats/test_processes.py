"""Workers that die, are suspended or are cut off, and NATS servers that die. All in processes of their own.

The same scenarios run at full size with `nox -s cluster`.
"""

import pytest

from tests.helpers.nats_server import allow_sleeps_of_client, need_nats
from tests.sign_in.nats import scenarios

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def nats(monkeypatch):
    need_nats()
    allow_sleeps_of_client(monkeypatch)


async def test_worker_that_is_killed_is_replaced(tmp_path):
    assert await scenarios.worker_killed(tmp_path, flows=12, interval=1) == []


async def test_leader_of_three_nats_servers_that_is_killed(tmp_path):
    assert await scenarios.leader_killed(tmp_path, flows=6, interval=1) == []


async def test_worker_that_is_cut_off_from_nats(tmp_path):
    assert await scenarios.cut_off_from_nats(tmp_path, flows=4) == []


async def test_worker_that_is_cut_off_from_the_oauth_server(tmp_path):
    assert await scenarios.cut_off_from_server(tmp_path, flows=4) == []


async def test_late_poll_of_a_worker_that_was_cut_off_from_both(tmp_path):
    assert await scenarios.late_poll(tmp_path) == []


async def test_worker_that_is_suspended(tmp_path):
    assert await scenarios.suspended(tmp_path, flows=4) == []


async def test_worker_that_is_suspended_while_it_waits_for_the_token(tmp_path):
    assert await scenarios.suspended_during_poll(tmp_path) == []
