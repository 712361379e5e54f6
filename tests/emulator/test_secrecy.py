"""No log record, at any level, and no repr contains a secret."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import aiohttp
import pytest

from tests.helpers.emulator_caller import Caller
from tests.helpers.raw_client import poll_form, send_raw_request
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator
from twilio_oauth_async.emulator.endpoints.signing_keys import SigningKeys
from twilio_oauth_async.emulator.endpoints.token_issuer import TokenIssuer
from twilio_oauth_async.emulator.rules.authorization_server import AuthorizationServer
from twilio_oauth_async.emulator.rules.ids import Ids
from twilio_oauth_async.emulator.rules.model import App, Now, Policy, User

pytestmark = pytest.mark.asyncio

NOW = Now(seconds=0, wall=datetime(2026, 1, 1, tzinfo=UTC))


async def test_logs_contain_no_secret(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    emulator = caller.emulator
    secrets = [emulator.auth_token, caller.basic, str(emulator.client_secret)]
    token = await caller.sign_in("openid", ClientSecret=str(emulator.client_secret))
    secrets += [token["access_token"], token["refresh_token"], token["id_token"]]
    await caller.userinfo_status(token["access_token"] + "x")
    await caller.refresh(token["refresh_token"], ClientSecret="wrong")
    for moment in ("before", "unanswered", "inside", "after"):
        code = await caller.device_code()
        await emulator.approve(code["user_code"])
        secrets.append(code["device_code"])
        emulator.faults.on("poll").reset(moment)
        await send_raw_request(caller, "/v1/token", poll_form(caller, code))
    for malformed in ("/v1/token HTTP/9.9", f"/v1/token HTTP/1.1\r\nBad\x00Header: {secrets[1]}\r\nX: y"):
        response = await send_raw_request(caller, malformed)
        assert b" 400 Bad Request" in response.data.splitlines()[0]
        assert b"Traceback" not in response.data
    text = "\n".join(f"{record.getMessage()} {record.exc_info}" for record in caplog.records)
    assert [number for number, secret in enumerate(secrets) if secret in text] == []
    assert "Traceback" not in text
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_body_that_does_not_match_its_content_encoding_gets_400_and_is_not_logged(
    clock: VirtualClock, caplog: pytest.LogCaptureFixture, encoding: str
) -> None:
    async with (
        Emulator(clock=clock, control_token="control") as emulator,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http,
    ):
        for path in ("/v1/token", "/v1/oauth2/device/activate", "/_control/clear"):
            headers = {"Authorization": "Bearer control", "Content-Encoding": encoding}
            async with http.post(emulator.base_url + path, data=b"not compressed", headers=headers) as response:
                assert (response.status, "cannot be read" in await response.text()) == (400, True), path
        assert [(request.status, request.error) for request in emulator.requests] == [(400, "invalid_request")] * 2
    assert caplog.records == []


async def test_reprs_contain_no_secret() -> None:
    emulator = Emulator(client_secret="canary-secret", auth_token="canary-token")
    for value in (emulator, emulator.add_app("x"), emulator.policy, emulator._backend):  # pyright: ignore[reportPrivateUsage]
        assert "canary" not in repr(value)


async def test_repr_of_token_response_contains_no_token() -> None:
    ids = Ids(1)
    server = AuthorizationServer(Policy(), ids, "https://iam.twilio.com")
    issuance = server.client_credentials(App(sid="OQ", name="App", secret="s"), ["openid"], [], NOW)
    issuance.grant.user = User(sid="US", first_name="A", last_name="B", email="c")
    response = TokenIssuer(server, SigningKeys(ids), "https://iam.twilio.com", "ES256").issue(issuance, NOW)
    for token in (response.access_token, response.refresh_token, response.id_token):
        assert token is not None
        assert token not in repr(response)
