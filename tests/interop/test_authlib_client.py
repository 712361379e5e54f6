"""The emulator's grants with the client of Authlib over httpx2.

Authlib has no method for the device authorization request and no polling; the token request of the device grant is its
extension grant of RFC 6749 4.5.
"""

from __future__ import annotations

import pytest
import pytest_asyncio
from authlib.common.errors import AuthlibBaseError
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.helpers.virtual_sleep import VirtualSleep

pytestmark = pytest.mark.asyncio

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
REDIRECT = "http://127.0.0.1:8400/callback"
SCOPE = "openid offline_access"
METHODS = pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
SECRET_REQUIRED = pytest.mark.parametrize("emulator_options", [{"device_secret_required": True}], ids=["secret"])


@pytest_asyncio.fixture
async def connect(emulator):
    """A function that opens a client; `method` authenticates it at the token and at the revocation endpoint."""
    clients = []

    def open_client(method="client_secret_post", **options):
        options = {"client_secret": emulator.client_secret, "scope": SCOPE, "redirect_uri": REDIRECT} | options
        clients.append(
            AsyncOAuth2Client(
                emulator.client_sid,
                token_endpoint_auth_method=method,
                revocation_endpoint_auth_method=method,
                code_challenge_method="S256",
                trust_env=False,  # ignore proxy settings, because all requests stay on loopback
                **options,
            )
        )
        return clients[-1]

    yield open_client
    for client in clients:
        await client.aclose()


@pytest.fixture
def v2(emulator):
    """The endpoints of v2."""
    return {
        "authorization_endpoint": emulator.base_url + "/v2/authorize",
        "token_endpoint": emulator.base_url + "/v2/token",
    }


async def document(rfc, path):
    async with rfc.http.get(rfc.base_url + path) as response:
        return await response.json()


@pytest_asyncio.fixture
async def v1(rfc):
    """The endpoints of v1, with the names of the RFCs."""
    return await document(rfc, "/.well-known/openid-configuration")


async def poll(client, endpoints, device_code, sleep):
    interval = 5
    while True:
        await sleep.wait(interval)
        try:
            return await client.fetch_token(
                endpoints["token_endpoint"], grant_type=DEVICE_CODE, device_code=device_code
            )
        except OAuthError as error:
            if error.error == "slow_down":
                interval += 5
            elif error.error != "authorization_pending":
                raise


async def request_code(client, endpoints):
    authentication = client.client_auth(client.token_endpoint_auth_method)
    response = await client.request(
        "POST", endpoints["device_authorization_endpoint"], data={"scope": SCOPE}, auth=authentication
    )
    return response.raise_for_status().json()


async def sign_in(client, emulator, endpoints, *, verifier=None, approve=True):
    """The authorization code grant; `verifier` is sent instead of the right one."""
    right = generate_token(48)
    url, state = client.create_authorization_url(endpoints["authorization_endpoint"], code_verifier=right)
    callback = await emulator.authorize(url, approve=approve)
    return await client.fetch_token(
        endpoints["token_endpoint"],
        authorization_response=callback,
        state=state,
        code_verifier=verifier or right,
        grant_type="authorization_code",
    )


@SECRET_REQUIRED
@METHODS
async def test_device_flow_signs_in_refreshes_and_revokes(emulator, clock, rfc, v1, connect, method):
    client = connect(method)
    code = await request_code(client, v1)
    sleep = VirtualSleep(clock)
    sleep.before_wait[3] = lambda: emulator.approve(code["user_code"])
    token = await poll(client, v1, code["device_code"], sleep)
    assert [request.error for request in emulator.requests.to("poll")] == ["authorization_pending"] * 2 + [None]

    keys = KeySet.import_key_set(await document(rfc, "/jwks"))
    claims = jwt.decode(token["id_token"], keys, algorithms=["ES256"]).claims
    user = (await client.get(v1["userinfo_endpoint"])).raise_for_status().json()
    assert claims["sub"] == user["sub"] == emulator.user.sid

    refreshed = await client.refresh_token(v1["token_endpoint"])
    assert refreshed["refresh_token"] != token["refresh_token"]
    response = await client.revoke_token(v1["revocation_endpoint"], refreshed["refresh_token"], "refresh_token")
    assert response.status_code == 200
    with pytest.raises(OAuthError, match="invalid_grant"):
        await client.refresh_token(v1["token_endpoint"])


