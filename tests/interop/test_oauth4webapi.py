"""The emulator's grants, completed by `oauth4webapi` in Node.js: another language, and WebCrypto for the id tokens."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.helpers.foreign_time import ForeignTime
from tests.helpers.node_client import install, running

pytestmark = pytest.mark.asyncio

SCOPE = "openid offline_access"
REDIRECT = "http://127.0.0.1:8400/callback"
ALGORITHMS = pytest.mark.parametrize(
    "emulator_options", [{"signing_algorithm": name} for name in ("ES256", "RS256")], ids=str
)


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    # Workers of pytest-xdist have folders of their own below the one of the run.
    return install((base.parent if base.name.startswith("popen-") else base) / "oauth4webapi")


@pytest.fixture
def facts(emulator, emulator_options, rfc):
    """What a script is told."""
    return {
        "issuer": emulator.issuer,
        "discovery": rfc.base_url + "/.well-known/openid-configuration",
        "clientId": emulator.client_sid,
        "algorithm": emulator_options.get("signing_algorithm", "ES256"),
        "scope": SCOPE,
    }


@pytest_asyncio.fixture
async def time(clock):
    return ForeignTime(clock)


async def converse(script, time, person):
    """Answer a script until it tells how it ended; `person` is told each code and URL."""
    while True:
        said = await script.listen()
        if "wait" in said:
            await time.wait(said["wait"])
            script.answer()
        elif {"done", "failed"} & set(said):
            script.answer()
            return said
        else:
            script.answer(await person(said))


@ALGORITHMS
@pytest.mark.parametrize("confidential", [False, True])
async def test_device_flow(node_folder, emulator, facts, time, confidential):
    if confidential:
        facts["clientSecret"] = emulator.client_secret

    async def person(said):
        time.before[3] = lambda: emulator.approve(said["code"]["user_code"])
        assert said["code"]["verification_uri"].startswith(emulator.base_url)

    async with running(node_folder, "device_flow.mjs", **facts) as script:
        outcome = await converse(script, time, person)
    assert time.waits == [5, 5, 5]
    assert not emulator.requests.polled_faster_than(5)
    done = outcome["done"]
    assert done["claims"]["sub"] == done["user"]["sub"] == emulator.user.sid
    assert done["claims"]["azp"] == emulator.client_sid
    assert done["user"]["email"] == emulator.user.email
    assert done["refreshed"]["refresh_token"] != done["token"]["refresh_token"]
    assert {name: done["refreshedClaims"][name] for name in ("iss", "sub", "aud", "auth_time")} == {
        name: done["claims"][name] for name in ("iss", "sub", "aud", "auth_time")
    }


async def test_device_flow_slows_down_for_good(node_folder, emulator, facts, time):
    time.early[2] = 2.0

    async def person(said):
        time.before[4] = lambda: emulator.approve(said["code"]["user_code"])

    async with running(node_folder, "device_flow.mjs", **facts) as script:
        assert "done" in await converse(script, time, person)
    assert time.waits == [5, 5, 10, 10]
    assert [request.error for request in emulator.requests.to("poll")].count("slow_down") == 1


async def test_device_flow_denied(node_folder, emulator, facts, time):
    async def person(said):
        time.before[2] = lambda: emulator.deny(said["code"]["user_code"])

    async with running(node_folder, "device_flow.mjs", **facts) as script:
        assert await converse(script, time, person) == {"failed": "access_denied", "status": 400}


async def test_device_flow_expired(node_folder, emulator, facts, time):
    async def person(said):
        time.before[2] = lambda: emulator.expire(said["code"]["user_code"])

    async with running(node_folder, "device_flow.mjs", **facts) as script:
        assert await converse(script, time, person) == {"failed": "expired_token", "status": 400}


async def test_device_flow_with_a_forged_id_token_is_refused(node_folder, emulator, facts, time):
    """The peer does check what these tests rely on it to check."""
    emulator.faults.on("poll").on_success().id_token(signed_by="other_key")

    async def person(said):
        await emulator.approve(said["code"]["user_code"])

    with pytest.raises(pytest.fail.Exception, match="JWT signature verification failed"):
        async with running(node_folder, "device_flow.mjs", **facts) as script:
            await converse(script, time, person)


def v2(emulator):
    paths = {"authorization_endpoint": "/v2/authorize", "token_endpoint": "/v2/token"}
    return {
        "endpoints": {name: emulator.base_url + path for name, path in paths.items()},
        "redirectUri": REDIRECT,
        "clientSecret": emulator.client_secret,
    }


@ALGORITHMS
async def test_authorization_code_with_pkce(node_folder, emulator, facts, time):
    async def person(said):
        return {"callback": await emulator.authorize(said["authorize"])}

    async with running(node_folder, "code_flow.mjs", **facts, **v2(emulator)) as script:
        outcome = await converse(script, time, person)
    done = outcome["done"]
    assert done["claims"]["sub"] == emulator.user.sid
    assert done["token"]["expires_in"] == 3600
    assert done["refreshed"]["access_token"] != done["token"]["access_token"]


async def test_authorization_code_with_a_wrong_verifier(node_folder, emulator, facts, time):
    async def person(said):
        return {"callback": await emulator.authorize(said["authorize"])}

    async with running(node_folder, "code_flow.mjs", **facts, **v2(emulator), wrongVerifier=True) as script:
        assert await converse(script, time, person) == {"failed": "invalid_grant", "status": 400}


async def test_authorization_code_denied(node_folder, emulator, facts, time):
    async def person(said):
        return {"callback": await emulator.authorize(said["authorize"], approve=False)}

    async with running(node_folder, "code_flow.mjs", **facts, **v2(emulator)) as script:
        assert (await converse(script, time, person))["failed"] == "access_denied"
