"""Managers of two processes and of a second app, driven at random against a strict server and a simple model.

``tests/model`` explores the pure state machine exhaustively; this runs the tasks, locks and clocks around it.
"""

import asyncio
import contextlib

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.helpers.event_loop import run_turns
from tests.helpers.faulty_store import FaultyStore
from tests.helpers.random_runs import EXAMPLES, run_at_random
from tests.helpers.strict_server import FAULTS, StrictGrant, StrictServer
from tests.model import mutants
from twilio_oauth_async import LoginRequired, Token, TwilioOAuthError, VirtualClock
from twilio_oauth_async.stores.memory import MemoryTokenStore
from twilio_oauth_async.tokens import rounds, worker
from twilio_oauth_async.tokens.identity import key_of
from twilio_oauth_async.tokens.manager import TokenManager

APPS = ("one", "one", "two")
"""The app of each process."""

processes = st.sampled_from((0, 0, 0, 1, 1, 1, 2))
apps = st.sampled_from(("one", "one", "one", "two"))


async def quietly(call):
    with contextlib.suppress(TwilioOAuthError):
        await call


class RecordingStore(MemoryTokenStore):
    """Remembers the token with a refresh token that was saved last under each key, until it is deleted."""

    def __init__(self, clock):
        super().__init__(clock=clock)
        self.last = {}

    async def save(self, key, stored, *, replaces):
        await super().save(key, stored, replaces=replaces)
        if stored.token.refresh_token is not None or key not in self.last or self.last[key].epoch != stored.epoch:
            self.last[key] = stored

    async def delete(self, key):
        await super().delete(key)
        self.last.pop(key, None)