@pytest.mark.parametrize("emulator_options", [{"public": True}], ids=["public"])
async def test_device_flow_of_a_public_client(emulator, clock, v1, connect):
    client = connect("none")
    code = await request_code(client, v1)
    await emulator.approve(code["user_code"])
    token = await poll(client, v1, code["device_code"], VirtualSleep(clock))
    assert await client.refresh_token(v1["token_endpoint"], token["refresh_token"])


@pytest.mark.parametrize(("end", "error"), [("deny", "access_denied"), ("expire", "expired_token")])
async def test_device_flow_that_is_not_approved_fails(emulator, clock, v1, connect, end, error):
    client = connect()
    code = await request_code(client, v1)
    sleep = VirtualSleep(clock)
    sleep.before_wait[2] = lambda: getattr(emulator, end)(code["user_code"])
    with pytest.raises(OAuthError, match=error):
        await poll(client, v1, code["device_code"], sleep)


@SECRET_REQUIRED
@METHODS
async def test_device_flow_with_a_wrong_secret_is_invalid_client(emulator, clock, v1, connect, method):
    client = connect(method, client_secret="wrong")
    code = await request_code(client, v1)
    await emulator.approve(code["user_code"])
    with pytest.raises(OAuthError, match="invalid_client"):
        await poll(client, v1, code["device_code"], VirtualSleep(clock))


@METHODS
async def test_authorization_code_of_v1_signs_in_and_revokes(emulator, v1, connect, method):
    client = connect(method)
    await sign_in(client, emulator, v1)
    user = (await client.get(v1["userinfo_endpoint"])).raise_for_status().json()
    assert user["sub"] == emulator.user.sid
    assert (await client.revoke_token(v1["revocation_endpoint"], client.token["access_token"])).status_code == 200
    assert (await client.get(v1["userinfo_endpoint"])).status_code == 401


async def test_authorization_code_of_v2_signs_in_and_refreshes_by_itself(emulator, clock, v2, connect):
    """The client refreshes before a request if its token has expired; it reads the real clock."""
    updates = []

    async def update_token(token, refresh_token=None, access_token=None):
        updates.append((token, refresh_token))

    client = connect(token_endpoint=v2["token_endpoint"], update_token=update_token)
    token = dict(await sign_in(client, emulator, v2))
    assert token["expires_in"] == 3600
    assert emulator.requests.to("refresh") == []

    client.token = token | {"expires_at": 1}
    user_info = emulator.base_url + "/v1/userinfo"
    assert (await client.get(user_info)).raise_for_status().json()["user_sid"] == emulator.user.sid
    ((refreshed, used),) = updates
    assert used == token["refresh_token"] != refreshed["refresh_token"]


async def test_authorization_code_with_a_wrong_verifier_is_invalid_grant(emulator, v2, connect):
    with pytest.raises(OAuthError, match="invalid_grant"):
        await sign_in(connect(), emulator, v2, verifier=generate_token(48))


async def test_denied_authorization_request_fails(emulator, v2, connect):
    """The client does not read an error response (RFC 6749 4.1.2.1), it only misses the code.

    Without ``grant_type``, Authlib 1.9 even sends a client credentials request, which succeeds. So an application has
    to look for ``error`` itself.
    """
    with pytest.raises(AuthlibBaseError, match=r"missing_code|access_denied"):
        await sign_in(connect(), emulator, v2, approve=False)
    assert emulator.requests.to("token") == emulator.requests.to("client_credentials") == []


async def test_client_credentials_of_v2(v2, connect):
    client = connect(scope="messages.read calls.read")
    token = await client.fetch_token(v2["token_endpoint"], grant_type="client_credentials")
    assert token.keys() == {"access_token", "token_type", "expires_in", "expires_at"}


async def test_client_credentials_of_v2_with_a_secret_in_the_header_is_invalid_client(v2, connect):
    """The header is the default of Authlib; the metadata of v2 names ``client_secret_post`` and ``none`` only."""
    with pytest.raises(OAuthError, match="invalid_client"):
        await connect(None).fetch_token(v2["token_endpoint"], grant_type="client_credentials")
