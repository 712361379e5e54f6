"""The emulator's grants with the client `requests-oauthlib` (oauthlib), which is synchronous.

Its version 2.0 has no device grant, but oauthlib has `DeviceClient`, which prepares the token request of the grant.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from oauthlib.oauth2 import (
    AccessDeniedError,
    BackendApplicationClient,
    DeviceClient,
    InvalidClientError,
    InvalidGrantError,
    OAuth2Error,
)
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

from tests.helpers.virtual_sleep import VirtualSleep

pytestmark = pytest.mark.asyncio

REDIRECT = "http://127.0.0.1:8400/callback"
SCOPE = ["openid", "offline_access"]


@pytest.fixture(autouse=True)
def plain_http(monkeypatch):
    """Both packages refuse plain HTTP otherwise, also on loopback."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


@pytest.fixture
def connect(emulator):
    """A function that opens a session."""
    sessions = []

    def open_session(**options):
        sessions.append(OAuth2Session(emulator.client_sid, **{"scope": SCOPE, "redirect_uri": REDIRECT} | options))
        sessions[-1].trust_env = False  # ignore proxy settings, because all requests stay on loopback
        return sessions[-1]

    yield open_session
    for session in sessions:
        session.close()


@pytest_asyncio.fixture
async def v1(rfc):
    """The endpoints of v1, with the names of the RFCs."""
    async with rfc.http.get(rfc.base_url + "/.well-known/openid-configuration") as response:
        return await response.json()


@pytest.fixture
def v2(emulator):
    """The endpoints of v2."""
    return {
        "authorization_endpoint": emulator.base_url + "/v2/authorize",
        "token_endpoint": emulator.base_url + "/v2/token",
    }


async def sign_in(session, emulator, endpoints, *, approve=True, **arguments):
    """The authorization code grant, with arguments of `fetch_token`."""
    url, _ = session.authorization_url(endpoints["authorization_endpoint"])
    callback = await emulator.authorize(url, approve=approve)
    return await asyncio.to_thread(
        session.fetch_token, endpoints["token_endpoint"], authorization_response=callback, **arguments
    )


def in_form(emulator):
    """Arguments of `fetch_token` that send the secret in the form; the default is the header."""
    return {"client_secret": emulator.client_secret, "include_client_id": True}


@pytest.mark.parametrize("method", ["header", "form"])
async def test_authorization_code_of_v1_signs_in_and_refreshes(emulator, v1, connect, method):
    sid, secret = emulator.client_sid, emulator.client_secret
    session = connect(pkce="S256")
    arguments = in_form(emulator) if method == "form" else {"client_secret": secret}
    token = dict(await sign_in(session, emulator, v1, **arguments))
    user = await asyncio.to_thread(session.get, v1["userinfo_endpoint"])
    assert user.json()["sub"] == emulator.user.sid

    client = {"client_id": sid, "client_secret": secret} if method == "form" else {"auth": (sid, secret)}
    refreshed = await asyncio.to_thread(session.refresh_token, v1["token_endpoint"], **client)
    assert refreshed["refresh_token"] != token["refresh_token"]


@pytest.mark.parametrize("emulator_options", [{"public": True}], ids=["public"])
@pytest.mark.parametrize("arguments", [{}, {"include_client_id": True}], ids=["header", "form"])
async def test_authorization_code_of_v1_for_a_public_client(emulator, v1, connect, arguments):
    """In the header, the client sends an empty secret, which is the same as none (RFC 6749 2.3.1)."""
    token = await sign_in(connect(pkce="S256"), emulator, v1, **arguments)
    assert token["id_token"]


async def test_authorization_code_of_v2_signs_in_and_refreshes_by_itself(emulator, v2, connect):
    updates = []
    session = connect(
        pkce="S256",
        auto_refresh_url=v2["token_endpoint"],
        auto_refresh_kwargs={"client_id": emulator.client_sid, "client_secret": emulator.client_secret},
        token_updater=updates.append,
    )
    token = dict(await sign_in(session, emulator, v2, **in_form(emulator)))
    assert token["expires_in"] == 3600

    session.token = token | {"expires_in": -1, "expires_at": 1}
    user = await asyncio.to_thread(session.get, emulator.base_url + "/v1/userinfo")
    assert user.json()["user_sid"] == emulator.user.sid
    assert [update["refresh_token"] != token["refresh_token"] for update in updates] == [True]


