"""Two pools on shared stores, driven at random against a strict server and a simple model.

``tests/model`` explores the pure rules exhaustively; this runs the tasks, leases and callbacks around them.
"""

import asyncio
import contextlib

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.helpers.event_loop import run_turns
from tests.helpers.faulty_store import FaultyStore
from tests.helpers.model_flow import ModelFlow, ModelServer
from tests.helpers.random_runs import EXAMPLES, run_at_random
from twilio_oauth_async import TwilioOAuthError, VirtualClock
from twilio_oauth_async.sign_in.flow_steps import Happening
from twilio_oauth_async.sign_in.pool import DeviceFlowPool
from twilio_oauth_async.sign_in.reporter import Reporter
from twilio_oauth_async.sign_in.running import RunningFlow
from twilio_oauth_async.stores.memory import MemoryFlowStore, MemoryTokenStore

POOLS, USERS = (0, 1), ("ada", "bob")
FLOW_METHODS = [
    *("create", "save", "load", "find_user", "list_due", "lease"),
    *("release", "grant", "end", "list_ended", "delete"),
]
TOKEN_METHODS = ["load", "save", "lock"]


async def quietly(call):
    with contextlib.suppress(TwilioOAuthError):
        return await call


class Pools(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.problems = []
        self.loop.set_exception_handler(lambda _, context: self.problems.append(context))
        self.clock = VirtualClock(auto=False)
        self.server = ModelServer(self.clock)
        self.flows = FaultyStore(MemoryFlowStore(clock=self.clock))
        self.tokens = FaultyStore(MemoryTokenStore(clock=self.clock))
        self.ends = {}
        self.submitted = {}
        self.cancelled = set()
        self.failures_of_callback = 0
        self.is_hurt = False
        self.pools = [self.new_pool() for _ in POOLS]

    def new_pool(self):
        flow = ModelFlow(self.server)
        pool = DeviceFlowPool(flow, tokens=self.tokens, flows=self.flows, on_end=self.report, max_flows=10)
        self.run(quietly(pool.open()))
        return pool

    async def report(self, sign_in):
        await asyncio.sleep(0)
        if self.failures_of_callback:
            self.failures_of_callback -= 1
            raise RuntimeError("on_end")
        self.ends.setdefault(sign_in.id, []).append(sign_in.state)

    def run(self, coroutine, turns=60):
        """Run until nothing happens any more; return the result, or None where it still waits."""
        task = self.loop.create_task(coroutine)
        self.loop.run_until_complete(run_turns(turns))
        if not task.done():
            task.cancel()
            self.loop.run_until_complete(run_turns(2))
            return None
        return None if task.cancelled() else task.result()

    def settle(self):
        self.loop.run_until_complete(run_turns(60))

    @rule(p=st.sampled_from(POOLS), user=st.sampled_from(USERS))
    def submit(self, p, user):
        sign_in = self.run(quietly(self.pools[p].submit(user)))
        if sign_in is not None:
            self.submitted[sign_in.id] = sign_in.user_code.lower()

    @rule(data=st.data(), decision=st.sampled_from(["approved", "approved", "denied"]))
    def user_decides(self, data, decision):
        pending = [code for code in self.submitted.values() if self.server.codes[code].state == "pending"]
        if pending:
            self.server.codes[data.draw(st.sampled_from(pending))].state = decision

    @rule(data=st.data(), p=st.sampled_from(POOLS))
    def cancel(self, data, p):
        if self.submitted:
            id_ = data.draw(st.sampled_from(sorted(self.submitted, key=self.submitted.get)))
            self.run(quietly(self.pools[p].cancel(id_)))
            flow = self.loop.run_until_complete(self.flows.inner.load(id_))
            if flow is not None and flow.state == "cancelled":
                self.cancelled.add(id_)

    @rule(seconds=st.sampled_from([1.0, 3.0, 6.0, 15.0, 31.0]))
    def time_passes(self, seconds):
        self.pass_time(seconds)

    def pass_time(self, seconds):
        while seconds > 0:
            step = min(seconds, 2.5)
            self.clock.advance(step)
            self.settle()
            seconds -= step

    @rule(seconds=st.sampled_from([40.0, 200.0]))
    def machine_is_suspended(self, seconds):
        self.clock.suspend(seconds)
        self.settle()

    @rule(number=st.integers(1, 2))
    def responses_are_lost(self, number):
        self.server.lost = number
        self.is_hurt = True

    @rule(method=st.sampled_from(FLOW_METHODS), times=st.integers(1, 4), is_after=st.booleans())
    def flow_store_fails(self, method, times, is_after):
        self.fail(self.flows, method, times, is_after)

    @rule(method=st.sampled_from(TOKEN_METHODS), times=st.integers(1, 4), is_after=st.booleans())
    def token_store_fails(self, method, times, is_after):
        self.fail(self.tokens, method, times, is_after and method == "save")

    def fail(self, store, method, times, is_after):
        def fail(*_):
            raise OSError

        if is_after:
            store.after(method, fail, times=times)
        else:
            store.fail(method, times=times)

    @rule()
    def stores_work_again(self):
        self.flows.repair()
        self.tokens.repair()

    @rule()
    def callback_fails(self):
        self.failures_of_callback = 2

    @rule(p=st.sampled_from(POOLS), turns=st.integers(0, 30))
    def process_is_killed(self, p, turns):
        """Stop all tasks of a pool at once, so that it writes nothing any more, and start another process."""
        self.clock.advance(1)
        self.loop.run_until_complete(run_turns(turns))
        pool = self.pools[p]
        tasks = {
            *pool._upkeep._tasks,
            *pool._members.tasks(),
            *pool._members._followers.values(),
            *pool._reporter.tasks.values(),
        }
        for task in tasks:
            task.cancel()
        self.settle()
        pool._is_open = False
        self.is_hurt = True
        self.pools[p] = self.new_pool()

    @rule(p=st.sampled_from(POOLS))
    def process_restarts(self, p):
        closing = self.loop.create_task(self.pools[p].close())
        for _ in range(10):
            self.settle()
            if closing.done():
                break
            self.clock.advance(2)
        closing.result()
        self.pools[p] = self.new_pool()

    @invariant()
    def nothing_is_wrong(self):
        unexpected = [each for each in self.problems if "on_end" not in each["message"]]
        assert not unexpected, unexpected
        assert not self.server.early, "an early poll"
        for id_, states in self.ends.items():
            assert len(set(states)) == 1, "an end has changed"
            assert states[0] != "approved" or id_ not in self.cancelled, "cancelled, and then approved"
        for code in self.server.codes.values():
            assert code.exchanges <= 1

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
        """With no more faults, every sign-in ends, its end is reported, and an approved one has its token."""
        self.stores_work_again()
        self.failures_of_callback = 0
        self.server.lost = 0
        for pool in self.pools:
            if not pool._is_open:
                self.run(pool.open())
        for _ in range(40):
            self.pass_time(20)
            if set(self.submitted) <= set(self.ends):
                break
        self.nothing_is_wrong()
        assert set(self.submitted) <= set(self.ends), "an end was not reported"
        latest = {}
        for id_, code in self.submitted.items():
            user = self.loop.run_until_complete(self.stored_user(code))
            if self.ends[id_][0] == "approved":
                latest[code] = user
            elif not self.is_hurt:
                assert not self.server.codes[code].is_token_valid, "a token is valid that no process has"
                assert user is None, "a token of a sign-in that was not approved is stored"
        assert not latest or any(latest.values()), "the token of the last approved sign-in is stored"
        for pool in self.pools:
            closing = self.loop.create_task(pool.close())
            self.settle()
            self.clock.advance(10)
            self.settle()
            closing.result()

    async def stored_user(self, code):
        """Return the user whose stored token came from `code`; None if there is none."""
        for key, stored in self.tokens.inner._records.items():
            token = getattr(stored, "token", None)
            if token is not None and token.access_token == f"token-of-{code}":
                return key
        return None


def test_pools_of_two_processes():
    run_at_random(Pools, EXAMPLES or 60)


async def granted_without_the_store(self):
    return Happening.GRANTED


MUTANTS = {
    "receipt not recorded": (
        (RunningFlow, "_grant", granted_without_the_store),
        "cancelled|not approved|no process has|not reported",
    ),
    "not reported": ((Reporter, "start", lambda *_, **__: None), "not reported"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_random_runs_can_fail(name, monkeypatch):
    (owner, attribute, mutant), violation = MUTANTS[name]
    monkeypatch.setattr(owner, attribute, mutant)
    with pytest.raises(AssertionError, match=violation):
        run_at_random(Pools, 1_000)  # it ends at the first violation
