"""The emulator's grants with `requests_oauth2client`, without the device grant (see test_requests_oauth2client.py).

The client discovers the endpoints, in both generations of the API: v1 through the proxy, and v2 as it is.
"""

from __future__ import annotations

import asyncio

import pytest
import requests
from requests_oauth2client import (
    AuthorizationResponseError,
    ClientSecretBasic,
    ClientSecretPost,
    InvalidClient,
    InvalidGrant,
    InvalidScope,
    OAuth2AccessTokenAuth,
    OAuth2Client,
    OAuth2ClientCredentialsAuth,
)

pytestmark = pytest.mark.asyncio

REDIRECT = "http://127.0.0.1:8400/callback"
SCOPE = "openid offline_access"


@pytest.fixture
def http():
    with requests.Session() as http:
        http.trust_env = False  # ignore proxy settings, because all requests stay on loopback
        yield http


@pytest.fixture
def discover(emulator, http):
    """A function that discovers the server of a URL and returns the client."""

    async def client(url, method=ClientSecretPost):
        return await asyncio.to_thread(
            OAuth2Client.from_discovery_endpoint,
            url,
            emulator.issuer,
            auth=method(emulator.client_sid, emulator.client_secret),
            redirect_uri=REDIRECT,
            session=http,
            testing=True,  # allows plain HTTP, here on loopback
            id_token_signed_response_alg="ES256",
        )

    return client


@pytest.fixture
def v1(discover, rfc):
    """A function that returns a client of v1, with the names of the RFCs."""
    return lambda method: discover(rfc.base_url + "/.well-known/openid-configuration", method)


@pytest.fixture
def v2(discover, emulator):
    """A function that returns a client of v2."""
    url = emulator.base_url + "/.well-known/oauth-authorization-server"
    return lambda method=ClientSecretPost: discover(url, method)


async def sign_in(client, emulator, *, approve=True, **changes):
    # RFC 9207 2.4: if the metadata says so, each response must have `iss`. The client leaves that to its caller.
    has_issuer = client.authorization_response_iss_parameter_supported
    request = client.authorization_request(scope=SCOPE, authorization_response_iss_parameter_supported=has_issuer)
    response = request.validate_callback(await emulator.authorize(request.uri, approve=approve))
    return await asyncio.to_thread(client.authorization_code, response, **changes)


@pytest.mark.parametrize("method", [ClientSecretBasic, ClientSecretPost])
async def test_authorization_code_of_v1_signs_in_refreshes_and_revokes(emulator, v1, method):
    """The client validates the signature and the claims of the ID token, with the nonce."""
    client = await v1(method)
    token = await sign_in(client, emulator)
    assert token.id_token.subject == emulator.user.sid
    assert (await asyncio.to_thread(client.userinfo, token))["email"] == emulator.user.email
    refreshed = await asyncio.to_thread(client.refresh_token, token)
    assert refreshed.refresh_token != token.refresh_token
    assert await asyncio.to_thread(client.revoke_refresh_token, refreshed) is True
    with pytest.raises(InvalidGrant):
        await asyncio.to_thread(client.refresh_token, refreshed)


async def test_authorization_code_of_v2_signs_in_and_refreshes_by_itself(emulator, v2, http):
    """The metadata of v2 has no keys, so the client cannot validate the ID token.

    It refreshes before a request if its token expires soon; it reads the real clock.
    """
    client = await v2()
    assert client.authorization_response_iss_parameter_supported
    token = await sign_in(client, emulator, validate=False)
    auth = OAuth2AccessTokenAuth(client, token, leeway=4000)
    user = await asyncio.to_thread(http.get, emulator.base_url + "/v1/userinfo", auth=auth)
    assert user.json()["user_sid"] == emulator.user.sid
    assert auth.token.refresh_token != token.refresh_token
    assert len(emulator.requests.to("refresh")) == 1


@pytest.mark.parametrize("changes", [{"code_verifier": "v" * 43}, {"redirect_uri": REDIRECT + "/other"}], ids=str)
async def test_authorization_code_of_another_request_is_invalid_grant(emulator, v2, changes):
    with pytest.raises(InvalidGrant):
        await sign_in(await v2(), emulator, validate=False, **changes)


async def test_denied_authorization_request_fails_with_access_denied(emulator, v2):
    with pytest.raises(AuthorizationResponseError) as raised:
        await sign_in(await v2(), emulator, approve=False)
    assert raised.value.error == "access_denied"


async def test_client_credentials_of_v2(emulator, v2, http):
    client = await v2()
    token = await asyncio.to_thread(client.client_credentials, scope=["messages.read", "calls.read"])
    assert 3590 <= token.expires_in <= 3600
    assert token.refresh_token is None
    auth = OAuth2ClientCredentialsAuth(client, scope="messages.read")
    user = await asyncio.to_thread(http.get, emulator.base_url + "/v1/userinfo", auth=auth)
    assert user.status_code == 403  # the token is valid, but an app has no user information
    assert len(emulator.requests.to("client_credentials")) == 2


async def test_scope_that_the_app_may_not_request_is_invalid_scope(emulator, http):
    app = emulator.add_app("Reader", scopes=["messages.read"])
    endpoint = emulator.base_url + "/v2/token"
    client = OAuth2Client(endpoint, auth=(app.sid, app.secret), session=http, testing=True)
    with pytest.raises(InvalidScope):
        await asyncio.to_thread(client.client_credentials, scope="calls.read")


async def test_client_credentials_of_v2_with_a_secret_in_the_header_is_invalid_client(v2):
    """The metadata of v2 names ``client_secret_post`` and ``none`` only."""
    client = await v2(ClientSecretBasic)
    with pytest.raises(InvalidClient):
        await asyncio.to_thread(client.client_credentials, scope="messages.read")
