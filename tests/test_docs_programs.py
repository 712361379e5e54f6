"""Programs in the documentation, run against the emulator."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.helpers.shared_clock import SharedClock
from twilio_oauth_async import DeviceFlow, MemoryTokenStore, OAuthSession, Token, TokenManager
from twilio_oauth_async.emulator import Emulator

DOCS = Path(__file__).parents[1] / "docs"


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_flask_program_signs_a_user_in(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    [program] = blocks("synchronous.md")
    with Emulator.in_thread(interval=1) as emulator:
        # This clock sleeps in short parts: the guard of the tests ends longer sleeps.
        clock = SharedClock(tmp_path / "clock")
        account = (emulator.account_sid, emulator.auth_token)
        session = OAuthSession(*account, base_url=emulator.base_url, clock=clock)
        monkeypatch.setattr(OAuthSession, "from_env", lambda: session)
        monkeypatch.setenv("TWILIO_CLIENT_ID", emulator.client_sid)
        names = {"__name__": "synchronous"}
        exec(compile(program, "synchronous.md", "exec"), names)  # the page is part of this project
        background, pool = names["background"], names["pool"]
        browser = names["app"].test_client()
        try:
            assert browser.get("/me/ada").status_code == 401
            started = browser.post("/sign-in/ada").get_json()
            assert started["code"] in started["link"]
            assert browser.get(f"/sign-in/{started['id']}/state").get_json() == {"state": "pending", "problem": None}
            emulator.approve(started["code"])
            background.run(pool.result(started["id"]))
            assert browser.get(f"/sign-in/{started['id']}/state").get_json()["state"] == "approved"
            assert browser.get("/me/ada").get_json() == {"name": "Ada Example"}
            assert browser.get("/sign-in/unknown/state").status_code == 404
        finally:
            background.run(pool.close())
            background.run(session.close())
            background.close()


@pytest.mark.asyncio
async def test_tokens_of_other_code_are_taken_over():
    [adopt, *_] = blocks("moving.md")
    async with (
        Emulator() as emulator,
        OAuthSession(emulator.account_sid, emulator.auth_token, base_url=emulator.base_url) as session,
    ):
        flow = DeviceFlow(session, client_sid=emulator.client_sid, scopes=["openid"])
        manager = TokenManager(flow, store=MemoryTokenStore(), key="ada")
        expiry = datetime.now(UTC) + timedelta(hours=1)
        names = {"manager": manager, "Token": Token, "old_access": "a", "old_refresh": "r", "old_expiry": expiry}
        exec(f"async def main():\n    {adopt}", names)
        await asyncio.wait_for(names["main"](), 5)
        assert (await manager.token()).access_token == "a"
