"""Fixture `world`: a chat bot and its servers. It checks that no secret leaks."""

import pytest_asyncio

from tests.helpers.chat_world import ChatWorld


@pytest_asyncio.fixture
async def world(tmp_path, caplog):
    caplog.set_level("DEBUG")
    async with ChatWorld(tmp_path / "state") as world:
        yield world
        sent = "\n".join(text for _, text in world.sent)
        for secret in await world.secrets():
            assert secret not in sent
            assert secret not in caplog.text
        for chat, code in world.codes:
            assert {to for to, text in world.sent if code in text} <= {chat}
            assert code not in caplog.text
