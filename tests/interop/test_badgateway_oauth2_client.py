"""The emulator's grants with the client `@badgateway/oauth2-client` in Node.js. It has no device grant."""

from __future__ import annotations

import pytest

from tests.helpers.node_client import run_script

pytestmark = pytest.mark.asyncio

SCRIPT = "badgateway_oauth2_client.mjs"


@pytest.fixture
def options(emulator):
    return {
        "clientId": emulator.client_sid,
        "clientSecret": emulator.client_secret,
        "scope": "openid offline_access",
        "redirectUri": "http://127.0.0.1:8400/callback",
        "flow": "code",
    }


@pytest.fixture
def v1(options, rfc):
    """Options for v1, with the names of the RFCs."""
    discovery = rfc.base_url + "/.well-known/openid-configuration"
    return options | {"server": rfc.base_url, "discovery": discovery, "revoke": True}


@pytest.fixture
def v2(options, emulator):
    """Options for v2: only the server; the client finds the metadata (RFC 8414 3)."""
    return options | {"server": emulator.base_url}


@pytest.fixture
def approve(emulator):
    async def user(message):
        return {"callback": await emulator.authorize(message["authorize"])}

    return user


async def no_user(message):
    raise AssertionError(message)


# RFC 6749 2.3.1, appendix B: the header needs the secret form-encoded.
@pytest.mark.parametrize("emulator_options", [{"client_secret": "a b:c%2F+&="}], ids=["secret"])
@pytest.mark.parametrize("method", [None, "client_secret_basic", "client_secret_post"])
async def test_authorization_code_of_v1_signs_in_refreshes_and_revokes(node_folder, emulator, v1, approve, method):
    """Without a method, the client uses the first of the metadata, ``client_secret_basic``."""
    async with run_script(node_folder, SCRIPT, **v1 | ({} if method is None else {"method": method})) as script:
        done = (await script.result(approve))["done"]
    assert done["method"] == (method or "client_secret_basic")
    assert done["token"]["idToken"]
    assert done["refreshed"]["refreshToken"] != done["token"]["refreshToken"]
    assert done["again"] == "invalid_grant"
    assert [request.status for request in emulator.requests.to("revoke")] == [200]


@pytest.mark.parametrize("emulator_options", [{"public": True}], ids=["public"])
async def test_authorization_code_of_a_public_client(node_folder, v1, approve):
    async with run_script(node_folder, SCRIPT, **v1) as script:
        assert (await script.result(approve))["done"]["again"] == "invalid_grant"


async def test_authorization_code_of_v2_with_the_method_of_the_metadata(node_folder, v2, approve):
    async with run_script(node_folder, SCRIPT, **v2) as script:
        done = (await script.result(approve))["done"]
    assert done["method"] == "client_secret_post"
    assert done["token"]["idToken"]
    assert done["refreshed"]["refreshToken"] != done["token"]["refreshToken"]
    assert done["again"] == "refreshed"


async def test_authorization_code_with_a_wrong_verifier_is_invalid_grant(node_folder, v2, approve):
    async with run_script(node_folder, SCRIPT, **v2, wrongVerifier=True) as script:
        assert await script.result(approve) == {"failed": "invalid_grant", "status": 400}


async def test_denied_authorization_request_fails_with_access_denied(node_folder, emulator, v2):
    async def user(message):
        return {"callback": await emulator.authorize(message["authorize"], approve=False)}

    async with run_script(node_folder, SCRIPT, **v2) as script:
        assert await script.result(user) == {"failed": "access_denied"}


async def test_client_credentials_of_v2(node_folder, v2):
    async with run_script(node_folder, SCRIPT, **v2 | {"flow": "clientCredentials", "scope": "a b"}) as script:
        done = (await script.result(no_user))["done"]
    assert (done["method"], done["token"]["refreshToken"]) == ("client_secret_post", None)
    assert done["token"]["accessToken"]
