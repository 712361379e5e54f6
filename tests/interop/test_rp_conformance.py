"""The modules of the OpenID Foundation's tests for relying parties that concern this client, rebuilt here.

Each test has the name of a module of https://gitlab.com/openid/conformance-suite (profile OIDCC, response type
``code``). The emulator is the OpenID provider, over a real socket. The foundation's suite checks which requests a
client sends; these tests also check the error, and that the tokens of a rejected response are revoked.

Not rebuilt, because the client has no such function:

- front-channel tokens: missing-athash, invalid-chash, missing-chash, form-post-error
- registration and discovery of other providers: dynamic-registration, discovery-webfinger-acct, discovery-webfinger-url
- request-uri-signed-none, request-uri-signed-rs256, mtls-endpoint-aliases, aggregated-claims, distributed-claims,
  userinfo-signed, userinfo-bearer-body, 3rd-party-init-login, and the logout modules
- client-secret-basic: Twilio's API takes the secret of an OAuth app as a form parameter.
"""

import contextlib

import attrs
import pytest

from tests.helpers.jose import CLIENT, jwk
from tests.helpers.verified_grant import OTHER_USER, verified_grant
from twilio_oauth_async import IdTokenError, ProtocolError

pytestmark = pytest.mark.asyncio

GENERATIONS = pytest.mark.parametrize("api", ["v1", "v2"])
ALGORITHMS = pytest.mark.parametrize("algorithm", ["ES256", "RS256"])


class RelyingParty:
    """A `VerifiedGrant` of the code grant, and what the emulator has recorded of it."""

    def __init__(self, grant):
        self.grant, self.emulator, self.session, self.faults = grant, grant.emulator, grant.world.session, grant.faults
        self.sign_in, self.flow = grant.sign_in, grant.flow

    async def user_info(self, token):
        """Fetch the user info for the subject of the ID token, as an application does after a sign-in."""
        claims = await self.flow.verifier.verify(token.id_token)
        return await self.session.fetch_user_info(access_token=token.access_token, subject=claims.sub)

    async def signs_in(self):
        token = await self.sign_in()
        return (await self.user_info(token)).user_sid == self.emulator.user.sid

    async def published_keys(self):
        return [dict(key) for key in (await self.session.fetch_certs()).keys]

    def publish(self, keys):
        """Publish other keys than those of the emulator."""
        self.faults.on("certs").always().change(keys=keys)

    def requests(self, target):
        return self.emulator.requests.to(target)


@contextlib.asynccontextmanager
async def relying_party(api="v1", algorithm="ES256", **options):
    async with verified_grant(api, world={"signing_algorithm": algorithm}, **options) as grant:
        yield RelyingParty(grant)


@GENERATIONS
@ALGORITHMS
async def test_oidcc_client_test(api, algorithm):
    async with relying_party(api, algorithm) as party:
        assert await party.signs_in()
        assert len(party.requests("code")) == len(party.requests("userinfo")) == 1


