"""`IdTokenVerifier`: returns the claims of the user who signed in, and rejects every other token."""

import asyncio
import builtins
import contextlib
import subprocess
import sys

import pytest

from tests.helpers.jose import CLIENT, ISSUER, assert_safe_to_log, jwk, private_key, token
from tests.helpers.raw_server import RawServer, http
from tests.helpers.scripted_server import scripted, session_for
from tests.helpers.world import emulated
from twilio_oauth_async import (
    ApiError,
    ConfigurationError,
    IdTokenError,
    IdTokenVerifier,
    OAuthSession,
    RetryPolicy,
    TransportError,
)
from twilio_oauth_async.client.search_budget import SEARCH_BURST


class SignedIn:
    """A `World` whose user has signed in. `token` is the token of this user."""

    def __init__(self, world, token):
        self.world, self.token = world, token
        self.clock, self.session, self.emulator, self.flow = world.clock, world.session, world.emulator, world.flow
        self.verifier = world.verifier()

    async def sign_in(self):
        return await self.flow.run()

    async def verify(self, token=None, **options):
        token = token or self.token
        return await self.verifier.verify(token.id_token, access_token=token.access_token, **options)

    async def rejected_claim(self, token=None, **options):
        """Verify a token that must be rejected; return the claim that the error names."""
        with pytest.raises(IdTokenError) as caught:
            await self.verify(token, **options)
        assert_safe_to_log(caught.value)
        return caught.value.claim

    @property
    def fetches(self):
        return len(self.emulator.requests.to("certs"))


@contextlib.asynccontextmanager
async def signed_in(**options):
    async with emulated(retry=RetryPolicy.none(), **options) as world:
        yield SignedIn(world, await world.flow.run())


@pytest.mark.asyncio
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_verify_valid_id_token_returns_claims_of_the_user(algorithm):
    async with signed_in(signing_algorithm=algorithm) as setup:
        claims = await setup.verify()
        assert claims.sub == setup.emulator.user.sid
        assert claims.iss == setup.emulator.issuer
        assert claims.aud == (setup.emulator.client_sid,)
        assert claims.iat == setup.clock.now().replace(microsecond=0)
        assert (claims.exp - claims.iat).total_seconds() == setup.emulator.policy.access_token_lifetime
        assert claims.at_hash is not None
        assert (await setup.session.fetch_user_info(subject=claims.sub)).user_sid == claims.sub
        await asyncio.gather(*(setup.verify() for _ in range(20)))
        assert setup.fetches == 1


@pytest.mark.asyncio
async def test_verify_expired_id_token_raises_after_the_leeway():
    async with signed_in(access_token_lifetime=600.0) as setup:
        strict = setup.world.verifier(leeway=0)
        await strict.verify(setup.token.id_token)
        setup.clock.advance(600)
        with pytest.raises(IdTokenError, match="expired"):
            await strict.verify(setup.token.id_token)
        setup.clock.advance(59)
        await setup.verify()
        setup.clock.advance(1)
        assert await setup.rejected_claim() == "exp"


@pytest.mark.asyncio
async def test_verify_after_key_rotation_fetches_new_keys_and_rejects_withdrawn_ones():
    async with signed_in() as setup:
        await setup.verify()
        setup.emulator.rotate_keys()
        new = await setup.sign_in()
        await setup.verify(new)
        await setup.verify()
        assert setup.fetches == 2
        # A withdrawn key is accepted until the next fetch, at most five minutes later.
        setup.emulator.rotate_keys(keep=0)
        await setup.verify()
        setup.clock.advance(300)
        assert await setup.rejected_claim() == "kid"
        assert await setup.rejected_claim(new) == "kid"


@pytest.mark.asyncio
async def test_verify_many_unknown_key_ids_limits_the_fetches():
    async with signed_in() as setup:
        await setup.verify()
        for number in range(50):
            with pytest.raises(IdTokenError):
                await setup.verifier.verify(token(header={"kid": f"unknown {number}"}))
        assert setup.fetches == 1 + SEARCH_BURST
        await setup.verify()


