"""Fixture `world`: the bot of examples/bot_telegram.py and its servers. It checks that no secret leaks."""

import sys
from pathlib import Path

import pytest
import pytest_asyncio

sys.path.append(str(Path(__file__).parents[2] / "examples"))  # as when an example is started


@pytest_asyncio.fixture
async def world(tmp_path, caplog):
    from tests.helpers.bot_world import World

    caplog.set_level("DEBUG")
    async with World(tmp_path / "state") as world:
        yield world
        sent = "\n".join(repr(message.fields) for message in world.telegram.sent)
        for secret in await world.secrets():
            assert secret not in sent
            assert secret not in caplog.text
        for user, code in world.codes:
            assert {message.chat for message in world.telegram.sent if code in message.text} <= {user}
            assert code not in caplog.text


@pytest.fixture
def ada():
    return 1001


@pytest.fixture
def bob():
    return 1002


@pytest.fixture
def group():
    return -500
