"""Rows 12, 17 and 22 to 26: what can go wrong between the store, the lock, the request and the save."""

import asyncio
import logging

import attrs
import pytest

from tests.helpers.event_loop import run_turns
from tests.helpers.scripted_manager import ScriptedManager, login_required, scripted_manager_near_expiry
from twilio_oauth_async import (
    AnswerLostError,
    ApiError,
    IdTokenError,
    InvalidClientError,
    InvalidGrantError,
    LoginRequired,
    ProtocolError,
    RateLimitedError,
    ServerError,
    StoreConflict,
    TransportError,
)

pytestmark = pytest.mark.asyncio

LOST = [
    AnswerLostError("lost"),
    ServerError(status=500),
    ServerError(status=502),
    ProtocolError("odd", status=200),
    ApiError(status=408),
]
DEFINITE = [
    InvalidClientError(status=401),
    ApiError(status=403),
    TransportError("never sent"),
    RateLimitedError(status=429),
]


@pytest.mark.parametrize(
    "error", LOST + DEFINITE, ids=lambda error: f"{type(error).__name__}{getattr(error, 'status', '')}"
)
async def test_a_valid_token_is_served_while_its_refresh_fails(error, caplog):
    setup = await scripted_manager_near_expiry(error)
    assert await setup.manager.access_token() == "acc-canary-1"
    assert "could not be refreshed and is used on" in caplog.text
    # Nobody knocks at the server again at once.
    assert await setup.manager.access_token() == "acc-canary-1"
    assert len(setup.grant.refreshed) == 1


@pytest.mark.parametrize("error", DEFINITE, ids=lambda error: type(error).__name__)
async def test_after_a_definite_refusal_the_refresh_token_is_as_good_as_before(error):
    setup = await scripted_manager_near_expiry(error)
    await setup.manager.token()
    assert (await setup.stored()).unanswered == 0
    setup.clock.advance(50)
    assert await setup.manager.access_token() == "acc-canary-2"
    assert setup.grant.refreshed == ["ref-canary-1", "ref-canary-1"]


@pytest.mark.parametrize("error", LOST, ids=lambda error: type(error).__name__)
async def test_row_25_used_to_its_end_then_tried_once_more_then_a_person(error):
    setup = await scripted_manager_near_expiry(error, error)
    await setup.manager.token()
    assert (await setup.stored()).unanswered == 1
    setup.clock.advance(49)
    assert await setup.manager.access_token() == "acc-canary-1"
    assert len(setup.grant.refreshed) == 1
    setup.clock.advance(1)
    with pytest.raises(type(error)):
        await setup.manager.token()
    assert len(setup.grant.refreshed) == 2
    setup.clock.advance(1)
    with pytest.raises(LoginRequired, match="never answered"):
        await setup.manager.token()
    assert len(setup.grant.refreshed) == 2


async def test_row_25_survives_a_restart():
    setup = await scripted_manager_near_expiry(AnswerLostError("lost"), AnswerLostError("lost"))
    await setup.manager.token()
    restarted = setup.another()
    assert await restarted.access_token() == "acc-canary-1"
    setup.clock.advance(50)
    with pytest.raises(AnswerLostError):
        await restarted.token()
    assert await login_required(setup.another())
    assert len(setup.grant.refreshed) == 2


async def test_row_25_the_second_try_may_succeed():
    setup = await scripted_manager_near_expiry(AnswerLostError("lost"))
    await setup.manager.token()
    setup.clock.advance(50)
    assert await setup.manager.access_token() == "acc-canary-2"
    assert (await setup.stored()).unanswered == 0


async def test_row_26_killed_after_the_request_leaves_the_mark():
    setup = await scripted_manager_near_expiry()
    setup.grant.gate = asyncio.Event()
    waiting = asyncio.create_task(setup.manager.token())
    await run_turns()
    # What another process would read after a kill -9 here:
    killed = await setup.stored()
    assert (killed.unanswered, killed.generation) == (1, 1)
    setup.grant.gate.set()
    await waiting


@pytest.mark.parametrize("advance", [0, 50])
async def test_the_server_refuses_the_refresh_token(advance):
    setup = await scripted_manager_near_expiry(InvalidGrantError(status=400))
    setup.clock.advance(advance)
    if advance:
        assert await login_required(setup.manager)
    else:
        assert await setup.manager.access_token() == "acc-canary-1"
        setup.clock.advance(50)
        assert await login_required(setup.manager)
    # Written down: no restart sends it again.
    assert await login_required(setup.another())
    assert setup.grant.refreshed == ["ref-canary-1"]
    assert (await setup.stored()).token.refresh_token is None


async def theirs_of(setup):
    """Return what another process has refreshed the stored token to."""
    token = setup.grant.token(access_token="theirs")
    return attrs.evolve(await setup.stored(), token=token, generation=7, obtained_at=setup.clock.now())