@pytest.mark.asyncio
async def test_verify_during_certs_outage_uses_cached_keys():
    async with signed_in() as setup:
        setup.emulator.faults.on("certs").respond(503)
        with pytest.raises(ApiError):
            await setup.verify()
        await setup.verify()
        outage = setup.emulator.faults.on("certs").always().reset()
        setup.clock.advance(1800)
        assert (await setup.verify()).sub == setup.emulator.user.sid
        setup.emulator.rotate_keys()
        with pytest.raises(TransportError):
            await setup.verify(await setup.sign_in())
        setup.emulator.faults.remove(outage)
        setup.clock.advance(60)
        await setup.verify(await setup.sign_in())


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("forgery", "claim"),
    [
        ({"signed_by": "none"}, "alg"),
        ({"signed_by": "hmac"}, "alg"),
        ({"signed_by": "other_key"}, None),
        ({"header": {"crit": ["exp"]}}, "crit"),
        ({"header": {"kid": "../../canary"}}, "kid"),
        ({"header": {"typ": "at+jwt"}}, "typ"),
        ({"header": {"alg": "RS256"}}, "kid"),
        ({"claims": {"iss": "https://evil-canary.example"}}, "iss"),
        ({"claims": {"aud": "OQ-canary"}}, "aud"),
        ({"claims": {"azp": "OQ-canary"}}, "azp"),
        ({"claims": {"exp": True}}, "exp"),
        ({"claims": {"exp": "4102444800"}}, "exp"),
        ({"claims": {"exp": 1}}, "exp"),
        ({"claims": {"nbf": 4102444800}}, "nbf"),
        ({"claims": {"iat": 4102444800}}, "iat"),
        ({"claims": {"sub": ""}}, "sub"),
        ({"claims": {"at_hash": "canary"}}, "at_hash"),
        ({"omit": ("exp",)}, "exp"),
        ({"omit": ("iat",)}, "iat"),
        ({"omit": ("sub",)}, "sub"),
        ({"omit": ("iss",)}, "iss"),
        ({"omit": ("aud",)}, "aud"),
    ],
    ids=str,
)
async def test_verify_forged_id_token_raises_and_names_the_claim(forgery, claim):
    """Fault 32 (docs/reliability.md)."""
    async with signed_in() as setup:
        await setup.verify()
        setup.emulator.faults.on("token").on_success().id_token(**forgery)
        assert await setup.rejected_claim(await setup.sign_in()) == claim
        assert not setup.emulator.faults.unused


@pytest.mark.asyncio
async def test_verify_access_token_is_rejected():
    """RFC 8725 3.12: the same keys sign access tokens and ID tokens."""
    async with signed_in() as setup:
        with pytest.raises(IdTokenError) as caught:
            await setup.verifier.verify(setup.token.access_token)
        assert caught.value.claim == "typ"


@pytest.mark.asyncio
async def test_verify_id_token_of_another_sign_in_is_rejected():
    async with signed_in() as setup:
        other = await setup.sign_in()
        with pytest.raises(IdTokenError) as caught:
            await setup.verifier.verify(setup.token.id_token, access_token=other.access_token)
        assert caught.value.claim == "at_hash"
        assert await setup.rejected_claim(nonce="canary") == "nonce"


@pytest.mark.asyncio
async def test_verify_id_token_of_another_app_is_rejected():
    async with signed_in() as setup:
        other = setup.world.verifier(client_sid=setup.emulator.add_app("Other").sid)
        with pytest.raises(IdTokenError) as caught:
            await other.verify(setup.token.id_token)
        assert caught.value.claim == "aud"


@pytest.mark.asyncio
async def test_verify_refreshed_with_other_subject_is_rejected():
    """Rule 31."""
    async with signed_in() as setup:
        setup.clock.advance(3 * 3600)
        new = await setup.flow.refresh(setup.token)
        claims = await setup.verifier.verify_refreshed(
            new.id_token, previous=setup.token.id_token, access_token=new.access_token
        )
        assert claims.sub == setup.emulator.user.sid
        with pytest.raises(IdTokenError) as caught:
            await setup.verifier.verify_refreshed(
                new.id_token, previous=setup.token.id_token, access_token="another token"
            )
        assert caught.value.claim == "at_hash"
        setup.emulator.faults.on("refresh").on_success().id_token(claims={"sub": "US-canary"})
        switched = await setup.flow.refresh(new)
        assert (await setup.verify(switched)).sub == "US-canary"
        with pytest.raises(IdTokenError) as caught:
            await setup.verifier.verify_refreshed(switched.id_token, previous=new.id_token)
        assert caught.value.claim == "sub"
        assert_safe_to_log(caught.value)


