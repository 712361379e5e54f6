"""Scenarios of two pools over one store, each with a session of its own, as two processes have."""

import asyncio

import attrs
import detangle

from tests.schedules.world import FAST, INTERVAL
from twilio_oauth_async import DeviceFlowError, DeviceFlowPool

LONGEST = 40.0
"""Seconds after which each flow has ended, also one that another process takes up after its lease of 30 s has ended."""


@attrs.define
class Pools:
    """Two open pools, and what they report."""

    world: object
    first: DeviceFlowPool
    second: DeviceFlowPool
    ends: list[tuple[str, str]] = attrs.field(factory=list)
    """The ids and states with which `on_end` was called."""

    @classmethod
    async def opened(cls, world):
        pools = cls(world, None, None)
        pools.first, pools.second = [
            DeviceFlowPool(
                await world.device_flow(),
                tokens=world.tokens,
                flows=world.flows,
                on_end=pools._on_end,
                take_up_every=3.0,
            )
            for _ in range(2)
        ]
        for pool in (pools.first, pools.second):
            world.closes(pool)
            await pool.open()
        detangle.invariant(pools._is_polled_by_one, "one process polls a flow at a time")
        detangle.invariant(pools._is_unsaved, "the token of a cancelled flow is not stored for a moment either")
        return pools

    def _is_polled_by_one(self):
        """Return whether no flow has polls of two processes under way."""
        polled = [
            flow.id for pool in (self.first, self.second) for flow in pool._members.running.values() if flow.is_polling
        ]
        return len(polled) == len(set(polled))

    def _is_unsaved(self):
        """Return whether no token is stored of a flow that has ended as cancelled."""
        stored = self.world.tokens.inner._records
        flows = self.world.flows.inner._flows.values()
        return not any(flow.state == "cancelled" and flow.key in stored for flow in flows)

    async def _on_end(self, sign_in):
        await asyncio.sleep(0)
        self.ends.append((sign_in.id, sign_in.state))

    async def submitted(self):
        """Start a sign-in in the first pool."""
        sign_in = await self.first.submit("ada")
        await self.world.clock.sleep(2.0)
        return sign_in

    async def near_poll(self, sign_in):
        """Wait until the next poll is sent, or a little before or after that."""
        due = self.first._members.running[sign_in.id].life.flow.authorization.next_poll_at
        seconds = (due - self.world.clock.now()).total_seconds()
        await self.world.clock.sleep(seconds + detangle.choice([1.5 * FAST, -FAST, 0.0, 2 * FAST, 3 * FAST]))

    async def check_end(self, id_):
        """Wait for the end of a flow, and check what must be true of every end."""
        world = self.world
        await world.clock.sleep(LONGEST)
        flow = await world.flows.inner.load(id_)
        states = {state for reported, state in self.ends if reported == id_}
        assert flow.has_ended, "a flow does not end"
        assert states == {flow.state}, f"a flow has ended as {flow.state}, and {states or 'nothing'} is reported"
        stored = await world.tokens.inner.load(flow.key)
        polls = [entry.status for entry in world.emulator.requests.to("poll")]
        assert polls.count(201) <= 1, "a code is used twice"
        if flow.state == "approved":
            assert stored is not None, "a flow has ended as approved, and its token is not stored"
            assert world.is_valid(stored.token.access_token), "the stored token is not valid"
        else:
            assert flow.state == "cancelled", f"a flow has ended as {flow.state}"
            assert stored is None, "the token of a cancelled flow is stored"
            assert world.valid_tokens() == 0, "the token of a cancelled flow is valid"
        return flow.state


async def submit(world):
    """A user starts a sign-in in both processes at the same time, twice in the first one, and approves it."""
    pools = await Pools.opened(world)
    world.explore_from_here()
    first, *others = await asyncio.gather(*[pool.submit("ada") for pool in (pools.first, pools.second, pools.first)])
    world.explore_until_here()
    assert {each.id for each in others} == {first.id}, "a user has two sign-ins"
    await world.clock.sleep(1.5 * INTERVAL)
    await world.emulator.approve(first.user_code)
    await asyncio.gather(pools.first.result(first.id), pools.second.result(first.id))
    assert await pools.check_end(first.id) == "approved"


async def cancel(world):
    """The user approves and then cancels, in the process that polls or in the other one, near the next poll."""
    pools = await Pools.opened(world)
    sign_in = await pools.submitted()
    await world.emulator.approve(sign_in.user_code)
    world.explore_from_here()
    canceller = detangle.choice([pools.second, pools.first])
    waiting = asyncio.create_task(_end_of(pools.first, sign_in.id))
    await pools.near_poll(sign_in)
    await canceller.cancel(sign_in.id)
    end = await waiting
    world.explore_until_here()
    assert await pools.check_end(sign_in.id) == end


async def close(world):
    """The process that polls ends near a poll. The other one takes the flow up. The user approves before or after."""
    pools = await Pools.opened(world)
    sign_in = await pools.submitted()
    world.explore_from_here()
    is_approved_before = detangle.choice([False, True])
    if is_approved_before:
        await world.emulator.approve(sign_in.user_code)
    await pools.near_poll(sign_in)
    await pools.first.close()
    if not is_approved_before:
        await world.emulator.approve(sign_in.user_code)
    await pools.second.result(sign_in.id)
    world.explore_until_here()
    assert await pools.check_end(sign_in.id) == "approved"


async def _end_of(pool, id_):
    """Return the state with which a sign-in ends, as a caller sees it."""
    try:
        await pool.result(id_)
    except DeviceFlowError:
        return "cancelled"
    return "approved"