async def test_row_23_a_sibling_was_faster():
    setup = await scripted_manager_near_expiry(InvalidGrantError(status=400))
    theirs = await theirs_of(setup)

    async def refresh(token, own=setup.grant.refresh):
        # Somebody who does not share our lock.
        await setup.store.inner.save("me", theirs, replaces=theirs.epoch)
        return await own(token)

    setup.grant.refresh = refresh
    assert await setup.manager.access_token() == "theirs"
    assert await setup.stored() == theirs


async def test_a_save_that_comes_too_late_gives_way():
    setup = await scripted_manager_near_expiry()
    theirs = await theirs_of(setup)

    async def refresh(token, own=setup.grant.refresh):
        await setup.store.inner.save("me", theirs, replaces=theirs.epoch)
        return await own(token)

    setup.grant.refresh = refresh
    assert await setup.manager.access_token() == "theirs"
    assert await setup.stored() == theirs


async def test_a_conflict_over_nothing_is_told():
    setup = ScriptedManager()
    setup.store.fail("save", error=StoreConflict("odd"))
    with pytest.raises(StoreConflict):
        await setup.manager.login()


async def test_row_17_born_expired_is_refreshed_with_a_gap():
    setup = ScriptedManager(lifetime=-5)
    await setup.manager.login()
    for _ in range(10):
        await setup.manager.token()
    assert setup.grant.refreshed == []
    for refreshes in (1, 2, 3):
        setup.clock.advance(1)
        for _ in range(10):
            await setup.manager.token()
        assert len(setup.grant.refreshed) == refreshes


async def test_retry_after_is_kept():
    setup = await scripted_manager_near_expiry(RateLimitedError(status=429, retry_after=30.0))
    await setup.manager.token()
    setup.clock.advance(29.9)
    await setup.manager.token()
    assert len(setup.grant.refreshed) == 1
    setup.clock.advance(0.1)
    await setup.manager.token()
    assert len(setup.grant.refreshed) == 2


async def test_a_failure_is_told_again_without_asking_again():
    setup = await scripted_manager_near_expiry(RateLimitedError(status=429), RateLimitedError(status=429))
    setup.clock.advance(60)
    for _ in range(5):
        with pytest.raises(RateLimitedError):
            await setup.manager.token()
    assert len(setup.grant.refreshed) == 1


class Verifier:
    def __init__(self, *script):
        self.script = list(script)
        self.seen = []

    async def verify(self, id_token, *, nonce=None, access_token=None):
        self.seen.append((id_token, access_token))
        if self.script and (error := self.script.pop(0)):
            raise error

    async def verify_refreshed(self, id_token, *, previous, access_token=None):
        self.seen.append((previous, id_token, access_token))
        if self.script and (error := self.script.pop(0)):
            raise error


class TestVerifier:
    async def test_what_comes_in_is_verified(self):
        verifier = Verifier()
        setup = ScriptedManager({"id_token": "one"}, {}, {"id_token": "two"}, verifier=verifier)
        await setup.manager.login()
        for _ in range(2):
            setup.clock.advance(3600)
            await setup.manager.token()
        # The second token came without one: who signed in is still known, and the third is held against it.
        assert verifier.seen == [("one", "acc-canary-1"), ("one", "two", "acc-canary-3")]

    async def test_a_refresh_for_somebody_else_is_not_used(self):
        setup = ScriptedManager(
            {"id_token": "one"}, {"id_token": "two"}, verifier=Verifier(None, IdTokenError("no", claim="sub"))
        )
        await setup.manager.login()
        setup.clock.advance(3600)
        with pytest.raises(IdTokenError):
            await setup.manager.token()
        assert (await setup.stored()).token.access_token == "acc-canary-1"

    async def test_a_login_with_a_bad_id_token_is_none(self):
        setup = ScriptedManager({"id_token": "one"}, verifier=Verifier(IdTokenError("no", claim="aud")))
        with pytest.raises(IdTokenError):
            await setup.manager.login()
        assert await setup.stored() is None
        assert await login_required(setup.manager)

    async def test_a_token_is_not_lost_because_the_keys_cannot_be_had(self, caplog):
        setup = ScriptedManager({"id_token": "one"}, verifier=Verifier(TransportError("down")))
        token = await setup.manager.login()
        assert (token.access_token, token.id_token) == ("acc-canary-1", None)
        assert "left out" in caplog.text


async def test_what_is_logged_holds_no_secret(caplog):
    caplog.set_level(logging.DEBUG)
    setup = await scripted_manager_near_expiry(*LOST)
    for seconds in (0, 60, 5, 5):
        setup.clock.advance(seconds)
        await asyncio.gather(setup.manager.token(), return_exceptions=True)
    assert caplog.records
    assert "canary" not in caplog.text
    assert attrs.asdict(await setup.stored())["unanswered"] >= 1