async def test_authorization_code_without_pkce_is_refused(emulator, v2, connect):
    """PKCE is not the default of the package; the emulator requires it."""
    with pytest.raises(OAuth2Error, match="invalid_request"):
        await sign_in(connect(), emulator, v2, **in_form(emulator))


async def test_denied_authorization_request_fails_with_access_denied(emulator, v2, connect):
    with pytest.raises(AccessDeniedError):
        await sign_in(connect(pkce="S256"), emulator, v2, approve=False, **in_form(emulator))


async def test_authorization_code_with_a_secret_in_the_header_is_invalid_client_in_v2(emulator, v2, connect):
    """The header is the default of the package; the metadata of v2 names ``client_secret_post`` and ``none`` only."""
    with pytest.raises(InvalidClientError):
        await sign_in(connect(pkce="S256"), emulator, v2, client_secret=emulator.client_secret)


async def test_used_code_is_invalid_grant(emulator, v2, connect):
    session = connect(pkce="S256")
    url, _ = session.authorization_url(v2["authorization_endpoint"])
    callback = await emulator.authorize(url)

    def fetch():
        arguments = {"authorization_response": callback, **in_form(emulator)}
        return session.fetch_token(v2["token_endpoint"], **arguments)

    assert await asyncio.to_thread(fetch)
    with pytest.raises(InvalidGrantError):
        await asyncio.to_thread(fetch)


async def test_client_credentials_of_v2(emulator, v2, connect):
    session = connect(client=BackendApplicationClient(emulator.client_sid, scope=["messages.read"]), scope=None)
    token = await asyncio.to_thread(session.fetch_token, v2["token_endpoint"], **in_form(emulator))
    assert token.keys() >= {"access_token", "token_type", "expires_in"}
    assert "refresh_token" not in token


class Device:
    """The device grant: the packages prepare and read the token requests, this class polls.

    `DeviceClient` would put the parameters of the device authorization request into the URL. RFC 8628 3.1 has them in
    the body, so this class sends that request without it.
    """

    def __init__(self, session, endpoints, auth, sleep):
        self._session, self._endpoints, self._auth, self.sleep = session, endpoints, auth, sleep
        self._client = DeviceClient(session.client_id, scope=SCOPE)

    async def _post(self, endpoint, body):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        arguments = {"data": body, "headers": headers, "auth": self._auth, "withhold_token": True}
        return await asyncio.to_thread(self._session.post, self._endpoints[endpoint], **arguments)

    async def request_code(self):
        return (await self._post("device_authorization_endpoint", urlencode({"scope": " ".join(SCOPE)}))).json()

    async def poll(self, code):
        interval = code["interval"]
        body = self._client.prepare_request_body(code["device_code"])
        while True:
            await self.sleep.wait(interval)
            response = await self._post("token_endpoint", body)
            try:
                return self._client.parse_request_body_response(response.text)
            except OAuth2Error as error:
                if error.error == "slow_down":
                    interval += 5
                elif error.error != "authorization_pending":
                    raise


@pytest_asyncio.fixture
async def device(emulator, clock, v1, connect):
    auth = HTTPBasicAuth(emulator.client_sid, emulator.client_secret)
    return Device(connect(), v1, auth, VirtualSleep(clock))


@pytest.mark.parametrize("emulator_options", [{"device_secret_required": True}], ids=["secret"])
async def test_device_flow_signs_in(emulator, device):
    code = await device.request_code()
    device.sleep.before_wait[4] = lambda: emulator.approve(code["user_code"])
    device.sleep.shortened_by[2] = 2.0
    token = await device.poll(code)
    assert device.sleep.waits == [5, 5, 10, 10]
    errors = ["authorization_pending", "slow_down", "authorization_pending", None]
    assert [request.error for request in emulator.requests.to("poll")] == errors
    assert token["id_token"]


@pytest.mark.parametrize(("end", "error"), [("deny", "access_denied"), ("expire", "expired_token")])
async def test_device_flow_that_is_not_approved_fails(emulator, device, end, error):
    code = await device.request_code()
    device.sleep.before_wait[2] = lambda: getattr(emulator, end)(code["user_code"])
    with pytest.raises(OAuth2Error) as raised:
        await device.poll(code)
    assert raised.value.error == error
