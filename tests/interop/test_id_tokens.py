"""Independent verifiers accept the emulator's ID tokens with its published key set, and reject forged ones.

PyJWT shares no code with the library that the emulator signs with. Authlib checks the rules of OpenID Connect (nonce,
at_hash, azp).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

import aiohttp
import jwt
import pytest
import requests
from authlib.integrations.base_client.sync_openid import OpenIDMixin
from joserfc.errors import JoseError

from tests.helpers.virtual_sleep import HEAD_START
from twilio_oauth_async import DeviceFlow, OAuthSession, Token
from twilio_oauth_async.emulator import Emulator

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.parametrize("emulator_options", [{"signing_algorithm": name} for name in ("ES256", "RS256")], ids=str),
]

FORGERIES: dict[str, dict[str, Any]] = {
    "another key": {"signed_by": "other_key"},
    "no signature": {"signed_by": "none"},
    "HMAC with the public key": {"signed_by": "hmac"},
    "another issuer": {"claims": {"iss": "https://evil.example"}},
    "another audience": {"claims": {"aud": "OQ0", "azp": "OQ0"}},
    "expired": {"claims": {"exp": 1_000_000_000}},
}


async def sign_in(emulator: Emulator) -> Token:
    async with OAuthSession(
        emulator.account_sid, emulator.auth_token, base_url=emulator.base_url, clock=emulator.clock
    ) as session:
        flow = DeviceFlow(
            session, client_sid=emulator.client_sid, scopes=["openid"], prompt=lambda a: emulator.approve(a.user_code)
        )
        return await flow.run()


def basic(emulator: Emulator) -> dict[str, str]:
    return {"Authorization": aiohttp.encode_basic_auth(emulator.account_sid, emulator.auth_token)}


def pyjwt_verify(emulator: Emulator, id_token: str) -> dict[str, Any]:
    keys = jwt.PyJWKClient(emulator.base_url + "/v1/certs", headers=basic(emulator))
    key = keys.get_signing_key_from_jwt(id_token)
    return jwt.decode(
        id_token,
        key,
        algorithms=["ES256", "RS256"],
        issuer=emulator.issuer,
        audience=emulator.client_sid,
        options={"require": ["iss", "sub", "aud", "exp", "iat", "nbf"]},
    )


class LoopbackSession(requests.Session):
    """A session that accepts Authlib's extra argument and ignores proxy settings, since requests stay on loopback."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def request(self, *args: Any, withhold_token: bool = True, **kwargs: Any) -> requests.Response:
        return super().request(*args, **kwargs)


class RelyingParty(OpenIDMixin):
    """Authlib's OpenID Connect client without a web framework."""

    def __init__(self, emulator: Emulator, jwks_uri: str) -> None:
        self._emulator = emulator
        self.client_id = emulator.client_sid
        self.server_metadata = {
            "issuer": emulator.issuer,
            "jwks_uri": jwks_uri,
            "id_token_signing_alg_values_supported": ["ES256", "RS256"],
        }

    def load_server_metadata(self) -> dict[str, Any]:
        return self.server_metadata

    def _get_session(self) -> requests.Session:
        session = LoopbackSession()
        session.headers.update(basic(self._emulator))
        return session

    def verify(self, token: Token, nonce: str | None = None) -> dict[str, Any]:
        response = {"id_token": token.id_token, "access_token": token.access_token}
        return self.parse_id_token(response, nonce, leeway=0)


@pytest.fixture
def relying_party(emulator, rfc):
    return RelyingParty(emulator, rfc.base_url + "/jwks")


async def test_pyjwt_accepts_the_id_token(emulator, emulator_options):
    token = await sign_in(emulator)
    claims = await asyncio.to_thread(pyjwt_verify, emulator, token.id_token)
    assert claims["sub"] == emulator.user.sid
    assert jwt.get_unverified_header(token.id_token)["alg"] == emulator_options["signing_algorithm"]
    digest = hashlib.sha256(token.access_token.encode()).digest()  # OpenID Connect Core 3.1.3.6
    assert claims["at_hash"] == base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")


async def test_authlib_accepts_the_id_token(emulator, relying_party):
    claims = await asyncio.to_thread(relying_party.verify, await sign_in(emulator))
    assert claims["sub"] == emulator.user.sid
    assert claims["azp"] == emulator.client_sid
    assert claims["exp"] - claims["iat"] == 3600
    assert claims["iat"] - claims["auth_time"] == 5  # approved at once, polled an interval later


async def test_authlib_rejects_keys_with_empty_key_ops(emulator):
    """This is why the tests use `RfcProxy`: Twilio publishes ``"key_ops": []``, and so does the emulator."""
    published = RelyingParty(emulator, emulator.base_url + "/v1/certs")
    with pytest.raises(JoseError, match="Unsupported key_op 'verify'"):
        await asyncio.to_thread(published.verify, await sign_in(emulator))


@pytest.mark.parametrize("kept", [0, 1])
async def test_id_tokens_after_a_key_rotation(emulator, relying_party, kept):
    token = await sign_in(emulator)
    emulator.rotate_keys(keep=kept)
    if kept:
        await asyncio.to_thread(pyjwt_verify, emulator, token.id_token)
        await asyncio.to_thread(relying_party.verify, token)
    else:
        with pytest.raises(jwt.PyJWKClientError):
            await asyncio.to_thread(pyjwt_verify, emulator, token.id_token)
    fresh = await sign_in(emulator)
    await asyncio.to_thread(pyjwt_verify, emulator, fresh.id_token)
    await asyncio.to_thread(relying_party.verify, fresh)


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_pyjwt_and_authlib_reject_forged_id_tokens(emulator, relying_party, forgery):
    """The forged tokens of the emulator are invalid for other verifiers too."""
    emulator.faults.on("poll").on_success().id_token(**FORGERIES[forgery])
    token = await sign_in(emulator)
    with pytest.raises(jwt.PyJWTError):
        await asyncio.to_thread(pyjwt_verify, emulator, token.id_token)
    with pytest.raises(JoseError):
        await asyncio.to_thread(relying_party.verify, token)


@pytest.mark.parametrize("claims", [{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, {"azp": "OQ0"}, {"nonce": None}], ids=str)
async def test_authlib_rejects_a_wrong_at_hash_azp_or_nonce(emulator, relying_party, claims):
    emulator.faults.on("poll").on_success().id_token(claims=claims)
    token = await sign_in(emulator)
    nonce = "expected" if "nonce" in claims else None
    with pytest.raises(JoseError, match=next(iter(claims))):
        await asyncio.to_thread(relying_party.verify, token, nonce)


async def test_id_token_from_the_future_is_rejected_by_pyjwt(emulator, clock):
    clock.advance(HEAD_START + 60)
    token = await sign_in(emulator)
    with pytest.raises(jwt.ImmatureSignatureError):
        await asyncio.to_thread(pyjwt_verify, emulator, token.id_token)
