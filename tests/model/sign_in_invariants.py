"""What must be true in every world of two pools. `INVARIANTS` lists it; the functions say what is violated."""

from datetime import timedelta

from tests.model.sign_in_world import NONE, at, clocks
from twilio_oauth_async.sign_in.flow_life import KEPT, RECORD_PAUSE

INVARIANTS = (
    "a code is not used twice while a process or the token store has its token",
    "no poll is earlier than the interval that its process or the store knows, also after a hand-over",
    "no two processes have a lease at the same time, as far as they know",
    "no process drops a token that it has received: it saves or revokes it",
    "no token is saved for a flow that has ended otherwise",
    "an end as approved has a token that is stored and valid",
    "an approved sign-in ends as approved, unless it was cancelled, its process was killed or its response was lost",
    "an end does not change",
    "the end that is stored is the end that is reported",
    "no end is deleted before it was reported, except after a day",
    "an end can be found for five minutes",
    "without further faults the flow ends, its end is reported, and it is deleted, without endless work",
)

CLOCKS = "both clocks wrong"
"""A reason: a machine was suspended, and its wall clock is behind. It cannot know how much time has passed, so no rule
holds; such worlds are not explored."""

LOST = "the flow store has lost its data"
"""A reason why an end may not be reported: only the process that runs the flow can know of it."""

ROUNDING = 0.001
"""Seconds. Times are rounded to less."""


def check_exchange(draft, sent):
    """Note what is violated when the code is used again, by a poll that was sent."""
    if sent.is_slow:
        # The process could not know: the token arrived while its request was under way.
        draft.excuse("crossed")
        return
    if draft.token == "new":
        draft.violate("a code is used again although its token is stored")
    for p, process in enumerate(draft.processes):
        if process.sent is not None and process.sent.response == "token":
            draft.excuse("crossed")
        if draft.holds_token(p):
            life = draft.life(p)
            recorded_at = life.known.monotonic + process.asleep
            received_at = life.received.monotonic + process.asleep
            could_tell = max(process.moves_since, received_at, draft.works_since + RECORD_PAUSE)
            is_recorded = life.is_granted and draft.now > recorded_at + ROUNDING
            if is_recorded or (process.stopped_at is None and draft.now > could_tell + ROUNDING):
                draft.violate("a code is used again although a process has its token")
            draft.excuse("crossed")  # it has had no time to record that


def check_send(draft, p):
    """Note what is violated when process `p` sends a poll."""
    life, flow = draft.life(p), draft.flow
    interval = life.flow.authorization.interval
    if flow is not None:
        interval = max(interval, flow.authorization.interval)
    if draft.now - draft.server.polled_at < min(interval, draft.server.interval) - ROUNDING:
        draft.violate("an early poll")
    if life.token is not None or life.ending is not None:
        draft.violate("a poll after the end")


def check_stop(draft, life):
    """Note what is violated when a process stops its work on a flow."""
    if life.token is not None and draft.token != "new" and "signed out" not in draft.reasons:
        draft.violate("a token is dropped")


def check_save(draft):
    """Note what is violated when the token is saved."""
    flow = draft.flow
    if flow is not None and flow.state in {"denied", "expired", "cancelled"}:
        draft.violate(f"a token is saved for a sign-in that has ended as {flow.state}")


def check_report(draft, p):
    """Note what is violated when process `p` reports an end."""
    flow, end = draft.flow, draft.processes[p].end
    if flow is not None and flow.state != end:
        draft.violate(f"{end} is reported for a sign-in that has ended as {flow.state}")
    if draft.reported not in ("", end) and LOST not in draft.reasons:
        draft.violate(f"{end} is reported after {draft.reported}")


def check_delete(draft):
    """Note what is violated when the flow is deleted."""
    flow = draft.flow
    if flow is None:
        return
    if not flow.has_ended:
        draft.violate("a flow is deleted that has not ended")
    elif not (flow.delivered and draft.reported):
        if at(draft.now) < flow.ended_at + timedelta(days=1):
            draft.violate("an end is deleted that was not reported")
        draft.excuse("forgotten after a day")
    elif at(draft.now) < flow.ended_at + timedelta(seconds=KEPT) and not any(p.shift for p in draft.processes):
        draft.violate("an end is deleted early: it can be found for five minutes")


def check_world(before, world, values):
    """Return what is violated in this world, or None."""
    flow, old = values.of(world.flow), values.of(before.flow)
    if (
        old is not None
        and old.has_ended
        and flow is not None
        and (flow.state, flow.problem) != (old.state, old.problem)
    ):
        return "an end has changed"
    lives = [values.of(process.life) for process in world.processes]
    if all(
        life is not None and _has_lease(world, process, life)
        for process, life in zip(world.processes, lives, strict=True)
    ):
        return "two processes have the lease"
    if flow is None or (world.flow == before.flow and world.server == before.server and world.token == before.token):
        return None
    if flow.state == "approved" and not world.reasons & {"signed out", "crossed"}:
        if world.token != "new":
            return "a sign-in has ended as approved, and its token is not stored"
        if not world.server.is_alive:
            return "a sign-in has ended as approved, and its token is revoked"
    if flow.has_ended and flow.state != "approved" and world.server.is_exchanged and not world.reasons & EXCUSES:
        return f"an approved sign-in has ended as {flow.state}"
    return None


EXCUSES = frozenset(
    {"crossed", "killed with the token", "response lost", "cancelled", "signed out", "stopped with the token"}
)
"""Why a sign-in whose token was issued may end otherwise."""


def _has_lease(world, process, life):
    if process.stopped_at is not None or life.lease is None or life.is_recorded:
        return False
    return life.lease.left(clocks(world.now, process)) > ROUNDING


def check_end(world, values):
    """Return what is violated in a world in which nothing is left to do, or None."""
    if world.flow != NONE:
        return "the flow is never deleted"
    if not world.reported and not world.reasons & {"forgotten after a day", LOST}:
        return "the end was not reported"
    if world.reported not in {"", "approved"} and world.token == "new" and LOST not in world.reasons:
        return f"a token is stored of a sign-in that has ended as {world.reported}"
    if world.server.is_alive and world.token != "new" and not world.reasons & UNREVOKED:
        return "a token is valid that no process has"
    return None


UNREVOKED = frozenset({"killed with the token", "response lost", "signed out", "not revoked"})
"""Why a token that no process has may be valid."""
