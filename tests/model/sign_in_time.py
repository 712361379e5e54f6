"""Time in a world of two pools: when something changes by itself, and what the clocks of a process show."""

import math

from tests.model.sign_in_invariants import CLOCKS
from tests.model.sign_in_steps import idle_step, next_step
from tests.model.sign_in_world import NONE, RENEW_BELOW, REQUEST_TIMEOUT, Draft, seconds
from twilio_oauth_async.sign_in.flow_life import KEPT
from twilio_oauth_async.sign_in.flow_steps import Rest
from twilio_oauth_async.sign_in.reporting import GIVE_UP_AFTER, Pause

TICK = 1 / 1024
"""Seconds. All times are multiples of this, so that sums of them are exact."""

TAKE_UP_EVERY = 15.0
"""Seconds between two looks of a pool into its store."""

LONGEST_OUTAGE = 200.0
"""Seconds."""

LONG_STOP = 60.0
"""Seconds for which a process has stopped after which another process may end the flow without its token."""


def is_at_rest(draft, p):
    """Return whether nothing happens to process `p` before some time has passed."""
    process = draft.processes[p]
    if not process.is_up or process.stopped_at is not None:
        return True
    step = next_step(draft, p)
    return step is None or isinstance(step, (Rest, Pause))


def next_moment(world, values):
    """Return the next time at which something happens; None if something happens before, or nothing at all."""
    draft = Draft(world, values)
    ahead = moments(world, values)
    if not ahead or not all(is_at_rest(draft, p) for p in (0, 1)):
        return None
    latest = world.now + TAKE_UP_EVERY if any(idle_step(draft, p) for p in (0, 1)) else math.inf
    if world.outage is not None:
        latest = min(latest, world.outage.since + LONGEST_OUTAGE)
    return ahead[0] if ahead[0] <= latest else None


def moments(world, values):
    """Return the times at which something changes by itself."""
    draft, found = Draft(world, values), set()
    for p, process in enumerate(world.processes):
        if not process.is_up:
            continue
        if process.sent is not None:
            found.add(process.sent.at + REQUEST_TIMEOUT)
        found.add(process.kept_until or 0.0)
        if process.life != NONE and draft.life(p).lease is not None:
            left = draft.life(p).lease.left(draft.clocks(p))
            found |= {world.now + left, world.now + left - RENEW_BELOW + TICK}
        if process.stopped_at is None:
            step = next_step(draft, p)
            if isinstance(step, (Rest, Pause)):
                found.add(world.now + step.at - draft.clocks(p).monotonic)
    flow = draft.flow
    if flow is not None:
        if flow.leased_until is not None:
            found.add(seconds(flow.leased_until))
        if flow.ended_at is not None:
            found |= {seconds(flow.ended_at) + KEPT, seconds(flow.ended_at) + GIVE_UP_AFTER.total_seconds() + 3601.0}
    if not world.server.decision:
        found.add(world.server.expires_at)
    ticks = {math.ceil(one / TICK) * TICK for one in found if one < math.inf}
    return sorted(one for one in ticks if one > world.now)


def pass_time(draft, until):
    """Let it become `until`."""
    for p, process in enumerate(draft.processes):
        if process.stopped_at is not None:
            is_known = draft.holds_token(p) and draft.life(p).is_granted
            has_token = draft.holds_token(p) or (process.sent and process.sent.response == "token")
            if has_token and (not is_known or until - process.stopped_at >= LONG_STOP):
                draft.excuse("stopped with the token")
    draft.now = until
    draft.late = tuple(sent_at for sent_at in draft.late if sent_at + REQUEST_TIMEOUT > until)
    return draft


def wake(draft, p):
    """Let process `p` go on."""
    process = draft.processes[p]
    stopped_for = draft.now - process.stopped_at
    asleep = process.asleep + (stopped_for if process.is_suspended else 0.0)
    draft.change(p, stopped_at=None, is_suspended=False, asleep=asleep, moves_since=draft.now)
    return _judge_clocks(draft, p)


def set_clock(draft, p, step):
    """Set the wall clock of process `p` by `step` seconds."""
    draft.change(p, shift=draft.processes[p].shift + step)
    return _judge_clocks(draft, p)


def _judge_clocks(draft, p):
    """Note if both clocks of process `p` are wrong: then it cannot know how much time has passed."""
    process = draft.processes[p]
    if process.asleep and process.shift < 0:
        draft.excuse(CLOCKS)
    return draft
