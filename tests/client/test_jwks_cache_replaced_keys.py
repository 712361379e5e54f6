"""Keys that are replaced under the same key ID, or without one (fault 57, docs/reliability.md)."""

import asyncio

import pytest

from tests.helpers.jose import CLIENT, STAMP, jwk, private_key, token
from tests.helpers.key_server import DOWN, ES256, CacheSetup
from tests.helpers.raw_server import http
from twilio_oauth_async import IdTokenError, IdTokenVerifier, ServerError
from twilio_oauth_async.client.jwks_cache import FRESH_FOR
from twilio_oauth_async.client.search_budget import SEARCH_BURST, SEARCH_GAP
from twilio_oauth_async.oidc.jwks import MAX_TRIED

KIDS = pytest.mark.parametrize("kid", ["IC1", ...], ids=["with kid", "without kid"])


def key_set(*names, kid="IC1"):
    """Return a response with the keys of `names`, which all have the key ID `kid`."""
    return http(200, {"keys": [jwk(name=name, kid=kid) for name in names]})


def signed(name, kid="IC1", **changes):
    """Return an ID token that is signed with the key `name`."""
    return token(key=private_key("ES256", name), header={"kid": kid}, exp=STAMP + 10**6, **changes)


class Setup(CacheSetup):
    """A verifier and the server of its keys."""

    async def __aenter__(self):
        await super().__aenter__()
        self.verifier = IdTokenVerifier(self.session, client_sid=CLIENT)
        return self

    async def accepts(self, id_token):
        """Return whether the verifier accepts `id_token`; False if its signature is wrong."""
        problem = None
        try:
            await self.verifier.verify(id_token)
        except IdTokenError as error:
            problem = error
        assert problem is None or ("signature" in str(problem) and problem.__context__ is None)
        return problem is None


@pytest.mark.asyncio
@KIDS
async def test_57_replaced_key_is_fetched_at_once(kid):
    async with Setup(key_set("old", kid=kid), key_set("new", kid=kid)) as setup:
        assert await setup.accepts(signed("old", kid))
        assert await setup.accepts(signed("new", kid))
        assert setup.fetches == 2
        # The old key is withdrawn. One more fetch shows that it has not come back.
        assert not await setup.accepts(signed("old", kid))
        assert await setup.accepts(signed("new", kid))
        assert setup.fetches == 3


@pytest.mark.asyncio
@KIDS
async def test_57_signature_that_the_new_keys_do_not_match_either_is_rejected(kid):
    async with Setup(key_set("old", kid=kid), key_set("new", kid=kid)) as setup:
        await setup.accepts(signed("old", kid))
        assert not await setup.accepts(signed("attacker", kid))
        assert setup.fetches == 2
        assert await setup.accepts(signed("new", kid))


@pytest.mark.asyncio
@KIDS
async def test_57_forged_signatures_limit_the_fetches(kid):
    async with Setup(key_set("old", kid=kid), *[key_set("old", kid=kid)] * 6, key_set("new", kid=kid)) as setup:
        await setup.accepts(signed("old", kid))
        forged = signed("attacker", kid)
        for _ in range(50):
            assert not await setup.accepts(forged)
        assert setup.fetches == 1 + SEARCH_BURST
        for _ in range(2):
            setup.clock.advance(SEARCH_GAP)
            assert not await setup.accepts(forged)
        assert setup.fetches == 3 + SEARCH_BURST
        # The forged token has caused the fetch of the new key.
        assert await setup.accepts(signed("new", kid))


@pytest.mark.asyncio
async def test_57_forged_signatures_and_unknown_key_ids_share_one_limit():
    async with Setup(key_set("old")) as setup:
        await setup.accepts(signed("old"))
        for number in range(SEARCH_BURST):
            assert not await setup.accepts(signed("attacker"))
            with pytest.raises(IdTokenError, match="no key"):
                await setup.verifier.verify(signed("attacker", f"random {number}"))
        assert setup.fetches == 1 + SEARCH_BURST


@pytest.mark.asyncio
async def test_57_forged_signature_as_first_token_causes_one_fetch():
    """The keys were requested after this token had arrived, so there are no newer ones."""
    async with Setup(key_set("old")) as setup:
        assert not await setup.accepts(signed("attacker"))
        assert setup.fetches == 1
        setup.clock.advance(FRESH_FOR)
        assert not await setup.accepts(signed("attacker"))
        assert setup.fetches == 2


@pytest.mark.asyncio
async def test_57_unknown_key_id_whose_key_does_not_verify_causes_one_fetch():
    async with Setup(key_set("old"), key_set("old", kid="IC2")) as setup:
        await setup.accepts(signed("old"))
        assert not await setup.accepts(signed("attacker", "IC2"))
        assert setup.fetches == 2


@pytest.mark.asyncio
async def test_57_many_tokens_of_a_replaced_key_share_one_fetch():
    gate = asyncio.Event()

    async def respond_later(writer):
        await gate.wait()
        writer.write(key_set("new"))

    async with Setup(key_set("old"), respond_later) as setup:
        await setup.accepts(signed("old"))
        tasks = [asyncio.create_task(setup.accepts(signed("new"))) for _ in range(50)]
        while setup.fetches < 2:
            await asyncio.sleep(0)
        gate.set()
        assert all(await asyncio.gather(*tasks))
        assert setup.fetches == 2


@pytest.mark.asyncio
async def test_57_replaced_key_during_an_outage_raises_the_error_of_the_fetch():
    """The token may be genuine. `IdTokenError` would make a grant revoke the tokens of the user."""
    async with Setup(key_set("old"), *[DOWN] * SEARCH_BURST, key_set("new")) as setup:
        await setup.accepts(signed("old"))
        for _ in range(SEARCH_BURST + 1):  # also if no fetch is allowed any more
            with pytest.raises(ServerError):
                await setup.verifier.verify(signed("new"))
        assert await setup.accepts(signed("old"))
        assert setup.fetches == 1 + SEARCH_BURST
        setup.clock.advance(SEARCH_GAP)
        assert await setup.accepts(signed("new"))
        assert not await setup.accepts(signed("attacker"))


@pytest.mark.asyncio
async def test_57_unchanged_keys_stay_imported():
    async with Setup(key_set("old"), key_set("old"), key_set("new")) as setup:
        first = await setup.find("IC1")
        assert await setup.cache.find_newer(ES256, "IC1", tried=first, since=1) == ()
        assert await setup.find("IC1") is first
        newer = await setup.cache.find_newer(ES256, "IC1", tried=first, since=2)
        assert len(newer) == 1
        assert newer is not first
        # Another call has fetched the newer keys meanwhile.
        assert await setup.cache.find_newer(ES256, "IC1", tried=first, since=2) is newer
        assert setup.fetches == 3


@pytest.mark.asyncio
async def test_57_last_of_many_keys_without_key_id_verifies():
    names = [f"other {number % 3}" for number in range(MAX_TRIED - 1)]
    async with Setup(key_set(*names, "last", kid=...)) as setup:
        assert await setup.accepts(signed("last", ...))


@pytest.mark.asyncio
async def test_57_more_keys_without_key_id_than_are_tried_error_says_so():
    names = [f"other {number % 3}" for number in range(MAX_TRIED)]
    async with Setup(key_set(*names, "last", kid=...)) as setup:
        with pytest.raises(IdTokenError, match=f"the first {MAX_TRIED} keys"):
            await setup.verifier.verify(signed("last", ...))
