"""A chat bot moves to the queue by changing the line that creates the runner."""

import re

import pytest
import pytest_asyncio

from tests.helpers.nats_server import NatsServer, allow_sleeps_of_client, need_nats, until
from tests.helpers.queue_world import queue_world
from twilio_oauth_async.chat import ChatSignIn

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def world(tmp_path, monkeypatch):
    need_nats()
    allow_sleeps_of_client(monkeypatch)
    server = NatsServer(tmp_path / "nats").start()
    try:
        async with queue_world(server, tmp_path) as world:
            yield world
    finally:
        server.stop()


async def test_bot_on_the_queue_from_the_link_to_the_message_at_the_end(world):
    sent = []

    async def send(chat, text):
        sent.append((chat, text))

    # The bot polls nothing: a worker in another process does.
    bot = ChatSignIn(await world.queue(concurrency=0), send=send, app_name="this bot")
    async with bot as chat, world.queues({}):
        assert await chat.command("ada", "/login", chat="room")
        await until(lambda: sent)
        code = re.search(r"shows the code (\S+-\S+)", sent[0][1])[1]
        await world.emulator.approve(code)
        await until(lambda: len(sent) == 2)
        assert [to for to, _ in sent] == ["room", "room"]
        assert "signed in" in sent[1][1].lower()
        assert await world.stored("ada") is not None
        assert await chat.command("ada", "/whoami", chat="room")
        await until(lambda: "Ada Example" in sent[-1][1])
