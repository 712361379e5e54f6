"""The Slack bot: Slack Bolt dispatches its slash command, and Slack's API is a server on loopback."""

import json
from urllib.parse import urlencode

import pytest
from aiohttp import web
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_sdk.web.async_client import AsyncWebClient

from tests.helpers.chat_world import ChatWorld
from tests.helpers.event_loop import settle
from twilio_oauth_async import DeviceFlow, DeviceFlowPool, MemoryTokenStore, OAuthSession

pytestmark = pytest.mark.asyncio


class FakeSlack:
    """The part of Slack's Web API that the bot needs."""

    def __init__(self):
        self.replies, self.posted = [], []
        self.status = 200
        """Of the next replies."""

    async def __aenter__(self):
        app = web.Application()
        app.router.add_post("/auth.test", self._auth)
        app.router.add_post("/chat.postMessage", self._post)
        app.router.add_post("/reply", self._reply)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0][:2])
        return self

    async def __aexit__(self, *_):
        await self._runner.cleanup()

    async def _auth(self, _):
        return web.json_response(
            {"ok": True, "bot_id": "B1", "user_id": "U1", "team_id": "T1", "url": "", "user": "bot"}
        )

    async def _post(self, request):
        self.posted.append(await request.json())
        return web.json_response({"ok": True})

    async def _reply(self, request):
        self.replies.append(json.loads(await request.text()))
        return web.Response(status=self.status, text="ok")


async def test_slash_command_replies_to_the_user_only_and_the_result_is_a_direct_message(tmp_path):
    import bot_slack

    async with ChatWorld(tmp_path) as world, FakeSlack() as slack:
        emulator = world.emulator
        client = AsyncWebClient(token="xoxb-fake", base_url=f"{slack.url}/")
        app = AsyncApp(client=client, signing_secret="fake", request_verification_enabled=False)

        async def command(text):
            fields = {"command": "/twilio", "text": text, "user_id": "U7", "team_id": "T1"}
            body = urlencode(fields | {"response_url": f"{slack.url}/reply"})
            await app.async_dispatch(AsyncBoltRequest(body=body))
            await settle()
            assert slack.replies[-1]["response_type"] == "ephemeral"
            return slack.replies[-1]["text"]

        async with OAuthSession(
            emulator.account_sid, emulator.auth_token, base_url=emulator.base_url, clock=world.clock
        ) as session:
            flow = DeviceFlow(
                session, client_sid=emulator.client_sid, client_secret=emulator.client_secret, scopes=["openid"]
            )
            pool = DeviceFlowPool(flow, tokens=MemoryTokenStore(clock=world.clock))
            async with bot_slack.sign_in_of(app.client, pool) as commands:
                bot_slack.add_command(app, commands)
                assert await command("hello") == "Use /twilio with login, whoami, cancel or logout."
                assert await command("whoami") == "You are not signed in. Use /login."
                text = await command("login")
                await emulator.approve(text.partition("the code ")[2].partition("\n")[0])
                world.clock.advance(6)
                await pool.result((await pool.find_user("U7")).id)
                await settle()
                assert slack.posted == [{"channel": "U7", "text": slack.posted[0]["text"], "unfurl_links": False}]
                assert slack.posted[0]["text"].startswith("You are signed in.")
                assert await command("logout") == "You are signed out."
                slack.status = 500
                await command("login")
                assert await pool.find_user("U7") is None, "a code that was not shown cannot be approved"


async def test_bot_without_tokens_says_what_to_do(monkeypatch):
    import bot_slack

    monkeypatch.delenv("SLACK_BOT_TOKEN", raising=False)
    with pytest.raises(SystemExit, match="Set SLACK_BOT_TOKEN and SLACK_APP_TOKEN"):
        await bot_slack.main()
