"""Nothing that the server logs, at any level, holds a secret."""

from __future__ import annotations

import logging

import aiohttp
import pytest

from tests.helpers.emulator_caller import Caller
from tests.helpers.wire import poll_form, raw
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio


async def test_no_secret_in_any_log(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    emulator = caller.emulator
    secrets = [emulator.auth_token, caller.basic, str(emulator.client_secret)]
    token = await caller.sign_in("openid", ClientSecret=str(emulator.client_secret))
    secrets += [token["access_token"], token["refresh_token"], token["id_token"]]
    await caller.whose(token["access_token"] + "x")
    await caller.refresh(token["refresh_token"], ClientSecret="wrong")
    for moment in ("before", "unanswered", "inside", "after"):
        code = await caller.device_code()
        await emulator.approve(code["user_code"])
        secrets.append(code["device_code"])
        emulator.faults.on("poll").reset(moment)
        await raw(caller, "/v1/token", poll_form(caller, code))
    for malformed in ("/v1/token HTTP/9.9", f"/v1/token HTTP/1.1\r\nBad\x00Header: {secrets[1]}\r\nX: y"):
        wire = await raw(caller, malformed)
        assert b" 400 Bad Request" in wire.data.splitlines()[0]
        assert b"Traceback" not in wire.data
    text = "\n".join(f"{record.getMessage()} {record.exc_info}" for record in caplog.records)
    assert [number for number, secret in enumerate(secrets) if secret in text] == []
    assert "Traceback" not in text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_is_not_compressed_as_it_says_is_the_client_s_mistake(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture, encoding: str
) -> None:
    async with (
        Emulator(clock=clock, control_token="control") as emulator,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
    ):
        for path in ("/v1/token", "/v1/oauth2/device/activate", "/_control/clear"):
            headers = {"Authorization": "Bearer control", "Content-Encoding": encoding}
            async with http.post(emulator.base_url + path, data=b"garbage", headers=headers) as response:
                assert (response.status, "cannot be read" in await response.text()) == (400, True), path
        assert [(request.status, request.error) for request in emulator.requests] == [(400, "invalid_request")] * 2
    assert caplog.records == []
