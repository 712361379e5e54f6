"""The emulator's device grant with the client `requests_oauth2client`, which knows only the RFCs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
import requests
from requests_oauth2client import (
    AccessDenied,
    BearerToken,
    DeviceAuthorizationPollingJob,
    ExpiredToken,
    InvalidClient,
    InvalidGrant,
    OAuth2Client,
    polling,
)

from tests.helpers.contract_proxies import RfcProxy
from tests.helpers.virtual_sleep import VirtualSleep
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio


class Device:
    """A device that signs in with requests_oauth2client, in a thread, with the virtual clock."""

    def __init__(self, emulator: Emulator, rfc: RfcProxy, clock: VirtualClock, patch: pytest.MonkeyPatch) -> None:
        self.emulator = emulator
        self._proxy = rfc
        self.sleep = VirtualSleep(clock)
        patch.setattr(polling, "time", SimpleNamespace(sleep=self.sleep.sleep))
        self.user_code = ""
        self.http = requests.Session()
        self.http.trust_env = False  # ignore proxy settings, because all requests stay on loopback

    async def client(self, secret: str | None = None) -> OAuth2Client:
        auth = self.emulator.client_sid if secret is None else (self.emulator.client_sid, secret)
        discovery = await self.get("/.well-known/openid-configuration")
        jwks = await self.get("/jwks")
        return OAuth2Client.from_discovery_document(
            discovery,
            issuer=self.emulator.issuer,
            auth=auth,
            authorization_server_jwks=jwks,
            # The only endpoint that it does not read from the document.
            device_authorization_endpoint=discovery["device_authorization_endpoint"],
            session=self.http,
            testing=True,  # allows plain HTTP, here on loopback
        )

    async def get(self, path: str) -> Any:
        async with self._proxy.http.get(self._proxy.base_url + path) as response:
            return await response.json()

    def act(self, action: Callable[[str], Any], *, before_wait: int) -> None:
        """Call `action` with the user code before the client's wait of this number."""
        self.sleep.before_wait[before_wait] = lambda: action(self.user_code)

    async def sign_in(self, client: OAuth2Client, scope: str = "openid offline_access") -> BearerToken:
        def run() -> BearerToken:
            issued = client.authorize_device(scope=scope)
            self.user_code = issued.user_code
            assert issued.verification_uri.startswith(self.emulator.base_url)
            job = DeviceAuthorizationPollingJob(client, issued)
            while (token := job()) is None:
                pass
            return token

        return await asyncio.to_thread(run)


@pytest_asyncio.fixture
async def device(
    emulator: Emulator, rfc: RfcProxy, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Device]:
    device = Device(emulator, rfc, clock, monkeypatch)
    yield device
    device.http.close()


@pytest.mark.parametrize("confidential", [False, True])
@pytest.mark.parametrize("emulator_options", [{"signing_algorithm": name} for name in ("ES256", "RS256")], ids=str)
async def test_approved_sign_in_has_a_valid_id_token_and_user_info(device, emulator, confidential):
    device.act(emulator.approve, before_wait=3)
    client = await device.client(emulator.client_secret if confidential else None)
    token = await device.sign_in(client)

    assert device.sleep.waits == [5, 5, 5]
    assert [request.error for request in emulator.requests.to("poll")] == ["authorization_pending"] * 2 + [None]
    assert not emulator.requests.polled_faster_than(5)
    assert 3590 <= token.expires_in <= 3600
    key = client.authorization_server_jwks.get_jwk_by_kid(token.id_token.kid)
    token.id_token.validate(key, issuer=emulator.issuer, audience=emulator.client_sid)
    assert token.id_token.authorized_party == emulator.client_sid
    assert token.id_token.claims["at_hash"] == token.id_token.hash_method(key)(token.access_token)
    user = await asyncio.to_thread(client.userinfo, token)
    assert (user["sub"], user["email"]) == (token.id_token.subject, emulator.user.email)


async def test_slow_down_raises_all_later_intervals(device, emulator):
    # The second poll is two seconds early. Then server and client both add the 5 s of RFC 8628 3.5.
    device.sleep.shortened_by[2] = 2.0
    device.act(emulator.approve, before_wait=5)
    await device.sign_in(await device.client())
    assert device.sleep.waits == [5, 5, 10, 10, 10]
    assert [request.error for request in emulator.requests.to("poll")] == [
        "authorization_pending",
        "slow_down",
        "authorization_pending",
        "authorization_pending",
        None,
    ]


async def test_denied_sign_in_ends_polling(device, emulator):
    device.act(emulator.deny, before_wait=2)
    with pytest.raises(AccessDenied):
        await device.sign_in(await device.client())
    assert device.sleep.waits == [5, 5]


async def test_expired_code_ends_polling(device, emulator):
    with pytest.raises(ExpiredToken):
        await device.sign_in(await device.client())
    assert sum(device.sleep.waits) == 300  # the code is valid for 299 s
    assert {request.error for request in emulator.requests.to("poll")} == {"authorization_pending", "expired_token"}


async def test_reused_refresh_token_revokes_the_grant(device, emulator):
    device.act(emulator.approve, before_wait=1)
    client = await device.client()
    first = await device.sign_in(client)
    second = await asyncio.to_thread(client.refresh_token, first)
    assert second.refresh_token != first.refresh_token
    with pytest.raises(InvalidGrant):
        await asyncio.to_thread(client.refresh_token, first)
    with pytest.raises(InvalidGrant):  # a strict server has revoked the whole grant
        await asyncio.to_thread(client.refresh_token, second)


async def test_revoked_refresh_token_is_rejected(device, emulator):
    device.act(emulator.approve, before_wait=1)
    client = await device.client(emulator.client_secret)
    token = await device.sign_in(client)
    assert await asyncio.to_thread(client.revoke_refresh_token, token) is True
    with pytest.raises(InvalidGrant):
        await asyncio.to_thread(client.refresh_token, token)


async def test_wrong_client_secret_is_rejected(device, emulator):
    device.act(emulator.approve, before_wait=1)
    with pytest.raises(InvalidClient):
        await device.sign_in(await device.client("wrong"))
