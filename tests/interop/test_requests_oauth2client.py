"""The emulator's device grant, completed by `requests_oauth2client`, which knows the RFCs and nothing of Twilio."""

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

from tests.helpers.contract_proxies import RfcFace
from tests.helpers.foreign_time import ForeignTime
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio


class Device:
    """A device that signs in with the foreign client, in a thread, at virtual speed."""

    def __init__(self, emulator: Emulator, rfc: RfcFace, clock: VirtualClock, patch: pytest.MonkeyPatch) -> None:
        self.emulator = emulator
        self._face = rfc
        self.time = ForeignTime(clock)
        patch.setattr(polling, "time", SimpleNamespace(sleep=self.time.sleep))
        self.user_code = ""
        self.http = requests.Session()
        self.http.trust_env = False  # nobody's proxy stands between two ends of a loopback

    async def client(self, secret: str | None = None) -> OAuth2Client:
        auth = self.emulator.client_sid if secret is None else (self.emulator.client_sid, secret)
        discovery = await self.get("/.well-known/openid-configuration")
        jwks = await self.get("/jwks")
        return OAuth2Client.from_discovery_document(
            discovery,
            issuer=self.emulator.issuer,
            auth=auth,
            authorization_server_jwks=jwks,
            # The one endpoint that it does not take from the document by itself.
            device_authorization_endpoint=discovery["device_authorization_endpoint"],
            session=self.http,
            testing=True,  # plain HTTP, on loopback
        )

    async def get(self, path: str) -> Any:
        async with self._face.http.get(self._face.base_url + path) as response:
            return await response.json()

    def act(self, what: Callable[[str], Any], *, before_wait: int) -> None:
        """Let the person do something before the client's wait of this number."""
        self.time.before[before_wait] = lambda: what(self.user_code)

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
    emulator: Emulator, rfc: RfcFace, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Device]:
    device = Device(emulator, rfc, clock, monkeypatch)
    yield device
    device.http.close()


@pytest.mark.parametrize("confidential", [False, True])
@pytest.mark.parametrize("emulator_options", [{"signing_algorithm": name} for name in ("ES256", "RS256")], ids=str)
async def test_approval(device, emulator, confidential):
    device.act(emulator.approve, before_wait=3)
    client = await device.client(emulator.client_secret if confidential else None)
    token = await device.sign_in(client)

    assert device.time.waits == [5, 5, 5]
    assert [request.error for request in emulator.requests.to("poll")] == ["authorization_pending"] * 2 + [None]
    assert not emulator.requests.polled_faster_than(5)
    assert 3590 <= token.expires_in <= 3600
    key = client.authorization_server_jwks.get_jwk_by_kid(token.id_token.kid)
    token.id_token.validate(key, issuer=emulator.issuer, audience=emulator.client_sid)
    assert token.id_token.authorized_party == emulator.client_sid
    assert token.id_token.claims["at_hash"] == token.id_token.hash_method(key)(token.access_token)
    user = await asyncio.to_thread(client.userinfo, token)
    assert (user["sub"], user["email"]) == (token.id_token.subject, emulator.user.email)


async def test_slow_down_for_good(device, emulator):
    # The second poll comes two seconds early; server and client each add the 5 s of RFC 8628 3.5 from there on.
    device.time.early[2] = 2.0
    device.act(emulator.approve, before_wait=5)
    await device.sign_in(await device.client())
    assert device.time.waits == [5, 5, 10, 10, 10]
    assert [request.error for request in emulator.requests.to("poll")] == [
        "authorization_pending",
        "slow_down",
        "authorization_pending",
        "authorization_pending",
        None,
    ]


async def test_denial(device, emulator):
    device.act(emulator.deny, before_wait=2)
    with pytest.raises(AccessDenied):
        await device.sign_in(await device.client())
    assert device.time.waits == [5, 5]


async def test_expiry(device, emulator):
    with pytest.raises(ExpiredToken):
        await device.sign_in(await device.client())
    assert sum(device.time.waits) == 300  # the code lives 299 s
    assert {request.error for request in emulator.requests.to("poll")} == {"authorization_pending", "expired_token"}


async def test_refresh_rotation_and_reuse(device, emulator):
    device.act(emulator.approve, before_wait=1)
    client = await device.client()
    first = await device.sign_in(client)
    second = await asyncio.to_thread(client.refresh_token, first)
    assert second.refresh_token != first.refresh_token
    with pytest.raises(InvalidGrant):
        await asyncio.to_thread(client.refresh_token, first)
    with pytest.raises(InvalidGrant):  # a strict server has revoked the whole grant
        await asyncio.to_thread(client.refresh_token, second)


async def test_revocation(device, emulator):
    device.act(emulator.approve, before_wait=1)
    client = await device.client(emulator.client_secret)
    token = await device.sign_in(client)
    assert await asyncio.to_thread(client.revoke_refresh_token, token) is True
    with pytest.raises(InvalidGrant):
        await asyncio.to_thread(client.refresh_token, token)


async def test_a_wrong_secret(device, emulator):
    device.act(emulator.approve, before_wait=1)
    with pytest.raises(InvalidClient):
        await device.sign_in(await device.client("wrong"))
