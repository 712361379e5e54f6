"""Access and id tokens, verified with joserfc: claims, keys, rotation."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import aiohttp
import pytest

from tests.helpers.authorization_code import verified
from tests.helpers.emulator_caller import Caller
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio


def jose_header(token: str) -> dict[str, Any]:
    part = token.split(".", maxsplit=1)[0]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_claims_of_access_and_id_token(clock: VirtualClock, algorithm: Any) -> None:
    async with (
        Emulator(clock=clock, signing_algorithm=algorithm) as emulator,
        aiohttp.ClientSession() as http,
    ):
        caller = Caller(emulator, http)
        token = await caller.sign_in("openid", "profile")
        assert jose_header(token["id_token"])["alg"] == algorithm
        assert jose_header(token["access_token"])["typ"] == "at+jwt"
        access = await verified(caller, token["access_token"])
        identity = await verified(caller, token["id_token"])
    now = int(clock.now().timestamp())
    assert identity["iss"] == access["iss"] == emulator.issuer
    assert identity["sub"] == access["sub"] == emulator.user.sid
    assert identity["aud"] == identity["azp"] == access["client_id"] == emulator.client_sid
    assert identity["iat"] == identity["nbf"] == identity["auth_time"] == access["iat"] == now
    assert identity["exp"] == access["exp"] == now + 3600
    assert access["scope"] == "openid profile"
    left_half = hashlib.sha256(token["access_token"].encode()).digest()[:16]
    assert identity["at_hash"] == base64.urlsafe_b64encode(left_half).rstrip(b"=").decode()


async def test_auth_time_is_the_time_of_approval(caller: Caller, clock: VirtualClock) -> None:
    code = await caller.device_code()
    clock.advance(30)
    await caller.emulator.approve(code["user_code"])
    clock.advance(30)
    _, token = await caller.poll(code["device_code"])
    claims = await verified(caller, token["id_token"])
    assert claims["iat"] - claims["auth_time"] == 30


async def test_rotate_keys_keeps_the_given_number_of_old_keys(caller: Caller) -> None:
    token = await caller.sign_in()
    caller.emulator.rotate_keys(keep=1)
    newer = await caller.sign_in()
    assert jose_header(newer["id_token"])["kid"] != jose_header(token["id_token"])["kid"]
    await verified(caller, token["id_token"])
    await verified(caller, newer["id_token"])
    caller.emulator.rotate_keys(keep=0)
    _, certs, _ = await caller.call("GET", "/v1/certs")
    assert len(certs["keys"]) == 2
    assert jose_header(newer["id_token"])["kid"] not in {key["kid"] for key in certs["keys"]}
    with pytest.raises(ValueError, match="negative"):
        caller.emulator.rotate_keys(keep=-1)


async def test_refreshed_id_token_has_same_iss_sub_and_aud(caller: Caller) -> None:
    first = await caller.sign_in()
    _, second = await caller.refresh(first["refresh_token"])
    before, after = await verified(caller, first["id_token"]), await verified(caller, second["id_token"])
    assert {name: before[name] for name in ("iss", "sub", "aud")} == {
        name: after[name] for name in ("iss", "sub", "aud")
    }
