"""From the approval to the stored token: a code is exchanged once, and its token is neither lost nor doubled."""

import asyncio

import attrs
import pytest

from tests.helpers.world import emulated
from twilio_oauth_async import DeviceFlowError, StoredToken, StoreError, Token
from twilio_oauth_async.sign_in.flow_life import GRANTED_GRACE, LEASE, SAVE_LIMIT
from twilio_oauth_async.stores.base import epoch_of

pytestmark = pytest.mark.asyncio


def older_token(setup):
    """Return a token of an earlier sign-in."""
    now = setup.clock.now()
    return StoredToken(token=Token(access_token="older"), epoch="older", signed_in_at=now, obtained_at=now)


async def test_token_is_recorded_before_it_is_saved_and_saved_before_the_end():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        order = []
        for store, method in ((setup.flows, "grant"), (setup.tokens, "save"), (setup.flows, "end")):
            store.before(method, lambda *_, method=method: order.append(method))
        await setup.emulator.approve(sign_in.user_code)
        await pool.result(sign_in.id)
        assert order == ["grant", "save", "end"]


async def test_60_flow_store_that_fails_at_the_approval_costs_no_token_and_no_second_exchange():
    async with emulated() as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        setup.flows.fail("grant", "save", "lease", "end", "load", times=8)
        await setup.emulator.approve(sign_in.user_code)
        while setup.flows.calls.count("end") == 0 or sign_in.id in pool._members.running:
            await asyncio.sleep(0)
        setup.flows.repair()
        await asyncio.gather(pool.result(sign_in.id), other.result(sign_in.id))
        assert await setup.stored("ada") is not None
        assert (setup.polls().count(201), setup.revocations()) == (1, [])


async def test_60_flow_store_that_is_down_for_minutes_at_the_approval():
    async with emulated(expires_in=600) as setup, setup.pool() as pool, setup.pool() as other:
        sign_in = await pool.submit("ada")
        setup.flows.before("grant", lambda *_: setup.flows.fail("grant", "save", "lease", "end", "load"), times=1)
        await setup.emulator.approve(sign_in.user_code)
        await setup.clock.sleep(180)
        assert setup.polls() == [201]
        setup.flows.repair()
        await asyncio.gather(pool.result(sign_in.id), other.result(sign_in.id))
        assert await setup.stored("ada") is not None
        assert (setup.polls(), setup.revocations()) == ([201], [])


async def test_token_whose_lease_was_lost_is_saved_all_the_same():
    """This process holds the only copy."""
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        setup.flows.before("grant", lambda id_, _: setup.take_over(id_), times=1)
        await pool.result(sign_in.id)
        assert (await setup.stored("ada")).token.access_token
        assert (await setup.flows.load(sign_in.id)).state == "approved"


async def test_token_of_a_flow_that_another_process_was_granted_is_revoked():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        setup.flows.before("grant", lambda id_, _: setup.flows.inner.grant(id_, "other"), times=1)
        with pytest.raises(DeviceFlowError):
            await pool.result(sign_in.id)
        assert await setup.stored("ada") is None
        assert setup.revocations() == [200]


async def test_token_that_was_saved_before_a_kill_is_found_and_the_code_not_exchanged_again():
    async with emulated() as setup:
        pool = setup.pool()
        await pool.open()
        sign_in = await pool.submit("ada")
        killed = asyncio.Event()

        async def stop(*_):
            killed.set()
            await asyncio.Event().wait()

        setup.flows.before("end", stop, times=1)
        await setup.emulator.approve(sign_in.user_code)
        await killed.wait()
        await setup.kill(pool)
        token = await setup.stored("ada")
        async with setup.pool() as other:
            await other.result(sign_in.id)
        assert await setup.stored("ada") == token
        assert setup.polls() == [201]


@pytest.mark.parametrize("has_older_token", [False, True])
async def test_process_that_is_killed_between_the_record_and_the_save_has_lost_the_token(has_older_token):
    """An older token of the user must not be taken for this one."""
    async with emulated() as setup:
        older = older_token(setup)
        if has_older_token:
            await setup.tokens.save(setup.key("ada"), older, replaces=None)
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        assert await setup.flows.grant(sign_in.id, "killed")
        async with setup.pool() as pool:
            with pytest.raises(DeviceFlowError, match="ended before the token was saved"):
                await pool.result(sign_in.id)
            assert (await pool.find(sign_in.id)).state == "failed"
        assert setup.polls() == []
        assert await setup.stored("ada") == (older if has_older_token else None)