INVALID_ID_TOKENS = {
    "oidcc-client-test-invalid-iss": ({"claims": {"iss": "https://other.example"}}, "iss"),
    "oidcc-client-test-invalid-aud": ({"claims": {"aud": "OQ" + "0" * 32}}, "aud"),
    "oidcc-client-test-missing-aud": ({"omit": ["aud"]}, "aud"),
    "oidcc-client-test-missing-iat": ({"omit": ["iat"]}, "iat"),
    "oidcc-client-test-missing-sub": ({"omit": ["sub"]}, "sub"),
    "oidcc-client-test-nonce-invalid": ({"claims": {"nonce": "other"}}, "nonce"),
    "oidcc-client-test-invalid-athash": ({"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}, "at_hash"),
    "oidcc-client-test-idtoken-sig-none": ({"signed_by": "none"}, "alg"),
    "oidcc-client-test-invalid-sig-hs256": ({"signed_by": "hmac"}, "alg"),
}


@pytest.mark.parametrize("module", INVALID_ID_TOKENS)
async def test_module_with_invalid_id_token_is_rejected(module):
    forgery, claim = INVALID_ID_TOKENS[module]
    async with relying_party() as party:
        party.faults.on("code").on_success().id_token(**forgery)
        assert (await party.grant.rejected(party.sign_in())).claim == claim
        assert party.requests("userinfo") == []
        assert await party.grant.is_revoked(party.grant.received[0])


@GENERATIONS
@pytest.mark.parametrize(
    "algorithm",
    [
        pytest.param("ES256", id="oidcc-client-test-invalid-sig-es256"),
        pytest.param("RS256", id="oidcc-client-test-invalid-sig-rs256"),
    ],
)
async def test_module_with_invalid_signature_is_rejected(api, algorithm):
    async with relying_party(api, algorithm) as party:
        party.faults.on("code").on_success().id_token(signed_by="other_key")
        assert "signature" in str(await party.grant.rejected(party.sign_in()))
        assert party.requests("userinfo") == []
        assert await party.grant.is_revoked(party.grant.received[0])


async def test_oidcc_client_test_idtoken_sig_rs256():
    async with relying_party(algorithm="RS256") as party:
        assert await party.signs_in()


@ALGORITHMS
async def test_oidcc_client_test_kid_absent_single_jwks(algorithm):
    async with relying_party(algorithm=algorithm) as party:
        keys = await party.published_keys()
        party.publish([key for key in keys if key["alg"] == algorithm])
        party.faults.on("code").on_success().id_token(header={"kid": None})
        assert await party.signs_in()


@ALGORITHMS
async def test_oidcc_client_test_kid_absent_multiple_jwks(algorithm):
    """The module allows a client to reject the ID token, or to try all keys; this one tries them."""
    async with relying_party(algorithm=algorithm) as party:
        keys = await party.published_keys()
        party.publish([*(jwk(algorithm, name, kid=...) for name in "abc"), *({**key, "kid": None} for key in keys)])
        party.faults.on("code").on_success().id_token(header={"kid": None})
        assert await party.signs_in()


async def test_oidcc_client_test_userinfo_invalid_sub():
    async with relying_party() as party:
        token = await party.sign_in()
        party.faults.on("userinfo").change(user_sid=OTHER_USER)
        with pytest.raises(IdTokenError) as caught:
            await party.user_info(token)
        assert caught.value.claim == "sub"


async def test_oidcc_client_test_userinfo_bearer_header():
    async with relying_party() as party:
        await party.signs_in()
        [request] = party.requests("userinfo")
        assert request.headers["Authorization"].startswith("Bearer ")
        assert request.method == "GET"
        assert not request.form


async def test_oidcc_client_test_scope_userinfo_claims():
    async with relying_party(scopes=["openid", "profile", "email"]) as party:
        info = await party.user_info(await party.sign_in())
        assert info.email == party.emulator.user.email
        assert info.friendly_name is not None


@GENERATIONS
async def test_oidcc_client_test_nonce_unless_code_flow(api):
    """The module allows the code grant without a nonce; this client always sends a new one."""
    async with relying_party(api) as party:
        pending = [await party.flow.start() for _ in range(2)]
        assert all(f"nonce={one.nonce}" in one.url for one in pending)
        assert pending[0].nonce != pending[1].nonce


async def test_oidcc_client_test_discovery_openid_config():
    async with relying_party() as party:
        document = await party.session.fetch_openid_discovery()
        assert document.issuer == party.emulator.issuer
        assert (await party.flow.start()).url.startswith(document.authorization_endpoint)


async def test_oidcc_client_test_discovery_jwks_uri_keys():
    """The keys are fetched from the fixed path of Twilio's contract; its discovery document names another one."""
    async with relying_party() as party:
        await party.sign_in()
        assert [request.path for request in party.requests("certs")] == ["/v1/certs"]


async def test_oidcc_client_test_discovery_issuer_mismatch():
    async with relying_party() as party:
        party.faults.on("discovery").always().change(issuer="https://other.example")
        with pytest.raises(ProtocolError, match="issuer"):
            await party.flow.start()


@ALGORITHMS
async def test_oidcc_client_test_signing_key_rotation(algorithm):
    """The keys are rotated between two sign-ins; the second one causes a second request for the keys."""
    async with relying_party(algorithm=algorithm) as party:
        assert await party.signs_in()
        party.emulator.rotate_keys(keep=0)
        assert await party.signs_in()
        assert len(party.requests("certs")) == 2
        assert len(party.requests("userinfo")) == 2


@ALGORITHMS
async def test_oidcc_client_test_signing_key_rotation_just_before_signing(algorithm):
    """The keys are rotated between the authorization and the token request of one sign-in."""
    async with relying_party(algorithm=algorithm) as party:
        await party.sign_in()
        pending = await party.flow.start()
        callback = await party.emulator.authorize(pending.url)
        party.emulator.rotate_keys(keep=0)
        token = await party.flow.finish(pending, callback)
        assert (await party.user_info(token)).user_sid == party.emulator.user.sid
        assert len(party.requests("certs")) == 2


@pytest.mark.parametrize("kid", ["same", None])
@ALGORITHMS
async def test_oidcc_client_test_signing_key_rotation_with_the_same_kid(algorithm, kid):
    """Not a module: the new keys have the key ID of the old ones, or none (fault 57, docs/reliability.md)."""
    async with relying_party(algorithm=algorithm) as party:
        for _ in range(2):
            party.faults.clear()
            party.publish([{**key, "kid": kid} for key in await party.published_keys()])
            party.faults.on("code").on_success().always().id_token(header={"kid": kid})
            assert await party.signs_in()
            party.emulator.rotate_keys(keep=0)


@GENERATIONS
@ALGORITHMS
async def test_oidcc_client_test_refresh_token(api, algorithm):
    async with relying_party(api, algorithm) as party:
        first = await party.sign_in()
        second = await party.flow.refresh(first)
        assert second == party.grant.received[1]
        assert second.access_token != first.access_token
        assert second.id_token not in {None, first.id_token}
        assert (await party.user_info(second)).user_sid == party.emulator.user.sid


@GENERATIONS
@pytest.mark.parametrize(
    ("claims", "claim"),
    [
        pytest.param({"iss": "https://other.example"}, "iss", id="oidcc-client-test-refresh-token-invalid-issuer"),
        pytest.param({"sub": OTHER_USER}, "sub", id="oidcc-client-test-refresh-token-invalid-sub"),
        pytest.param({"aud": CLIENT, "azp": CLIENT}, "aud", id="not a module: aud of another client"),
        pytest.param({"azp": CLIENT}, "azp", id="not a module: azp of another client"),
    ],
)
async def test_module_with_refresh_for_another_party_is_rejected(api, claims, claim):
    async with relying_party(api) as party:
        first = await party.sign_in()
        party.faults.on("refresh").on_success().id_token(claims=claims)
        assert (await party.grant.rejected(party.flow.refresh(first))).claim == claim
        assert party.requests("userinfo") == []
        assert await party.grant.is_revoked(party.grant.received[1])


@pytest.mark.parametrize("name", ["azp", "nonce"])
async def test_refresh_with_a_claim_that_the_first_id_token_did_not_have_keeps_that_id_token(name):
    """Not a module: OpenID Connect Core 12.2. The tokens are kept: the refresh token may have been rotated."""
    async with relying_party() as party:
        first = await party.sign_in()
        party.faults.on("refresh").on_success().id_token(omit=["azp", "nonce"])
        without = await party.flow.refresh(attrs.evolve(first, id_token=None))
        value = party.emulator.client_sid if name == "azp" else "new"
        omitted = ["nonce" if name == "azp" else "azp"]
        party.faults.on("refresh").on_success().id_token(omit=omitted, claims={name: value})
        refreshed = await party.flow.refresh(without)
        assert refreshed == attrs.evolve(party.grant.received[2], id_token=without.id_token)
        assert party.grant.revocations == 0
