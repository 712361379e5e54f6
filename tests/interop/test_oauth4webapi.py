"""The emulator's grants with the client `oauth4webapi` in Node.js, which verifies ID tokens with WebCrypto."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.helpers.node_client import run_script
from tests.helpers.virtual_sleep import VirtualSleep

pytestmark = pytest.mark.asyncio

SCOPE = "openid offline_access"
REDIRECT = "http://127.0.0.1:8400/callback"
ALGORITHMS = pytest.mark.parametrize(
    "emulator_options", [{"signing_algorithm": name} for name in ("ES256", "RS256")], ids=str
)


@pytest.fixture
def options(emulator, emulator_options, rfc):
    """Options for a script."""
    return {
        "issuer": emulator.issuer,
        "discovery": rfc.base_url + "/.well-known/openid-configuration",
        "clientId": emulator.client_sid,
        "algorithm": emulator_options.get("signing_algorithm", "ES256"),
        "scope": SCOPE,
    }


@pytest_asyncio.fixture
async def sleep(clock):
    return VirtualSleep(clock)


@ALGORITHMS
@pytest.mark.parametrize("confidential", [False, True])
async def test_device_flow_signs_in_and_refreshes(node_folder, emulator, options, sleep, confidential):
    if confidential:
        options["clientSecret"] = emulator.client_secret

    async def user(message):
        sleep.before_wait[3] = lambda: emulator.approve(message["code"]["user_code"])
        assert message["code"]["verification_uri"].startswith(emulator.base_url)

    async with run_script(node_folder, "device_flow.mjs", **options) as script:
        outcome = await script.result(user, sleep)
    assert sleep.waits == [5, 5, 5]
    assert not emulator.requests.polled_faster_than(5)
    done = outcome["done"]
    assert done["claims"]["sub"] == done["user"]["sub"] == emulator.user.sid
    assert done["claims"]["azp"] == emulator.client_sid
    assert done["user"]["email"] == emulator.user.email
    assert done["refreshed"]["refresh_token"] != done["token"]["refresh_token"]
    assert {name: done["refreshedClaims"][name] for name in ("iss", "sub", "aud", "auth_time")} == {
        name: done["claims"][name] for name in ("iss", "sub", "aud", "auth_time")
    }


# Appendix B of RFC 6749 encodes each of these characters.
SECRET = {"device_secret_required": True, "client_secret": "a b:c%2F+&="}


@pytest.mark.parametrize("emulator_options", [SECRET], ids=["secret"])
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_device_flow_of_a_client_that_must_send_its_secret(node_folder, emulator, options, sleep, method):
    async def user(message):
        await emulator.approve(message["code"]["user_code"])

    options |= {"clientSecret": emulator.client_secret, "method": method, "revoke": True}
    async with run_script(node_folder, "device_flow.mjs", **options) as script:
        done = (await script.result(user, sleep))["done"]
    assert done["claims"]["sub"] == emulator.user.sid
    assert done["revoked"] == "invalid_grant"


@pytest.mark.parametrize("emulator_options", [SECRET], ids=["secret"])
async def test_device_flow_with_a_wrong_secret_in_the_header_is_invalid_client(node_folder, emulator, options, sleep):
    """The client raises the challenge of the response, because RFC 6749 5.2 has one for the scheme that was used."""

    async def user(message):
        await emulator.approve(message["code"]["user_code"])

    options |= {"clientSecret": "wrong", "method": "client_secret_basic"}
    with pytest.raises(pytest.fail.Exception, match="WWWAuthenticateChallengeError"):
        async with run_script(node_folder, "device_flow.mjs", **options) as script:
            await script.result(user, sleep)
    assert [request.error for request in emulator.requests.to("poll")] == ["invalid_client"]


async def test_device_flow_slow_down_raises_all_later_intervals(node_folder, emulator, options, sleep):
    sleep.shortened_by[2] = 2.0

    async def user(message):
        sleep.before_wait[4] = lambda: emulator.approve(message["code"]["user_code"])

    async with run_script(node_folder, "device_flow.mjs", **options) as script:
        assert "done" in await script.result(user, sleep)
    assert sleep.waits == [5, 5, 10, 10]
    assert [request.error for request in emulator.requests.to("poll")].count("slow_down") == 1


async def test_denied_device_flow_fails_with_access_denied(node_folder, emulator, options, sleep):
    async def user(message):
        sleep.before_wait[2] = lambda: emulator.deny(message["code"]["user_code"])

    async with run_script(node_folder, "device_flow.mjs", **options) as script:
        assert await script.result(user, sleep) == {"failed": "access_denied", "status": 400}


async def test_expired_device_flow_fails_with_expired_token(node_folder, emulator, options, sleep):
    async def user(message):
        sleep.before_wait[2] = lambda: emulator.expire(message["code"]["user_code"])

    async with run_script(node_folder, "device_flow.mjs", **options) as script:
        assert await script.result(user, sleep) == {"failed": "expired_token", "status": 400}


async def test_device_flow_with_a_forged_id_token_fails(node_folder, emulator, options, sleep):
    """Shows that the client does check the signature, on which the other tests rely."""
    emulator.faults.on("poll").on_success().id_token(signed_by="other_key")

    async def user(message):
        await emulator.approve(message["code"]["user_code"])

    with pytest.raises(pytest.fail.Exception, match="JWT signature verification failed"):
        async with run_script(node_folder, "device_flow.mjs", **options) as script:
            await script.result(user, sleep)


def v2(emulator):
    paths = {"authorization_endpoint": "/v2/authorize", "token_endpoint": "/v2/token"}
    return {
        "endpoints": {name: emulator.base_url + path for name, path in paths.items()},
        "redirectUri": REDIRECT,
        "clientSecret": emulator.client_secret,
    }


@ALGORITHMS
async def test_authorization_code_with_pkce_signs_in_and_refreshes(node_folder, emulator, options):
    async def user(message):
        return {"callback": await emulator.authorize(message["authorize"])}

    async with run_script(node_folder, "code_flow.mjs", **options, **v2(emulator)) as script:
        outcome = await script.result(user)
    done = outcome["done"]
    assert done["claims"]["sub"] == emulator.user.sid
    assert done["token"]["expires_in"] == 3600
    assert done["refreshed"]["access_token"] != done["token"]["access_token"]


async def test_authorization_code_with_a_wrong_verifier_is_invalid_grant(node_folder, emulator, options):
    async def user(message):
        return {"callback": await emulator.authorize(message["authorize"])}

    async with run_script(node_folder, "code_flow.mjs", **options, **v2(emulator), wrongVerifier=True) as script:
        assert await script.result(user) == {"failed": "invalid_grant", "status": 400}


async def test_denied_authorization_request_fails_with_access_denied(node_folder, emulator, options):
    async def user(message):
        return {"callback": await emulator.authorize(message["authorize"], approve=False)}

    async with run_script(node_folder, "code_flow.mjs", **options, **v2(emulator)) as script:
        assert (await script.result(user))["failed"] == "access_denied"


@pytest.fixture
def metadata(emulator):
    """Options for a script that uses v2 as its metadata describes it."""
    return {
        "issuer": emulator.issuer,
        "discovery": emulator.base_url + "/.well-known/oauth-authorization-server",
        "clientId": emulator.client_sid,
        "clientSecret": emulator.client_secret,
        "scope": "messages.read",
    }


async def no_user(message):
    raise AssertionError(message)


async def test_client_credentials_with_the_metadata_of_v2(node_folder, emulator, metadata):
    async with run_script(node_folder, "client_credentials.mjs", **metadata) as script:
        done = (await script.result(no_user))["done"]
    assert done["as"]["token_endpoint"] == emulator.base_url + "/v2/token"
    assert done["token"].keys() == {"access_token", "token_type", "expires_in"}
    assert done["token"]["expires_in"] == 3600


async def test_client_credentials_with_a_method_that_the_metadata_does_not_have(node_folder, metadata):
    with pytest.raises(pytest.fail.Exception, match="WWWAuthenticateChallengeError"):
        async with run_script(
            node_folder, "client_credentials.mjs", **metadata, method="client_secret_basic"
        ) as script:
            await script.result(no_user)