async def test_process_that_was_given_the_token_has_time_to_save_it():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        saving = setup.tokens.pause("save")
        await setup.emulator.approve(sign_in.user_code)
        await saving.reached.wait()
        await setup.flows.inner.release([sign_in.id], pool._shared.leases.owner)
        async with setup.pool() as other:
            await setup.clock.sleep(GRANTED_GRACE - LEASE)
            assert (await setup.flows.load(sign_in.id)).state == "granted"
            saving.resume()
            await asyncio.gather(pool.result(sign_in.id), other.result(sign_in.id))
        assert setup.polls() == [201]


async def test_token_that_was_saved_after_its_flow_had_failed_is_removed_and_revoked():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        setup.flows.before("end", lambda id_, *_: setup.flows.inner.end(id_, "failed", "too late"), times=1)
        with pytest.raises(DeviceFlowError, match="too late"):
            await pool.result(sign_in.id)
        while await setup.stored("ada") is not None:
            await asyncio.sleep(0)
        assert setup.revocations() == [200]


async def test_refresh_of_an_older_token_is_not_taken_for_an_approval():
    async with emulated() as setup:
        older = older_token(setup)
        await setup.tokens.save(setup.key("ada"), older, replaces=None)
        async with setup.pool() as pool:
            sign_in = await pool.submit("ada")
        await setup.tokens.save(setup.key("ada"), attrs.evolve(older, generation=2), replaces=older.epoch)
        async with setup.pool() as pool:
            flow = await setup.flows.load(sign_in.id)
            await setup.emulator.approve(sign_in.user_code)
            await pool.result(sign_in.id)
        new = await setup.stored("ada")
        assert (new.epoch, new.generation) == (epoch_of(flow.authorization.device_code), 1)


async def test_user_who_signed_out_before_the_approval_is_signed_in_by_it():
    async with emulated() as setup, setup.pool() as pool:
        await setup.tokens.save(setup.key("ada"), older_token(setup), replaces=None)
        sign_in = await pool.submit("ada")
        await setup.tokens.delete(setup.key("ada"))
        await setup.emulator.approve(sign_in.user_code)
        await pool.result(sign_in.id)
        assert await setup.stored("ada") is not None


async def test_user_who_signs_out_before_a_save_is_repeated_stays_signed_out():
    """The first call has saved the token although it failed, and the user has seen and deleted it."""
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")

        async def sign_out_and_fail(*_):
            await setup.tokens.delete(setup.key("ada"))
            raise StoreError("the response was lost")

        setup.tokens.after("save", sign_out_and_fail, times=1)
        await setup.emulator.approve(sign_in.user_code)
        with pytest.raises(DeviceFlowError, match="signed out"):
            await pool.result(sign_in.id)
        assert await setup.tokens.is_deleted(setup.key("ada"))
        assert setup.revocations() == [200]


async def test_manager_of_the_pool_uses_the_token_of_a_new_sign_in_at_once():
    async with emulated() as setup, setup.pool() as pool:
        older = attrs.evolve(
            older_token(setup),
            client_sid=setup.emulator.client_sid,
            server=setup.emulator.base_url,
            scopes=("openid",),
        )
        await setup.tokens.save(setup.key("ada"), older, replaces=None)
        manager = pool.manager("ada")
        assert await manager.access_token() == "older"
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        await pool.result(sign_in.id)
        assert pool.manager("ada") is manager
        new = (await setup.stored("ada")).token.access_token
        assert await manager.access_token() == new != "older"


async def test_later_sign_in_of_the_user_wins():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        later = attrs.evolve(older_token(setup), epoch="later", signed_in_at=setup.clock.now().replace(year=2027))
        await setup.tokens.save(setup.key("ada"), later, replaces=None)
        await setup.emulator.approve(sign_in.user_code)
        await pool.result(sign_in.id)
        assert await setup.stored("ada") == later


async def test_token_store_that_is_down_for_a_while_costs_no_token():
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        setup.tokens.fail("save", times=5)
        problems = [event.problem async for event in pool.events(sign_in.id)]
        assert problems == [None, "the sign-in could not be stored", None]
        assert await setup.stored("ada") is not None
        assert setup.polls() == [201]


async def test_token_that_cannot_be_saved_is_revoked_in_the_end(caplog):
    async with emulated() as setup, setup.pool() as pool:
        sign_in = await pool.submit("ada")
        await setup.emulator.approve(sign_in.user_code)
        setup.tokens.fail("save", error=StoreError("/srv/app/tokens.db: disk full"))
        started = setup.clock.monotonic()
        with pytest.raises(StoreError, match="disk full"):
            await pool.result(sign_in.id)
        assert setup.clock.monotonic() - started == pytest.approx(SAVE_LIMIT, abs=40)
        found = await pool.find(sign_in.id)
        assert (found.state, found.problem) == ("failed", "the sign-in could not be stored")
        assert setup.revocations() == [200]
    assert caplog.text.count("has failed, and is tried again") == 1, "once for the outage"
