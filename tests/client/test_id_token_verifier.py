"""From a sign-in at the emulator to the claims of a person, and everything that must not get that far."""

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


class SignedIn:
    """A `world` whose user has signed in: `token` is theirs, `verifier` checks it."""

    def __init__(self, world, token):
        self.world, self.token = world, token
        self.clock, self.session, self.server, self.flow = world.clock, world.session, world.emulator, world.flow
        self.verifier = world.verifier()

    async def sign_in(self):
        return await self.flow.run()

    async def verify(self, token=None, **options):
        token = token or self.token
        return await self.verifier.verify(token.id_token, access_token=token.access_token, **options)

    async def refused(self, token=None, **options):
        with pytest.raises(IdTokenError) as caught:
            await self.verify(token, **options)
        assert_safe_to_log(caught.value)
        return caught.value.claim

    @property
    def fetches(self):
        return len(self.server.requests.to("certs"))


@contextlib.asynccontextmanager
async def signed_in(**options):
    async with emulated(retry=RetryPolicy.none(), **options) as world:
        yield SignedIn(world, await world.flow.run())


@pytest.mark.asyncio
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_who_signed_in(algorithm):
    async with signed_in(signing_algorithm=algorithm) as scene:
        claims = await scene.verify()
        assert claims.sub == scene.server.user.sid
        assert claims.iss == scene.server.issuer
        assert claims.aud == (scene.server.client_sid,)
        assert claims.iat == scene.clock.now().replace(microsecond=0)
        assert (claims.exp - claims.iat).total_seconds() == scene.server.policy.access_token_lifetime
        assert claims.at_hash is not None
        assert (await scene.session.fetch_user_info(subject=claims.sub)).user_sid == claims.sub
        await asyncio.gather(*(scene.verify() for _ in range(20)))
        assert scene.fetches == 1


@pytest.mark.asyncio
async def test_until_it_expires():
    async with signed_in(access_token_lifetime=600.0) as scene:
        strict = scene.world.verifier(leeway=0)
        await strict.verify(scene.token.id_token)
        scene.clock.advance(600)
        with pytest.raises(IdTokenError, match="expired"):
            await strict.verify(scene.token.id_token)
        scene.clock.advance(59)
        await scene.verify()
        scene.clock.advance(1)
        assert await scene.refused() == "exp"


@pytest.mark.asyncio
async def test_keys_that_rotate():
    async with signed_in() as scene:
        await scene.verify()
        scene.server.rotate_keys()
        new = await scene.sign_in()
        await scene.verify(new)
        await scene.verify()
        assert scene.fetches == 2
        # What is no longer published is believed for five minutes more, where nothing else asks for the keys.
        scene.server.rotate_keys(keep=0)
        await scene.verify()
        scene.clock.advance(300)
        assert await scene.refused() == "kid"
        assert await scene.refused(new) == "kid"


@pytest.mark.asyncio
async def test_a_storm_of_made_up_key_ids_reaches_the_server_once():
    async with signed_in() as scene:
        await scene.verify()
        forged = [token(header={"kid": f"made up {number}"}) for number in range(50)]
        for one in forged:
            with pytest.raises(IdTokenError):
                await scene.verifier.verify(one)
        assert scene.fetches == 2
        await scene.verify()


@pytest.mark.asyncio
async def test_an_outage_of_the_certs_endpoint():
    async with signed_in() as scene:
        scene.server.faults.on("certs").respond(503)
        with pytest.raises(ApiError):
            await scene.verify()
        await scene.verify()
        outage = scene.server.faults.on("certs").always().reset()
        scene.clock.advance(1800)
        assert (await scene.verify()).sub == scene.server.user.sid
        scene.server.rotate_keys()
        with pytest.raises(TransportError):
            await scene.verify(await scene.sign_in())
        scene.server.faults.remove(outage)
        scene.clock.advance(60)
        await scene.verify(await scene.sign_in())


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
async def test_each_forgery_is_refused_and_named(forgery, claim):
    """Fault 32."""
    async with signed_in() as scene:
        await scene.verify()
        scene.server.faults.on("token").on_success().id_token(**forgery)
        assert await scene.refused(await scene.sign_in()) == claim
        assert not scene.server.faults.unused


@pytest.mark.asyncio
async def test_an_access_token_is_no_id_token():
    """RFC 8725 3.12: the same keys sign both."""
    async with signed_in() as scene:
        with pytest.raises(IdTokenError) as caught:
            await scene.verifier.verify(scene.token.access_token)
        assert caught.value.claim == "typ"


@pytest.mark.asyncio
async def test_the_id_token_of_another_sign_in():
    async with signed_in() as scene:
        other = await scene.sign_in()
        with pytest.raises(IdTokenError) as caught:
            await scene.verifier.verify(scene.token.id_token, access_token=other.access_token)
        assert caught.value.claim == "at_hash"
        assert await scene.refused(nonce="canary") == "nonce"


