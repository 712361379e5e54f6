"""A world of two pools, one flow store, one token store and one server, as a value that can be compared.

`World` is that value; `Draft` is a world that is being changed. There is one sign-in. All times are seconds since its
start by the clock of the server, which is also that of the stores.
"""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import attrs

from twilio_oauth_async import DeviceAuthorization, Token
from twilio_oauth_async.errors import StoreError
from twilio_oauth_async.sign_in import flow_life, reporting
from twilio_oauth_async.sign_in.flow_steps import FlowLife, Lease
from twilio_oauth_async.stores import rules
from twilio_oauth_async.stores.base import StoredFlow
from twilio_oauth_async.tokens.state import Now

ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)
RENEW_BELOW = flow_life.LEASE / 2 - 5.0
"""Seconds of a lease that are left when it is renewed at the latest."""

REQUEST_TIMEOUT = 30.0
"""Seconds after which a poll without a response has failed."""
NONE = -1
"""In place of the number of a value."""

TOKEN = Token(access_token="a", refresh_token="r")
DOWN = StoreError("model")


class Context(dict):
    """The context of a flow, which can be compared and hashed as the rest of it."""

    def __hash__(self):
        return hash(tuple(self.items()))


class Sent(NamedTuple):
    """A poll that was sent."""

    at: float
    response: str = ""
    """What the server has responded; empty: it has not processed the poll yet."""
    is_slow: bool = False


class Process(NamedTuple):
    """One pool."""

    run: int = 1
    """Each start is another owner of leases."""
    is_up: bool = True
    is_closing: bool = False
    has_callback: bool = True
    life: int = NONE
    """Number of its `FlowLife`."""
    sent: Sent | None = None
    seen: int = NONE
    """Number of the flow that was read by the first half of a step: of a look, or of taking it up."""
    report: int = NONE
    """Number of its `Report`."""
    end: str = ""
    """The end that it reports."""
    is_own: bool = False
    """The flow has ended in this process."""
    kept_until: float | None = None
    """When it deletes the flow, whose end it has reported."""
    stopped_at: float | None = None
    """Since when it makes no step, because the machine is suspended or busy with something else."""
    is_suspended: bool = False
    """Its monotonic clock stands still meanwhile."""
    moves_since: float = 0.0
    """When it went on the last time."""
    asleep: float = 0.0
    """Seconds for which its monotonic clock has stood still."""
    shift: float = 0.0
    """Seconds by which its wall clock is ahead."""


class Server(NamedTuple):
    """What the authorization server knows of the code."""

    decision: str = ""
    interval: float = 0.0
    expires_at: float = 0.0
    polled_at: float = float("-inf")
    """When the last poll was sent."""
    is_exchanged: bool = False
    is_alive: bool = False
    """Whether the token that it has issued is valid."""


class Budget(NamedTuple):
    """What may still happen."""

    faults: int = 0
    """Crashes, lost or slow responses, overloads, failures of one call of a store or of the callback."""
    outages: int = 0
    """Times at which a store is down for a while."""
    events: int = 0
    """Cancels, closings, sign-outs."""
    stops: int = 0
    """Times at which a process makes no step for a while, or its machine is suspended."""
    steps: int = 0
    """Steps of a wall clock."""


class Outage(NamedTuple):
    """A store that is down: all of its calls fail."""

    store: str
    since: float


class World(NamedTuple):
    """Everything."""

    now: float
    processes: tuple[Process, Process]
    flow: int
    """Number of the stored flow; `NONE`: it is deleted."""
    token: str
    """What the token store has: nothing, ``other``, ``new`` (the token of this sign-in) or ``out`` (a tombstone)."""
    server: Server
    budget: Budget
    outage: Outage | None = None
    works_since: float = -1e9
    """When the last outage ended."""
    late: tuple[float, ...] = ()
    """When the polls of crashed processes were sent that the server may still process."""
    reported: str = ""
    """The end that was reported."""
    reasons: frozenset[str] = frozenset()
    """Why the sign-in may end without its token although the user has approved it, and other excuses."""


@attrs.frozen
class Rules:
    """The functions that are explored. Tests give faulty ones."""

    decide: object = flow_life.decide
    advance: object = flow_life.advance
    taken_up: object = flow_life.taken_up
    decide_report: object = reporting.decide
    advance_report: object = reporting.advance
    may_delete: object = reporting.may_delete


