"""The emulator's grants with the client `simple-oauth2` in Node.js. It has no device grant."""

from __future__ import annotations

import pytest

from tests.helpers.node_client import run_script

pytestmark = pytest.mark.asyncio

SCRIPT = "simple_oauth2.mjs"


@pytest.fixture
def options(emulator):
    return {
        "clientId": emulator.client_sid,
        "clientSecret": emulator.client_secret,
        "authorizeHost": emulator.base_url,
        "scope": "openid offline_access",
        "redirectUri": "http://127.0.0.1:8400/callback",
    }


@pytest.fixture
def v1(options, rfc):
    """Options for v1, with the names of the RFCs."""
    paths = {"authorizePath": "/oauth2/authorize", "tokenPath": "/token", "revokePath": "/revoke"}
    # Without `json`, see the test of the default.
    return options | {"endpoints": {"host": rfc.base_url, **paths}, "flow": "code", "revoke": True, "json": True}


@pytest.fixture
def v2(options, emulator):
    """Options for v2, which has the names of the RFCs, and no revocation."""
    paths = {"authorizePath": "/v2/authorize", "tokenPath": "/v2/token"}
    return options | {"endpoints": {"host": emulator.base_url, **paths}, "method": "body", "flow": "code"}


@pytest.fixture
def approve(emulator):
    async def user(message):
        return {"callback": await emulator.authorize(message["authorize"])}

    return user


async def no_user(message):
    raise AssertionError(message)


# RFC 6749 2.3.1, appendix B: the header needs the secret form-encoded.
@pytest.mark.parametrize("emulator_options", [{"client_secret": "a b:c%2F+&="}], ids=["secret"])
@pytest.mark.parametrize("method", ["header", "body"])
async def test_authorization_code_of_v1_signs_in_refreshes_and_revokes(node_folder, emulator, v1, approve, method):
    async with run_script(node_folder, SCRIPT, **v1, method=method) as script:
        done = (await script.result(approve))["done"]
    assert done["token"]["token_type"] == "Bearer"
    assert done["refreshed"]["refresh_token"] != done["token"]["refresh_token"]
    assert done["revoked"] == {"failed": "invalid_grant", "status": 400}
    assert [request.status for request in emulator.requests.to("revoke")] == [200]


async def test_revocation_with_the_default_options_raises_although_the_token_is_revoked(
    node_folder, emulator, v1, approve
):
    """By default, the client requires a JSON response. RFC 7009 2.2: a client ignores the body, which is empty here."""
    async with run_script(node_folder, SCRIPT, **v1 | {"json": None}) as script:
        done = (await script.result(approve))["done"]
    assert done["revoked"] == {"failed": "The content-type is not JSON compatible", "status": 406}
    assert [request.status for request in emulator.requests.to("revoke")] == [200]


async def test_authorization_code_of_v2_signs_in_and_refreshes(node_folder, v2, approve):
    async with run_script(node_folder, SCRIPT, **v2) as script:
        done = (await script.result(approve))["done"]
    assert done["token"]["expires_in"] == 3600
    assert done["token"]["expires_at"]
    assert done["expired"] is False
    assert done["refreshed"]["refresh_token"] != done["token"]["refresh_token"]


async def test_authorization_code_with_a_wrong_verifier_is_invalid_grant(node_folder, v2, approve):
    async with run_script(node_folder, SCRIPT, **v2, wrongVerifier=True) as script:
        assert await script.result(approve) == {"failed": "invalid_grant", "status": 400}


async def test_client_credentials_of_v2(node_folder, v2):
    async with run_script(node_folder, SCRIPT, **v2 | {"flow": "clientCredentials", "scope": "a b"}) as script:
        token = (await script.result(no_user))["done"]["token"]
    assert token.keys() == {"access_token", "token_type", "expires_in", "expires_at"}


async def test_client_credentials_of_v2_with_a_secret_in_the_header_is_invalid_client(node_folder, v2):
    """The header is the default of the package; the metadata of v2 names ``client_secret_post`` and ``none`` only."""
    async with run_script(node_folder, SCRIPT, **v2 | {"flow": "clientCredentials", "method": "header"}) as script:
        assert await script.result(no_user) == {"failed": "invalid_client", "status": 401}
