"""The emulator's grants with the client `openid-client` in Node.js, which discovers the server and polls by itself."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.helpers.node_client import run_script
from tests.helpers.virtual_sleep import VirtualSleep

pytestmark = pytest.mark.asyncio

REDIRECT = "http://127.0.0.1:8400/callback"
METHODS = pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
SECRET_REQUIRED = pytest.mark.parametrize("emulator_options", [{"device_secret_required": True}], ids=["secret"])


@pytest_asyncio.fixture
async def sleep(clock):
    return VirtualSleep(clock)


@pytest.fixture
def options(emulator, rfc):
    """Options for the script: v1, with the names of the RFCs and the client's secret in the header."""
    return {
        "issuer": emulator.issuer,
        "origin": rfc.base_url,
        "clientId": emulator.client_sid,
        "clientSecret": emulator.client_secret,
        "method": "client_secret_basic",
        "algorithm": "ES256",
        "scope": "openid offline_access",
        "redirectUri": REDIRECT,
    }


@pytest.fixture
def metadata(emulator, options):
    """Options for v2, which has the names of the RFCs: no proxy, and the emulator's own metadata (RFC 8414)."""
    return options | {"origin": emulator.base_url, "metadata": "oauth2", "method": "client_secret_post"}


@pytest.fixture
def approve(emulator):
    """The user approves, at the first message of the script."""

    async def user(message):
        if "code" in message:
            return await emulator.approve(message["code"]["user_code"])
        return {"callback": await emulator.authorize(message["authorize"])}

    return user


async def no_user(message):
    raise AssertionError(message)


def check_user(done, emulator):
    assert done["claims"]["sub"] == done["user"]["sub"] == emulator.user.sid
    assert done["user"]["email"] == emulator.user.email
    assert done["refreshed"]["refresh_token"] != done["token"]["refresh_token"]
    assert done["again"] == "invalid_grant"
    assert [request.status for request in emulator.requests.to("revoke")] == [200]


@SECRET_REQUIRED
@METHODS
async def test_device_flow_signs_in_refreshes_and_revokes(node_folder, emulator, options, sleep, method):
    async def user(message):
        sleep.before_wait[3] = lambda: emulator.approve(message["code"]["user_code"])

    async with run_script(node_folder, "openid_client.mjs", **options | {"flow": "device", "method": method}) as script:
        check_user((await script.result(user, sleep))["done"], emulator)
    assert sleep.waits == [5, 5, 5]
    assert [request.error for request in emulator.requests.to("poll")] == ["authorization_pending"] * 2 + [None]


@pytest.mark.parametrize("emulator_options", [{"public": True}], ids=["public"])
async def test_device_flow_of_a_public_client(node_folder, emulator, options, sleep, approve):
    options |= {"flow": "device", "method": "none"}
    async with run_script(node_folder, "openid_client.mjs", **options) as script:
        check_user((await script.result(approve, sleep))["done"], emulator)


async def test_device_flow_slow_down_raises_the_interval(node_folder, emulator, options, sleep):
    """The client waits in steps of 5 s, so 10 s are two of them."""
    sleep.shortened_by[2] = 2.0

    async def user(message):
        sleep.before_wait[5] = lambda: emulator.approve(message["code"]["user_code"])

    async with run_script(node_folder, "openid_client.mjs", **options, flow="device") as script:
        assert "done" in await script.result(user, sleep)
    assert sleep.waits == [5] * 6
    assert [request.error for request in emulator.requests.to("poll")] == [
        "authorization_pending",
        "slow_down",
        "authorization_pending",
        None,
    ]


@pytest.mark.parametrize(("end", "error"), [("deny", "access_denied"), ("expire", "expired_token")])
async def test_device_flow_that_is_not_approved_fails(node_folder, emulator, options, sleep, end, error):
    async def user(message):
        sleep.before_wait[2] = lambda: getattr(emulator, end)(message["code"]["user_code"])

    async with run_script(node_folder, "openid_client.mjs", **options, flow="device") as script:
        assert await script.result(user, sleep) == {"failed": error, "status": 400}


@SECRET_REQUIRED
async def test_device_flow_with_a_wrong_secret_is_challenged(node_folder, options, sleep, approve):
    options |= {"flow": "device", "clientSecret": "wrong"}
    async with run_script(node_folder, "openid_client.mjs", **options) as script:
        assert await script.result(approve, sleep) == {"failed": "OAuth client", "status": 401}


@METHODS
async def test_authorization_code_of_v1_signs_in_refreshes_and_revokes(node_folder, emulator, options, approve, method):
    async with run_script(node_folder, "openid_client.mjs", **options | {"flow": "code", "method": method}) as script:
        check_user((await script.result(approve))["done"], emulator)


async def test_authorization_code_of_v2_signs_in_and_refreshes(node_folder, emulator, metadata, approve):
    """The metadata of v2 has no keys, so the client checks the claims of the ID token but not its signature."""
    async with run_script(node_folder, "openid_client.mjs", **metadata, flow="code") as script:
        done = (await script.result(approve))["done"]
    assert done["claims"]["sub"] == emulator.user.sid
    assert done["token"]["expires_in"] == 3600
    assert done["refreshed"]["refresh_token"] != done["token"]["refresh_token"]
    assert done["again"] == "refreshed"


async def test_denied_authorization_request_fails_with_access_denied(node_folder, emulator, metadata):
    async def user(message):
        return {"callback": await emulator.authorize(message["authorize"], approve=False)}

    async with run_script(node_folder, "openid_client.mjs", **metadata, flow="code") as script:
        assert (await script.result(user))["failed"] == "access_denied"


async def test_client_credentials_of_v2(node_folder, emulator, metadata):
    options = metadata | {"flow": "clientCredentials", "scope": "messages.read"}
    async with run_script(node_folder, "openid_client.mjs", **options) as script:
        token = (await script.result(no_user))["done"]["token"]
    assert token.keys() == {"access_token", "token_type", "expires_in"}


async def test_client_credentials_of_v2_with_a_secret_in_the_header_is_challenged(node_folder, metadata):
    """The metadata of v2 names ``client_secret_post`` and ``none`` only."""
    options = metadata | {"flow": "clientCredentials", "method": "client_secret_basic"}
    async with run_script(node_folder, "openid_client.mjs", **options) as script:
        assert await script.result(no_user) == {"failed": "OAuth client", "status": 401}
