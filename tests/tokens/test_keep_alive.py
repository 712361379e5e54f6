"""`TokenManagers.keep_alive`: idle users stay signed in, by the work of one process of many."""

import asyncio
import contextlib
from datetime import timedelta
from types import SimpleNamespace

import pytest

from tests.helpers.event_loop import other_tasks, run_turns
from tests.helpers.faulty_store import FaultyStore
from tests.helpers.scripted_manager import ScriptedGrant, login_required
from twilio_oauth_async import ConfigurationError, ServerError, StoreError, VirtualClock
from twilio_oauth_async.grants.base import GrantIdentity
from twilio_oauth_async.stores.memory import MemoryTokenStore
from twilio_oauth_async.tokens import managers
from twilio_oauth_async.tokens.managers import TokenManagers

pytestmark = pytest.mark.asyncio

DAY = 86_400


class Processes:
    """One store and grant, for any number of processes that run `keep_alive`; refresh tokens expire after 30 days."""

    def __init__(self):
        self.clock = VirtualClock(auto=False)
        self.grant = ScriptedGrant(self.clock)
        self.store = FaultyStore(MemoryTokenStore(clock=self.clock))
        issue = self.grant.token
        self.grant.token = lambda **members: issue(
            **{"refresh_token_expires_at": self.clock.now() + timedelta(days=30), **members}
        )

    def process(self):
        return TokenManagers(self.grant, store=self.store, clock=self.clock)

    @contextlib.asynccontextmanager
    async def running(self, *groups, **options):
        tasks = [asyncio.create_task(group.keep_alive(**options)) for group in groups]
        await run_turns()
        yield tasks
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await other_tasks() == set()

    async def pass_days(self, days):
        for _ in range(days * 24):
            self.clock.advance(3600)
            await run_turns(40)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Let the first pass start at once; it is spread at random."""
    monkeypatch.setattr(managers.random, "random", lambda: 0.0)


async def test_idle_users_stay_signed_in_for_months():
    setup = Processes()
    for user in ("ada", "bob"):
        await setup.process().get(user).login()
    async with setup.running(setup.process()):
        await setup.pass_days(22)
        assert setup.grant.refreshed == []
        await setup.pass_days(2)
        assert sorted(setup.grant.refreshed) == ["ref-canary-1", "ref-canary-2"]
        await setup.pass_days(60)
    assert 4 <= len(setup.grant.refreshed) <= 8
    for user in ("ada", "bob"):
        assert await login_required(setup.process().get(user)) is None


async def test_two_processes_refresh_once():
    setup = Processes()
    await setup.process().get("ada").login()
    setup.store.slow_down("load", "save", "lock", "users")
    async with setup.running(setup.process(), setup.process()):
        await setup.pass_days(25)
    assert setup.grant.refreshed == ["ref-canary-1"]


async def test_process_that_cannot_acquire_the_lock_tries_again_at_the_next_pass():
    setup = Processes()
    await setup.process().get("ada").login()
    setup.clock.advance(25 * DAY)
    setup.store.fail("lock", times=1)
    async with setup.running(setup.process()):
        assert setup.grant.refreshed == []
        setup.clock.advance(3600)
        await run_turns()
        assert setup.grant.refreshed == ["ref-canary-1"]


async def test_valid_access_token_is_refreshed_as_well():
    setup = Processes()
    group = setup.process()
    await group.get("ada").adopt(
        setup.grant.token(access_token_expires_at=setup.clock.now() + timedelta(days=29, hours=12))
    )
    async with setup.running(group):
        await setup.pass_days(24)
    assert setup.grant.refreshed == ["ref-canary-1"]


@pytest.mark.parametrize("days", [29, 29.9, 60, None], ids=["29 days", "29.9 days", "60 days", "unknown"])
async def test_access_token_that_is_valid_for_longer_does_not_keep_the_refresh_token_from_being_used(days):
    setup = Processes()
    expires_at = None if days is None else setup.clock.now() + timedelta(days=days)
    await setup.process().get("ada").adopt(setup.grant.token(access_token_expires_at=expires_at))
    async with setup.running(setup.process()):
        await setup.pass_days(22)
        assert setup.grant.refreshed == []
        await setup.pass_days(2)
    assert setup.grant.refreshed == ["ref-canary-1"]


async def test_short_refresh_tokens_are_refreshed_after_half_of_their_lifetime():
    setup = Processes()
    token = setup.grant.token(refresh_token_expires_at=setup.clock.now() + timedelta(days=2))
    await setup.process().get("ada").adopt(token)
    async with setup.running(setup.process()):
        setup.clock.advance(23 * 3600)
        await run_turns()
        assert setup.grant.refreshed == []
        await setup.pass_days(1)
    assert setup.grant.refreshed == ["ref-canary-1"]


async def test_refresh_tokens_of_unknown_expiry_are_not_used():
    setup = Processes()
    await setup.process().get("ada").adopt(setup.grant.token(refresh_token_expires_at=None))
    async with setup.running(setup.process()):
        await setup.pass_days(40)
    assert setup.grant.refreshed == []


@pytest.mark.parametrize("fault", ["server", "users", "load", "lock", "grant"])
async def test_faults_do_not_end_it(fault, caplog):
    setup = Processes()
    await setup.process().get("ada").login()
    setup.clock.advance(25 * DAY)
    if fault == "server":
        setup.grant.script = [ServerError(status=503)]
    elif fault == "grant":
        setup.grant.script = [KeyError("ref-canary")]
    else:
        setup.store.fail(fault, error=KeyError("ref-canary"), times=1)
    async with setup.running(setup.process()) as tasks:
        await setup.pass_days(1)
        assert not tasks[0].done()
    assert setup.grant.refreshed[0] == "ref-canary-1"
    assert await login_required(setup.process().get("ada")) is None
    assert "canary" not in caplog.text


async def test_outage_is_a_warning_and_a_pass_of_another_process_is_not(caplog):
    setup = Processes()
    await setup.process().get("ada").login()
    caplog.set_level("INFO", logger="twilio_oauth_async")
    setup.store.fail("load", times=1)
    async with setup.running(setup.process()):
        pass
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "the store failed, so idle sign-ins were not refreshed: down")
    ]
    caplog.clear()
    setup.store.fail("lock", error=StoreError("it is held"), times=1)
    async with setup.running(setup.process()):
        pass
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "another process refreshes the idle sign-ins: it is held")
    ]


async def test_one_user_whose_refresh_fails_does_not_stop_the_others():
    setup = Processes()
    for user in ("ada", "bob", "eve"):
        await setup.process().get(user).login()
    setup.clock.advance(25 * DAY)
    setup.grant.script = [{}, ServerError(status=503), {}]
    async with setup.running(setup.process()):
        pass
    assert len(setup.grant.refreshed) == 3


async def test_invalid_arguments_raise():
    for options in ({"every": 0}, {"every": float("inf")}, {"before": 0}, {"every": float("nan")}):
        with pytest.raises(ConfigurationError):
            await Processes().process().keep_alive(**options)


@pytest.mark.parametrize("skew", [0.0, 10 * DAY])
async def test_time_of_the_server_counts(skew):
    setup = Processes()
    setup.grant.session = SimpleNamespace(clock_skew=0.0, clock=setup.clock)
    await setup.process().get("ada").login()
    setup.grant.session.clock_skew = skew
    async with setup.running(setup.process()):
        await setup.pass_days(15)
    assert len(setup.grant.refreshed) == (1 if skew else 0)


async def test_sign_ins_with_other_scopes_are_left_alone():
    setup = Processes()
    setup.grant.identity = GrantIdentity(client_sid="OQ1", server="https://server.example", scopes=("a",))
    await setup.process().get("ada").login()
    setup.grant.identity = GrantIdentity(client_sid="OQ1", server="https://server.example", scopes=("a", "b"))
    async with setup.running(setup.process()) as tasks:
        await setup.pass_days(25)
        assert not tasks[0].done()
    assert setup.grant.refreshed == []