@pytest.mark.asyncio
async def test_verify_opens_no_url_from_a_token_or_key():
    """Rule 25, CVE-2018-0114: a key in the token itself was trusted. Here only the certs endpoint gets requests."""
    async with (
        RawServer(http(200, {"keys": [jwk(name="attacker", kid="attacker")]})) as attacker,
        RawServer() as server,
    ):
        url = attacker.base_url
        server.responses = [http(200, {"keys": [jwk(x5u=f"{url}/cert", x5c=["x"]), jwk(kid="b", x5u=f"{url}/b")]})]
        async with session_for(server, credentials=()) as session:
            verifier = IdTokenVerifier(session, client_sid=CLIENT)
            members = {"jku": f"{url}/keys", "x5u": f"{url}/cert", "jwk": jwk(name="attacker"), "x5c": ["eA=="]}
            await verifier.verify(token(header=members))
            attacker_key = private_key("ES256", "attacker")
            for kid in ("IC1", "attacker", f"{url}/keys", ...):
                for header in (members, {"jku": url}, {"x5u": url}, {"jwk": members["jwk"]}):
                    with pytest.raises(IdTokenError):
                        await verifier.verify(token(header={"kid": kid, **header}, key=attacker_key))
        assert attacker.connections == 0
        assert {request.target for request in server.requests} == {"/v1/certs"}


@pytest.mark.asyncio
async def test_verifier_without_issuer_requires_the_issuer_of_the_session():
    async with scripted(http(200, {"keys": [jwk()]}), issuer="https://other.example") as (_, session):
        with pytest.raises(IdTokenError):
            await IdTokenVerifier(session, client_sid=CLIENT).verify(token())
        assert (await IdTokenVerifier(session, client_sid=CLIENT, issuer=ISSUER).verify(token())).iss == ISSUER


@pytest.mark.asyncio
async def test_verifier_accepts_algorithm_names_of_the_discovery_document():
    async with signed_in() as setup:
        names = (await setup.session.fetch_openid_discovery()).id_token_signing_alg_values_supported
        assert names == ("ECDSA", "RSA256")
        verifier = setup.world.verifier(algorithms=names)
        assert (await verifier.verify(setup.token.id_token)).sub == setup.emulator.user.sid
        rsa_verifier = setup.world.verifier(algorithms=["RSA256"])
        with pytest.raises(IdTokenError) as caught:
            await rsa_verifier.verify(setup.token.id_token)
        assert caught.value.claim == "alg"


@pytest.mark.parametrize(
    "arguments",
    [
        {"client_sid": ""},
        {"client_sid": None},
        {"issuer": ""},
        {"issuer": "http://iam.twilio.com"},
        {"issuer": "iam.twilio.com"},
        {"algorithms": ["none"]},
        {"algorithms": []},
        {"algorithms": "ES256"},
        {"leeway": -1},
        {"leeway": 60.1},
        {"leeway": float("nan")},
        {"leeway": float("inf")},
    ],
    ids=str,
)
def test_verifier_with_invalid_argument_raises(arguments):
    with pytest.raises(ConfigurationError):
        IdTokenVerifier(OAuthSession(), **{"client_sid": CLIENT, **arguments})


@pytest.mark.asyncio
@pytest.mark.parametrize("value", [None, b"a.b.c", 5])
async def test_verify_value_that_is_not_a_string_raises(value):
    with pytest.raises(ConfigurationError, match="openid"):
        await IdTokenVerifier(OAuthSession(), client_sid=CLIENT).verify(value)


def test_verifier_without_jwt_extra_raises_when_created(monkeypatch):
    """The error is raised when the verifier is created, not when the first user signs in."""
    original = builtins.__import__

    def import_without_joserfc(name, *args, **kwargs):
        if name.partition(".")[0] == "joserfc":
            raise ModuleNotFoundError(name, name=name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", import_without_joserfc)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'twilio-oauth-async\[jwt\]'"):
        IdTokenVerifier(OAuthSession(), client_sid=CLIENT)


def test_importing_the_verifier_loads_no_jose_library():
    code = (
        "import sys; from twilio_oauth_async import IdTokenVerifier, IdTokenClaims; "
        "print(*sorted({m.split('.')[0] for m in sys.modules} & {'joserfc', 'cryptography', 'cattrs'}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_verifier_repr_shows_client_and_issuer():
    verifier = IdTokenVerifier(OAuthSession(), client_sid=CLIENT)
    assert repr(verifier) == f"IdTokenVerifier(client_sid={CLIENT!r}, issuer={ISSUER!r})"
