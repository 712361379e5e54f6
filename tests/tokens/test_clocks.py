"""Faults 17 and 18: tokens that are expired when they arrive, clocks that jump, and machines that were suspended."""

from datetime import timedelta

import attrs
import pytest

from tests.helpers.event_loop import run_turns
from tests.helpers.scripted_manager import ScriptedManager, login_required, scripted_manager_expired

pytestmark = pytest.mark.asyncio

NIGHT = 8 * 3600


async def signed_in(**members):
    """Return a `ScriptedManager` whose user has just signed in."""
    setup = ScriptedManager(members)
    await setup.manager.login()
    return setup


async def test_token_that_is_expired_on_receipt_is_refreshed_once_a_second():
    setup = ScriptedManager(lifetime=-5)
    await setup.manager.login()
    for _ in range(10):
        await setup.manager.token()
    assert setup.grant.refreshed == []
    for refreshes in (1, 2, 3):
        setup.clock.advance(1)
        for _ in range(10):
            await setup.manager.token()
            await run_turns(5)
        assert len(setup.grant.refreshed) == refreshes


async def test_after_suspend_no_expired_token_is_returned():
    """The monotonic clock of Linux and macOS stands still during suspend; only the wall clock moves."""
    setup = await signed_in()
    await setup.manager.token()
    setup.clock.suspend(NIGHT)
    assert await setup.manager.access_token() == "acc-canary-2"


async def test_after_suspend_within_the_leeway_the_valid_token_is_returned_and_refreshed():
    setup = await signed_in()
    setup.clock.suspend(3550)
    assert await setup.manager.access_token() == "acc-canary-1"
    await run_turns()
    assert await setup.manager.access_token() == "acc-canary-2"


async def test_after_suspend_the_background_refreshes_within_a_minute():
    setup = await signed_in()
    async with setup.manager:
        await run_turns()
        setup.clock.suspend(NIGHT)
        await setup.pass_time(60)
        assert setup.grant.refreshed == ["ref-canary-1"]


async def test_wall_clock_set_back_does_not_make_a_token_valid_longer():
    setup = await signed_in()
    setup.clock.shift_wall(-NIGHT)
    setup.clock.advance(3539)
    await setup.manager.token()
    await run_turns()
    assert setup.grant.refreshed == []
    setup.clock.advance(61)
    assert await setup.manager.access_token() == "acc-canary-2"


async def test_wall_clock_set_back_and_read_again_from_the_store_does_not_make_a_token_valid_longer():
    setup = await scripted_manager_expired()
    setup.clock.shift_wall(-NIGHT)
    setup.store.fail("save")  # so that the refresh is not sent, after the store was read
    assert (await setup.stored()).token.access_token == "acc-canary-1"
    for _ in range(3):
        with pytest.raises(Exception, match="down"):
            await setup.manager.token()
        setup.clock.advance(1)


@pytest.mark.parametrize(("wall", "monotonic", "is_sent"), [(9000, 0, True), (-9000, 9000, True), (0, 9000, False)])
async def test_refresh_token_counts_as_expired_only_if_both_clocks_say_so(wall, monotonic, is_sent):
    """If one clock is wrong, the server decides."""
    setup = ScriptedManager()
    await setup.manager.adopt(setup.grant.token(refresh_token_expires_at=setup.clock.now() + timedelta(hours=2)))
    setup.clock.shift_wall(wall)
    setup.clock.advance(monotonic)
    assert await login_required(setup.manager) == (None if is_sent else "expired")
    assert len(setup.grant.refreshed) == is_sent


async def test_token_that_was_saved_by_a_host_whose_clock_is_ahead_is_used_and_refreshed():
    setup = await signed_in()
    stored = await setup.stored()
    ahead = attrs.evolve(stored, generation=2, obtained_at=stored.obtained_at + timedelta(seconds=5))
    await setup.store.save("me", ahead, replaces=stored.epoch)
    other = setup.another()
    assert await other.access_token() == "acc-canary-1"
    setup.clock.advance(3600)
    assert await other.access_token() == "acc-canary-2"