class Managers(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.problems = []
        self.loop.set_exception_handler(lambda _, context: self.problems.append(context["message"]))
        self.clock = VirtualClock(auto=False)
        self.store = FaultyStore(RecordingStore(self.clock))
        self.servers = {app: StrictServer(self.clock, app) for app in APPS}
        self.managers = [self.manager(app) for app in APPS]
        self.pending = set()
        self.signed_out = set()
        self.is_wall_set = False
        self.is_rejected = False
        self.may_be_confused = False

    def manager(self, app):
        return TokenManager(StrictGrant(self.servers[app]), store=self.store, key="me", clock=self.clock)

    def run(self, coroutine):
        """Run until nothing happens any more; what still waits then is left to go on."""
        task = self.loop.create_task(coroutine)
        self.pending.add(task)
        self.settle()
        return task

    def settle(self):
        self.loop.run_until_complete(run_turns(80))
        for task in [task for task in self.pending if task.done()]:
            self.pending.discard(task)
            if not task.cancelled():
                task.result()

    def key(self, p):
        return key_of(StrictGrant(self.servers[APPS[p]]), "me")

    def stored(self, p):
        """Return what is stored for the app of process `p`."""
        return self.loop.run_until_complete(self.store.inner.load(self.key(p)))

    def is_deleted(self, p):
        return self.loop.run_until_complete(self.store.inner.is_deleted(self.key(p)))

    async def ask(self, p, **options):
        """Ask for a token and check what comes; return it, or the error."""
        try:
            token = await self.managers[p].token(**options)
        except TwilioOAuthError as error:
            return error
        assert token.access_token.startswith(f"a-{APPS[p]}-"), "the token of another app"
        assert token.access_token_expires_at > self.clock.now(), "expired by the wall clock"
        used = self.managers[p]._worker.state.used
        is_own = used is not None and used.is_new and used.stored.token == token
        # A process that loads a token while its wall clock is wrong cannot know when it expires.
        if is_own or not self.is_wall_set:
            assert self.servers[APPS[p]].expires[token.access_token] > self.clock.monotonic(), "expired"
        return token

    @initialize(signed_in=st.sets(processes), may_be_confused=st.booleans())
    def start(self, signed_in, may_be_confused):
        self.may_be_confused = may_be_confused  # half of the runs check more: see `nothing_is_wrong`
        self.repair_store()
        for p in sorted(signed_in):
            self.login(p)

    @rule(p=processes)
    def token(self, p):
        """No login is asked for while the server accepts what was stored, or what the process holds."""
        server, held = self.servers[APPS[p]], self.managers[p]._worker.state.held
        last = self.store.inner.last.get(self.key(p))
        is_deleted = self.is_deleted(p)
        task = self.run(self.ask(p))
        if not task.done() or not isinstance(task.result(), LoginRequired):
            return
        if last is not None:
            assert not server.accepts(last.token), "a login although the server accepts what was stored"
        if held is not None and not is_deleted and (last is None or last.epoch == held.stored.epoch):
            assert not server.accepts(held.stored.token), "a login although the server accepts what is held"

    @rule(p=processes, seconds=st.sampled_from([30.0, 7200.0]))
    def token_for_a_while(self, p, seconds):
        self.run(self.ask(p, min_valid_for=seconds))

    @rule(p=processes)
    def refresh_before_it_is_due(self, p):
        async def refresh():
            token = await self.ask(p)
            if not isinstance(token, TwilioOAuthError):
                await quietly(self.managers[p].refresh(token.access_token))

        self.run(refresh())

    @rule(callers=st.lists(processes, min_size=2, max_size=6))
    def many_tokens(self, callers):
        for p in callers:
            self.pending.add(self.loop.create_task(self.ask(p)))
        self.settle()

    @rule(p=processes, turns=st.integers(0, 12))
    def cancelled_caller(self, p, turns):
        task = self.loop.create_task(self.ask(p))
        self.loop.run_until_complete(run_turns(turns))
        task.cancel()
        self.pending.add(task)
        self.settle()

    @rule(p=processes)
    def login(self, p):
        self.run(quietly(self.managers[p].login()))

    @rule(p=processes)
    def logout(self, p):
        server = self.servers[APPS[p]]

        async def logout():
            try:
                await self.managers[p].logout()
            except TwilioOAuthError:
                return
            if stored is not None and not server.accepts(stored.token):
                self.signed_out.add(stored.epoch)

        stored = self.stored(p)
        task = self.run(logout())
        if task.done() and stored is not None and stored.epoch in self.signed_out:
            present = self.stored(p)
            assert present is None or present.epoch != stored.epoch

    @precondition(lambda self: self.may_be_confused)
    @rule(p=processes)
    def rejected_token(self, p):
        used = self.managers[p]._worker.state.used
        if used is not None:
            self.is_rejected = True
            self.managers[p].invalidate(used.stored.token.access_token)
        self.settle()

    @rule(app=apps, faults=st.lists(st.sampled_from(sorted(FAULTS)), min_size=1, max_size=3))
    def server_fails(self, app, faults):
        self.servers[app].faults += faults

    @rule(app=apps)
    def server_is_slow(self, app):
        self.servers[app].open.clear()

    @rule(app=apps)
    def server_recovers(self, app):
        self.servers[app].faults.clear()
        self.servers[app].open.set()
        self.settle()

    @rule(method=st.sampled_from(["load", "lock", "save", "delete", "unlock"]), times=st.integers(1, 3))
    def store_fails(self, method, times):
        self.store.fail(method, times=times)

    @rule(method=st.sampled_from(["load", "save", "delete"]))
    def response_of_store_is_lost(self, method):
        def fail(*_):
            raise OSError

        self.store.after(method, fail, times=1)

    @rule()
    def repair_store(self):
        self.store.repair()
        self.store.slow_down("load", "lock", "save", "delete")

    @rule(seconds=st.sampled_from([1.0, 5.0, 60.0, 300.0, 3245.0, 3550.0, 3600.0, 7200.0]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)
        self.settle()

    @rule(times=st.lists(st.sampled_from([10.0, 3550.0, 3600.0]), min_size=1, max_size=4))
    def processes_ask_for_a_while(self, times):
        for seconds in times:
            self.time_passes(seconds)
            self.many_tokens([0, 1])
            for p in range(len(APPS)):
                self.token(p)

    @rule(app=apps, fault=st.sampled_from(sorted(FAULTS)), after=st.sampled_from([10.0, 60.0]))
    def refresh_fails_before_expiry(self, app, fault, after):
        self.servers[app].faults.append(fault)
        self.processes_ask_for_a_while([3550.0, after])

    @precondition(lambda self: self.may_be_confused)
    @rule(seconds=st.sampled_from([-7200.0, -60.0, 60.0, 7200.0]))
    def wall_clock_is_set(self, seconds):
        self.is_wall_set = True
        self.clock.shift_wall(seconds)

    @rule(p=processes, turns=st.integers(0, 12))
    def crash(self, p, turns):
        self.pending.add(self.loop.create_task(self.ask(p)))
        self.loop.run_until_complete(run_turns(turns))
        self.stop(p)
        self.managers[p] = self.manager(APPS[p])

    def stop(self, p):
        """End the tasks of process `p`. A token that has arrived is saved first, as without this no test could end."""
        manager, rounds = self.managers[p], self.managers[p]._rounds
        tasks = {rounds._round, rounds._background, manager._login._task, *manager._keeping} - {None}
        for task in tasks | self.pending:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        self.settle()

    @rule(p=processes)
    def background_starts(self, p):
        self.run(self.managers[p].__aenter__())

    @rule(p=processes)
    def close(self, p):
        self.run(self.managers[p].close())

    @invariant()
    def nothing_is_wrong(self):
        assert not self.problems
        for p, app in enumerate(APPS):
            server, stored = self.servers[app], self.stored(p)
            assert not server.foreign, "a token was sent to another app's server"
            last = self.store.inner.last.get(self.key(p))
            newest = None if last is None else last.token.refresh_token
            assert newest not in server.reused, "an old refresh token was sent although the newest was saved"
            assert self.is_wall_set or self.is_rejected or not server.early, "sent again while the token is valid"
            assert server.most_under_way <= 1, "two requests at once"
            assert stored is None or stored.token.access_token.startswith(f"a-{app}-")
            assert stored is None or stored.epoch not in self.signed_out, "a logout was undone"

    def teardown(self):
        try:
            self.come_to_an_end()
        finally:
            tasks = asyncio.all_tasks(self.loop)
            for task in tasks:
                task.cancel()
            if tasks:
                self.loop.run_until_complete(asyncio.wait(tasks))
            self.loop.close()

    def come_to_an_end(self):
        """With no more faults, every process comes to a valid token or to a login."""
        self.repair_store()
        for app in APPS:
            self.server_recovers(app)
        for seconds in (0.0, 1.0, 300.0, 7200.0):
            self.clock.advance(seconds)
            self.settle()
            ends = [self.run(self.ask(p)) for p in range(len(APPS))]
        assert all(end.done() for end in ends)
        for p, end in enumerate(ends):
            assert isinstance(end.result(), Token | LoginRequired), end.result()
            self.loop.run_until_complete(self.managers[p].close())
            self.stop(p)
        assert not self.pending
        assert not asyncio.all_tasks(self.loop)


def test_managers_of_two_processes():
    run_at_random(Managers, EXAMPLES or 100)


MUTANTS = {
    "a passing fault taken for a refusal": ({"advance": mutants.refused_by_503}, "a login although"),
    "the wall clock alone": ({"decide": mutants.with_one_clock}, "expired"),
    "sent again after a loss": ({"advance": mutants.without_mark_after_loss}, "sent again"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_random_runs_can_fail(name, monkeypatch):
    functions, violation = MUTANTS[name]
    for function, mutant in functions.items():
        for module in (worker, rounds):
            if hasattr(module, function):
                monkeypatch.setattr(module, function, mutant)
    with pytest.raises(AssertionError, match=violation):
        run_at_random(Managers, 1_000)  # it ends at the first violation
