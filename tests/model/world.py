"""A world of two processes, one store and one server, as a value that can be compared.

`World` is that value. `Draft` is a world that is being changed; it also has the rules of the store and the server, and
notes what it has seen violated.
"""

from typing import NamedTuple

import attrs

from tests.model.machine import FAILED, LIFETIME, OLD, ORIGIN, at, new_token
from tests.model.search import NO_PROCESS
from twilio_oauth_async.errors import StoreConflict
from twilio_oauth_async.stores import rules
from twilio_oauth_async.stores.base import StoredToken, Tombstone
from twilio_oauth_async.tokens.state import (
    AskForLogin,
    Event,
    Kind,
    Loaded,
    Refreshed,
    RequestFailed,
    RevokeFailed,
    Saved,
    Saving,
    StoreFailed,
    Work,
)


class Process(NamedTuple):
    """One process."""

    state: int
    """Number of its `TokenState`."""
    is_working: bool = False
    """A round is running."""
    flight: int = -1
    """Number of the stored token whose refresh token was sent and has got no response yet."""
    is_honest: bool = True
    """Its wall clock was that of the issue when it got the token that it uses: it can know the true expiry."""
    signed_out: tuple[str, ...] = ()
    """The sign-ins that it knows to be signed out."""
    revoked: str = ""
    """The sign-in that it has revoked during the logout that is under way."""


class Grant(NamedTuple):
    """One sign-in at the server."""

    number: int = 1
    """Of the refresh token that is accepted."""
    is_alive: bool = True
    left: float = 0.0
    """Seconds until that refresh token expires."""


class Issued(NamedTuple):
    """An access token that is truly valid."""

    name: str
    left: float
    shift: float = 0.0
    """Seconds by which the wall clock was set since its issue."""
    is_tried: bool = False
    """A process has tried to save it."""


class Budget(NamedTuple):
    """What may still happen."""

    faults: int = 0
    """Lost responses, outages, failures of the store, crashes, cancelled rounds, foreign records."""
    events: int = 0
    """Sign-ins, logouts, rejected and unwanted tokens."""
    jumps: int = 0
    """Passages of time."""
    steps: int = 0
    """Steps of the wall clock, and suspensions."""


class World(NamedTuple):
    """Everything. The names of grants are A, B, ... in the order of their sign-ins."""

    processes: tuple[Process, Process]
    record: int
    lock: int
    grants: tuple[Grant, ...]
    issued: tuple[Issued, ...]
    budget: Budget
    gone: tuple[str, ...] = ()
    """The sign-ins of which a logout was completed."""
    lost: tuple[str, ...] = ()
    """The refresh tokens to which a response was lost."""
    is_suspended: bool = False
    is_set_back: bool = False
    is_hurt: bool = False
    """The store lost its data, or has a record of another client."""