@pytest.mark.asyncio
async def test_the_id_token_of_another_app():
    async with signed_in() as scene:
        other = scene.world.verifier(client_sid=scene.server.add_app("Other").sid)
        with pytest.raises(IdTokenError) as caught:
            await other.verify(scene.token.id_token)
        assert caught.value.claim == "aud"


@pytest.mark.asyncio
async def test_a_refreshed_id_token_is_of_the_same_person():
    """Rule 31."""
    async with signed_in() as scene:
        scene.clock.advance(3 * 3600)
        new = await scene.flow.refresh(scene.token)
        claims = await scene.verifier.verify_refreshed(
            new.id_token, previous=scene.token.id_token, access_token=new.access_token
        )
        assert claims.sub == scene.server.user.sid
        with pytest.raises(IdTokenError) as caught:
            await scene.verifier.verify_refreshed(new.id_token, previous=scene.token.id_token, access_token="other")
        assert caught.value.claim == "at_hash"
        scene.server.faults.on("refresh").on_success().id_token(claims={"sub": "US-canary"})
        switched = await scene.flow.refresh(new)
        assert (await scene.verify(switched)).sub == "US-canary"
        with pytest.raises(IdTokenError) as caught:
            await scene.verifier.verify_refreshed(switched.id_token, previous=new.id_token)
        assert caught.value.claim == "sub"
        assert_safe_to_log(caught.value)


@pytest.mark.asyncio
async def test_no_url_in_a_token_or_a_key_is_ever_opened():
    """Rule 25: neither a stranger's server nor any path of ours but the one for keys."""
    async with RawServer(http(200, {"keys": [jwk(name="stranger", kid="evil")]})) as evil, RawServer() as server:
        where = evil.base_url
        server.responses = [http(200, {"keys": [jwk(x5u=f"{where}/cert", x5c=["x"]), jwk(kid="b", x5u=f"{where}/b")]})]
        async with session_for(server, credentials=()) as session:
            verifier = IdTokenVerifier(session, client_sid=CLIENT)
            urls = {"jku": f"{where}/keys", "x5u": f"{where}/cert", "jwk": jwk(name="stranger"), "x5c": ["eA=="]}
            await verifier.verify(token(header=urls))
            stranger = private_key("ES256", "stranger")
            for kid in ("IC1", "evil", f"{where}/keys", ...):
                for header in (urls, {"jku": where}, {"x5u": where}, {"jwk": urls["jwk"]}):
                    with pytest.raises(IdTokenError):
                        await verifier.verify(token(header={"kid": kid, **header}, key=stranger))
        assert evil.connections == 0
        assert {request.target for request in server.requests} == {"/v1/certs"}


@pytest.mark.asyncio
async def test_the_issuer_is_the_session_s_unless_told_otherwise():
    async with scripted(http(200, {"keys": [jwk()]}), issuer="https://other.example") as (_, session):
        with pytest.raises(IdTokenError):
            await IdTokenVerifier(session, client_sid=CLIENT).verify(token())
        assert (await IdTokenVerifier(session, client_sid=CLIENT, issuer=ISSUER).verify(token())).iss == ISSUER


@pytest.mark.asyncio
async def test_the_discovery_document_s_algorithms():
    async with signed_in() as scene:
        names = (await scene.session.fetch_openid_discovery()).id_token_signing_alg_values_supported
        assert names == ("ECDSA", "RSA256")
        verifier = scene.world.verifier(algorithms=names)
        assert (await verifier.verify(scene.token.id_token)).sub == scene.server.user.sid
        only = scene.world.verifier(algorithms=["RSA256"])
        with pytest.raises(IdTokenError) as caught:
            await only.verify(scene.token.id_token)
        assert caught.value.claim == "alg"


@pytest.mark.parametrize(
    "wrong",
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
def test_what_cannot_be_right(wrong):
    with pytest.raises(ConfigurationError):
        IdTokenVerifier(OAuthSession(), **{"client_sid": CLIENT, **wrong})


@pytest.mark.asyncio
@pytest.mark.parametrize("value", [None, b"a.b.c", 5])
async def test_what_is_no_token_at_all(value):
    with pytest.raises(ConfigurationError, match="openid"):
        await IdTokenVerifier(OAuthSession(), client_sid=CLIENT).verify(value)


def test_without_the_extra(monkeypatch):
    """Said when the verifier is made, not when the first person signs in."""
    found = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.partition(".")[0] == "joserfc":
            raise ModuleNotFoundError(name, name=name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'twilio-oauth-async\[jwt\]'"):
        IdTokenVerifier(OAuthSession(), client_sid=CLIENT)


def test_the_name_alone_loads_no_jose_library():
    code = (
        "import sys; from twilio_oauth_async import IdTokenVerifier, IdTokenClaims; "
        "print(*sorted({m.split('.')[0] for m in sys.modules} & {'joserfc', 'cryptography', 'cattrs'}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_it_shows_for_whom_it_verifies():
    shown = repr(IdTokenVerifier(OAuthSession(), client_sid=CLIENT))
    assert shown == f"IdTokenVerifier(client_sid={CLIENT!r}, issuer={ISSUER!r})"