class Values:
    """The values that an exploration has met, by number, and the results of the rules for them."""

    def __init__(self, rules=None):
        self.rules = rules or Rules()
        self.values = []
        self._numbers, self._decided, self._advanced = {}, {}, {}

    def number(self, value):
        """Return the number of `value`; equal values have the same."""
        if value is None:
            return NONE
        number = self._numbers.setdefault(value, len(self.values))
        if number == len(self.values):
            self.values.append(value)
        return number

    def of(self, number):
        return None if number == NONE else self.values[number]

    def decide(self, number, now):
        """Return what comes next for the life or report with this number."""
        key = (number, now)
        step = self._decided.get(key)
        if step is None:
            value, rules_ = self.values[number], self.rules
            decide = rules_.decide if isinstance(value, FlowLife) else rules_.decide_report
            step = self._decided[key] = decide(value, now)
        return step

    def advance(self, number, outcome, now):
        """Return the number of the life or report after `outcome`."""
        key = (number, outcome, now)
        after = self._advanced.get(key)
        if after is None:
            value, rules_ = self.values[number], self.rules
            advance = rules_.advance if isinstance(value, FlowLife) else rules_.advance_report
            after = self._advanced[key] = self.number(advance(value, outcome, now))
        return after


def at(seconds):
    return ORIGIN + timedelta(seconds=seconds)


def seconds(moment):
    return (moment - ORIGIN).total_seconds()


class Draft:
    """A world that is being changed, with the rules of the stores."""

    def __init__(self, world, values):
        self.values = values
        self.before = world
        self.now, self.processes, self.flow = world.now, list(world.processes), values.of(world.flow)
        self.token, self.server, self.budget = world.token, world.server, world.budget
        self.outage, self.works_since, self.late = world.outage, world.works_since, world.late
        self.reported, self.reasons = world.reported, world.reasons
        self.violation = None

    def world(self):
        flow = self.values.number(self.flow)
        return World(
            self.now,
            tuple(self.processes),
            flow,
            self.token,
            self.server,
            self.budget,
            self.outage,
            self.works_since,
            self.late,
            self.reported,
            self.reasons,
        )

    def violate(self, what):
        self.violation = self.violation or what

    def excuse(self, reason):
        self.reasons |= {reason}

    def is_down(self, store):
        return self.outage is not None and self.outage.store == store

    def spend(self, kind):
        self.budget = self.budget._replace(**{kind: getattr(self.budget, kind) - 1})

    def change(self, p, **changes):
        self.processes[p] = self.processes[p]._replace(**changes)

    # A process.

    def clocks(self, p):
        return clocks(self.now, self.processes[p])

    def life(self, p):
        return self.values.of(self.processes[p].life)

    def report(self, p):
        return self.values.of(self.processes[p].report)

    def owner(self, p):
        return f"{p}.{self.processes[p].run}"

    def tell(self, p, outcome):
        """Advance the life of the flow in process `p`."""
        self.change(p, life=self.values.advance(self.processes[p].life, outcome, self.clocks(p)))

    def tell_report(self, p, result):
        self.change(p, report=self.values.advance(self.processes[p].report, result, self.clocks(p)))

    def holds_token(self, p):
        """Return whether process `p` has received the token and will not revoke it."""
        life = self.life(p)
        return (
            life is not None and life.token is not None and (life.ending is None or life.ending == flow_life.APPROVED)
        )

    # The flow store.

    def lease(self, p, seconds_=flow_life.LEASE):
        """Lease the flow; return the lease or None."""
        leased = rules.with_lease(self.flow, self.owner(p), at(self.now), seconds_)
        if leased is None:
            return None
        self.flow = leased
        return Lease.given(self.clocks(p), seconds_)

    def release(self, p):
        self.flow = rules.without_lease(self.flow, self.owner(p)) or self.flow

    def end(self, state, problem):
        """Record an end; return whether the flow has ended so."""
        ended = rules.ended(self.flow, state, problem, at(self.now))
        self.flow = ended or self.flow
        return ended is not None

    def is_due(self):
        return self.flow is not None and rules.is_due(self.flow, at(self.now))


def clocks(now, process):
    """Return both clocks of `process`."""
    stops = process.is_suspended and process.stopped_at is not None
    monotonic = (process.stopped_at if stops else now) - process.asleep
    return Now(monotonic, at(now + process.shift))


def first_world(values, scenario):
    """Return the world in which process 0 has just stored the flow."""
    authorization = DeviceAuthorization(
        client_sid="c",
        scopes=("s",),
        device_code="d",
        user_code="u",
        verification_uri="https://v",
        interval=scenario.interval,
        expires_at=at(scenario.lifetime),
        next_poll_at=at(scenario.interval * 1.01),
    )
    processes = tuple(Process(has_callback=has_callback) for has_callback in scenario.callbacks)
    now = clocks(0.0, processes[0])
    flow = StoredFlow(
        id="f",
        user="u",
        authorization=authorization,
        context=Context(),
        owner="0.1",
        leased_until=at(flow_life.LEASE),
    )
    life = flow_life.started(flow, Lease.given(now, flow_life.LEASE), now)
    processes = (processes[0]._replace(life=values.number(life)), processes[1])
    server = Server(interval=scenario.interval, expires_at=scenario.lifetime)
    return World(0.0, processes, values.number(flow), scenario.token, server, scenario.budget)