class Draft:
    """A world that is being changed."""

    def __init__(self, world, machine, refresh_lifetime=None):
        self.machine = machine
        self.refresh_lifetime = refresh_lifetime
        self.processes = list(world.processes)
        self.record, self.lock, self.budget = world.record, world.lock, world.budget
        self.grants = list(world.grants)
        self.issued = {one.name: one for one in world.issued}
        self.gone, self.lost = set(world.gone), set(world.lost)
        self.flags = (world.is_suspended, world.is_set_back, world.is_hurt)
        self.violation = None

    def violate(self, what):
        self.violation = self.violation or what

    def state(self, p):
        return self.machine.values[self.processes[p].state]

    def stored(self):
        """Return what the store has, as a `StoredToken`, a `Tombstone` or None."""
        return self.machine.values[self.record]

    def change(self, p, **changes):
        self.processes[p] = self.processes[p]._replace(**changes)

    def spend(self, kind):
        self.budget = self.budget._replace(**{kind: getattr(self.budget, kind) - 1})

    def tell(self, p, outcome):
        """Advance the state of process `p`."""
        process, before = self.processes[p], self.state(p)
        self.change(p, state=self.machine.advance(process.state, outcome))
        after = self.state(p)
        if after.used is not None and _name(after.used) != _name(before.used):
            issued = self.issued.get(_name(after.used))
            self.change(p, is_honest=issued is not None and issued.shift == 0)

    def start(self, p):
        if not self.processes[p].is_working:
            self.tell(p, Event.STARTED)
            self.change(p, is_working=True)

    def end_rounds(self):
        """Release the lock if that comes next, and end the rounds in which there is nothing to do.

        A process that releases the lock later is as one whose step before takes longer.
        """
        for p, process in enumerate(self.processes):
            if not process.is_working or process.flight >= 0:
                continue
            step = self.machine.decide(process.state).next
            if step is Work.UNLOCK:
                if self.lock != p:
                    self.violate("a lock is released that the process does not have")
                self.lock = NO_PROCESS
                self.tell(p, Event.UNLOCKED)
                step = self.machine.decide(self.processes[p].state).next
            if not isinstance(step, Work):
                self.change(p, is_working=False)

    # The store.

    def load(self, p):
        stored = self.stored()
        if isinstance(stored, StoredToken):
            return Loaded(stored, False, "never_signed_in" if stored.client_sid else None)
        is_deleted = isinstance(stored, Tombstone)
        if is_deleted and self.state(p).saving is Saving.SAVED:
            self.change(p, signed_out=tuple(sorted(self.gone)))
        return Loaded(None, is_deleted)

    def save(self, p, *, is_mark=False, fails=False, is_written=True):
        """Save what process `p` holds, or its mark; return the outcome."""
        state = self.state(p)
        stored = state.held.stored
        if self.lock != p:
            self.violate("a save without the lock")
        if is_mark:
            stored = attrs.evolve(stored, unanswered=stored.unanswered + 1)
        self.note_try(stored)
        if is_written:
            try:
                rules.check_token(self.stored(), stored, state.present)
            except StoreConflict as error:
                return StoreFailed(error, is_conflict=True)
            self.record = self.machine.number(stored)
        return StoreFailed(FAILED) if fails else Saved(stored, is_mark)

    def note_try(self, stored):
        """Note that a save was tried."""
        issued = self.issued.get(stored.token.access_token)
        if issued is not None:
            self.issued[issued.name] = issued._replace(is_tried=True)

    def delete(self, p):
        stored, process = self.stored(), self.processes[p]
        if isinstance(stored, StoredToken) and not stored.client_sid:
            # A sign-in that replaces another one does not revoke it either, so a later one may have been revoked.
            if self.accepts(stored) and not process.revoked > stored.epoch:
                self.violate("a logout deleted a sign-in without revoking its newest token")
            self.gone.add(stored.epoch)
        if process.revoked:
            self.gone.add(process.revoked)
        self.record = self.machine.deleted(self.record)
        self.change(p, signed_out=tuple(sorted(self.gone)), revoked="")
        return Event.DELETED

    # The server.

    def grant_of(self, epoch):
        return self.grants[ord(epoch) - ord("A")]

    def set_grant(self, epoch, grant):
        self.grants[ord(epoch) - ord("A")] = grant

    def accepts(self, stored):
        """Return whether the server accepts the refresh token of `stored`."""
        token = stored.token.refresh_token
        if token is None or stored.client_sid:
            return False
        grant = self.grant_of(token[1])
        return grant.is_alive and grant.left > 0 and token == f"r{token[1]}{grant.number}"

    def sign_in(self):
        """Return the first token of a new sign-in."""
        epoch = chr(ord("A") + len(self.grants))
        self.grants.append(Grant(left=self._refresh_left()))
        return self._issue(epoch, 1), epoch

    def refresh(self, of):
        """Process a refresh of `of`; return the outcome."""
        sent = of.token.refresh_token
        if of.client_sid:
            self.violate("a token of another client was sent")
            return RequestFailed(Kind.REFUSED, of, FAILED)
        epoch, grant = sent[1], self.grant_of(sent[1])
        if self.accepts(of):
            self.set_grant(epoch, Grant(grant.number + 1, True, self._refresh_left()))
            return Refreshed(of, self._issue(epoch, grant.number + 1))
        if grant.is_alive and sent != f"r{epoch}{grant.number}":
            self._check_reuse(f"r{epoch}{grant.number}")
            self.set_grant(epoch, grant._replace(is_alive=False))
        return RequestFailed(Kind.REFUSED, of, FAILED)

    def revoke(self, p, *, is_reported=True):
        """Revoke the sign-in of what `p` holds, if its refresh token is the newest; return the outcome."""
        stored = self.state(p).held.stored
        if self.accepts(stored):
            self.set_grant(stored.epoch, self.grant_of(stored.epoch)._replace(is_alive=False))
        if not is_reported:
            return RevokeFailed(FAILED)
        self.change(p, revoked=stored.epoch)
        return Event.REVOKED

    def _issue(self, epoch, number):
        token = new_token(f"{epoch}{number}", self.refresh_lifetime)
        self.issued[token.access_token] = Issued(token.access_token, LIFETIME)
        return token

    def _refresh_left(self):
        return float("inf") if self.refresh_lifetime is None else self.refresh_lifetime

    def _check_reuse(self, newest):
        """An old refresh token was sent. That is a fault if the newest one could be known."""
        stored = self.stored()
        if isinstance(stored, StoredToken) and stored.token.refresh_token == newest:
            self.violate("an old refresh token was sent although the store has the newest")
        for p, process in enumerate(self.processes):
            held = self.state(p).held
            if held is None or held.stored.token.refresh_token != newest:
                continue
            if process.flight >= 0:
                self.violate("an old refresh token was sent although the process has the newest")
            if self.state(p).saving is Saving.SAVED and not self.flags[2]:
                self.violate("an old refresh token was sent although the newest was saved")

    # Time.

    def pass_time(self, *, monotonic, wall, true):
        """Move the clocks, and all times that are relative to them, by these seconds."""
        machine = self.machine
        numbers = [self.record] + [number for p in self.processes for number in (p.state, p.flight) if number >= 0]
        moments = sorted({moment for number in numbers for moment in machine.sign_in_times(number)})
        old = [moment for moment in moments if moment - wall < OLD]
        ranked = {moment: OLD - len(old) + index for index, moment in enumerate(old)}
        ranks = tuple((moment, ranked.get(moment, moment - wall)) for moment in moments)

        def aged(number):
            return number if number < 0 else machine.aged(number, monotonic, wall, ranks)

        self.record = aged(self.record)
        self.processes = [p._replace(state=aged(p.state), flight=aged(p.flight)) for p in self.processes]
        self.issued = {
            one.name: one._replace(left=one.left - true, shift=one.shift + wall - true)
            for one in self.issued.values()
            if one.left > true
        }
        self.grants = [grant._replace(left=max(grant.left - true, 0.0)) for grant in self.grants]

    def world(self, *, keeps_names=False):
        """Return the world, and whether it has swapped the processes: the worlds with either order are the same."""
        first, second = self.processes
        is_swapped = second < first and not keeps_names
        processes = (second, first) if is_swapped else (first, second)
        lock = 1 - self.lock if is_swapped and self.lock >= 0 else self.lock
        issued = tuple(sorted(self.issued.values()))
        gone, lost = tuple(sorted(self.gone)), tuple(sorted(self.lost))
        grants = tuple(self.grants)
        world = World(processes, self.record, lock, grants, issued, self.budget, gone, lost, *self.flags)
        return world, is_swapped


def first_world(machine, budget, refresh_lifetime=None, *, is_signed_in=True):
    """Return a world in which two processes have just started, and a sign-in is stored or not."""
    world = World((Process(machine.initial),) * 2, machine.nothing, NO_PROCESS, (), (), budget)
    draft = Draft(world, machine, refresh_lifetime)
    if is_signed_in:
        token, epoch = draft.sign_in()
        stored = StoredToken(token=token, epoch=epoch, signed_in_at=at(-1.0), obtained_at=ORIGIN)
        draft.record = machine.number(stored)
        draft.issued = {one.name: one._replace(is_tried=True) for one in draft.issued.values()}
    return draft.world()[0]


def asks_for_login(draft, p):
    """Return the `AskForLogin` that process `p` comes to, or None."""
    step = draft.machine.decide_unlocked(draft.processes[p].state).next
    return step if isinstance(step, AskForLogin) else None


def _name(held):
    return None if held is None else held.stored.token.access_token
