"""What a caller of `TokenManager` sees while all goes well: fresh tokens, one refresh, logins and logouts."""

import asyncio

import pytest

from tests.helpers.event_loop import run_turns
from tests.helpers.scripted_manager import ScriptedGrant, ScriptedManager, login_required
from twilio_oauth_async import (
    AccessDeniedError,
    ConfigurationError,
    LoginRequired,
    OAuthSession,
    RevocationUnsupported,
    ServerError,
    Token,
    TransportError,
    VirtualClock,
)
from twilio_oauth_async.tokens.manager import TokenManager

pytestmark = pytest.mark.asyncio


async def test_bad_use_is_told_at_once():
    grant = ScriptedGrant(VirtualClock())
    for options in (
        {"store": ScriptedManager().store},
        {"store": ScriptedManager().store, "key": ""},
        {"leeway": -1},
        {"leeway": float("nan")},
    ):
        with pytest.raises(ConfigurationError):
            TokenManager(grant, **options)
    async with OAuthSession() as session:
        with pytest.raises(ConfigurationError, match="DeviceFlow"):
            TokenManager(session)


async def test_nobody_has_signed_in():
    setup = ScriptedManager()
    with pytest.raises(LoginRequired, match="nobody has signed in"):
        await setup.manager.token()
    assert setup.grant.obtained == 0


async def test_login_on_demand():
    setup = ScriptedManager()
    token = await setup.manager.token(login=True)
    assert token.access_token == await setup.manager.access_token() == "acc-canary-1"
    assert (await setup.stored()).token == token
    assert (setup.grant.obtained, (await setup.stored()).generation) == (1, 1)


async def test_many_who_need_a_login_cause_one():
    setup = ScriptedManager()
    tokens = await asyncio.gather(*(setup.manager.token(login=True) for _ in range(50)))
    assert {token.access_token for token in tokens} == {"acc-canary-1"}
    assert setup.grant.obtained == 1


async def test_a_refused_login_is_told():
    setup = ScriptedManager(AccessDeniedError(status=400))
    with pytest.raises(AccessDeniedError):
        await setup.manager.token(login=True)
    assert await setup.stored() is None


async def test_a_fresh_token_touches_neither_store_nor_lock():
    setup = ScriptedManager()
    await setup.manager.login()
    setup.store.calls.clear()
    for _ in range(10):
        setup.clock.advance(300)
        await setup.manager.token()
    assert setup.store.calls == []


@pytest.mark.parametrize(("advance", "refreshes"), [(3539.9, 0), (3540, 1), (3600, 1), (99_999, 1)])
async def test_refresh_is_due_one_leeway_before_the_end(advance, refreshes):
    setup = ScriptedManager()
    await setup.manager.login()
    setup.clock.advance(advance)
    await setup.manager.token()
    assert len(setup.grant.refreshed) == refreshes


async def test_the_order_that_survives_a_crash():
    setup = ScriptedManager()
    await setup.manager.login()
    setup.clock.advance(3600)
    seen = []

    async def send(token, refresh=setup.grant.refresh):
        seen.append((await setup.stored()).unanswered)
        setup.store.calls.append("request")
        return await refresh(token)

    setup.grant.refresh = send
    setup.store.calls.clear()
    await setup.manager.token()
    assert setup.store.calls[-6:] == ["lock", "load", "save", "request", "save", "unlock"]
    assert seen == [1]
    stored = await setup.stored()
    assert (stored.generation, stored.unanswered, stored.token.refresh_token) == (2, 0, "ref-canary-2")


async def test_a_hundred_tasks_at_expiry_cause_one_refresh():
    setup = ScriptedManager()
    await setup.manager.login()
    setup.clock.advance(3600)
    tokens = await asyncio.gather(*(setup.manager.token() for _ in range(100)))
    assert {token.access_token for token in tokens} == {"acc-canary-2"}
    assert setup.grant.refreshed == ["ref-canary-1"]


async def test_managers_that_share_a_store_share_a_refresh():
    setup = ScriptedManager()
    await setup.manager.login()
    others = [setup.another() for _ in range(8)]
    setup.clock.advance(3600)
    tokens = await asyncio.gather(*(manager.token() for manager in (setup.manager, *others)))
    assert {token.access_token for token in tokens} == {"acc-canary-2"}
    assert setup.grant.refreshed == ["ref-canary-1"]


async def test_an_answer_without_a_refresh_token_keeps_the_old_one():
    setup = ScriptedManager({"scope": "openid"}, {"refresh_token": None})
    await setup.manager.login()
    setup.clock.advance(3600)
    token = await setup.manager.token()
    assert (token.refresh_token, token.scope) == ("ref-canary-1", "openid")
    assert (await setup.stored()).token == token


@pytest.mark.parametrize("cancelled", [1, 2])
async def test_a_cancelled_caller_kills_neither_the_refresh_nor_the_save(cancelled):
    setup = ScriptedManager()
    await setup.manager.login()
    setup.clock.advance(3600)
    setup.grant.gate = asyncio.Event()
    callers = [asyncio.create_task(setup.manager.token()) for _ in range(2)]
    await run_turns()
    for caller in callers[:cancelled]:
        caller.cancel()
    await run_turns()
    assert [caller.cancelled() for caller in callers] == [True, cancelled == 2]
    assert setup.manager.is_busy
    closing = asyncio.create_task(setup.manager.close())
    await run_turns()
    assert not closing.done()
    setup.grant.gate.set()
    await closing
    assert not setup.manager.is_busy
    assert (await setup.stored()).token.access_token == "acc-canary-2"
    assert setup.grant.refreshed == ["ref-canary-1"]


async def test_a_cancelled_login_is_not_finished_but_what_it_brought_is_saved():
    setup = ScriptedManager()
    setup.grant.gate = asyncio.Event()
    login = asyncio.create_task(setup.manager.login())
    await run_turns()
    login.cancel()
    with pytest.raises(asyncio.CancelledError):
        await login
    setup.grant.gate.set()
    await run_turns()
    assert await setup.stored() is None
    assert not setup.manager.is_busy


async def test_a_token_that_came_another_way():
    setup = ScriptedManager()
    await setup.manager.adopt(setup.grant.token(access_token="adopted"))
    assert await setup.manager.access_token() == "adopted"
    first = await setup.stored()
    setup.clock.advance(1)
    await setup.manager.adopt(setup.grant.token(access_token="again"))
    second = await setup.stored()
    assert (first.generation, second.generation) == (1, 1)
    assert first.epoch != second.epoch
    assert second.signed_in_at > first.signed_in_at


async def test_memory_of_its_own_needs_no_key():
    clock = VirtualClock(auto=False)
    manager = TokenManager(ScriptedGrant(clock))
    await manager.login()
    assert await manager.access_token() == "acc-canary-1"


class TestInvalidate:
    async def test_one_refresh_for_all_who_were_refused(self):
        setup = ScriptedManager()
        await setup.manager.login()
        for _ in range(100):
            setup.manager.invalidate("acc-canary-1")
        tokens = await asyncio.gather(*(setup.manager.token() for _ in range(100)))
        assert {token.access_token for token in tokens} == {"acc-canary-2"}
        setup.manager.invalidate("acc-canary-1")  # a late one: that token is gone already
        assert await setup.manager.access_token() == "acc-canary-2"
        assert setup.grant.refreshed == ["ref-canary-1"]

    async def test_a_sibling_s_newer_token_is_used(self):
        setup = ScriptedManager()
        await setup.manager.login()
        other = setup.another()
        await other.token()
        other.invalidate("acc-canary-1")
        assert await other.access_token() == "acc-canary-2"
        setup.manager.invalidate("acc-canary-1")
        assert await setup.manager.access_token() == "acc-canary-2"
        assert setup.grant.refreshed == ["ref-canary-1"]

    async def test_a_server_that_refuses_everything_does_not_cause_a_loop(self):
        setup = ScriptedManager()
        await setup.manager.login()
        for _ in range(20):
            setup.manager.invalidate(await setup.manager.access_token())
        assert len(setup.grant.refreshed) == 1
        setup.clock.advance(1)
        await setup.manager.token()
        assert len(setup.grant.refreshed) == 2

    async def test_before_anything_is_loaded(self):
        setup = ScriptedManager()
        await setup.manager.login()
        other = setup.another()
        other.invalidate("acc-canary-1")
        assert await other.access_token() == "acc-canary-2"

    async def test_without_a_refresh_token_a_person_is_needed(self):
        setup = ScriptedManager({"refresh_token": None})
        await setup.manager.login()
        setup.manager.invalidate("acc-canary-1")
        assert await login_required(setup.manager)
        assert (await setup.manager.token(login=True)).access_token == "acc-canary-2"


class TestOnToken:
    @pytest.mark.parametrize("kind", ["function", "coroutine function"])
    async def test_each_new_token_is_told_after_it_was_saved(self, kind):
        told = []

        async def tell(token):
            told.append((token.access_token, (await setup.stored()).token.access_token))

        def note(token):
            told.append((token.access_token, token.access_token))

        setup = ScriptedManager(on_token=note if kind == "function" else tell)
        await setup.manager.login()
        setup.clock.advance(3600)
        await setup.manager.token()
        await setup.manager.adopt(setup.grant.token(access_token="adopted"))
        assert told == [(name, name) for name in ("acc-canary-1", "acc-canary-2", "adopted")]

    async def test_a_token_found_in_the_store_is_not_new(self):
        setup, told = ScriptedManager(), []
        await setup.manager.login()
        await setup.another(on_token=told.append).token()
        assert told == []


class TestLogout:
    async def test_revoked_and_forgotten(self):
        setup = ScriptedManager()
        token = await setup.manager.login()
        await setup.manager.logout()
        assert setup.grant.revoked == [token]
        assert await setup.stored() is None
        assert await login_required(setup.manager)

    async def test_nobody_was_signed_in(self):
        setup = ScriptedManager()
        await setup.manager.logout()
        assert setup.grant.revoked == []

    @pytest.mark.parametrize("error", [ServerError(status=503), TransportError("gone"), ConfigurationError("not open")])
    async def test_a_token_that_could_not_be_revoked_is_kept(self, error):
        setup = ScriptedManager()
        token = await setup.manager.login()
        setup.grant.script = [error]
        with pytest.raises(type(error)):
            await setup.manager.logout()
        assert (await setup.stored()).token == token
        assert await setup.manager.token() == token

    async def test_a_server_without_revocation(self):
        setup = ScriptedManager()
        await setup.manager.login()
        setup.grant.script = [RevocationUnsupported("the server has no revocation_endpoint")]
        with pytest.raises(RevocationUnsupported):
            await setup.manager.logout()
        assert await setup.stored() is None
        assert await login_required(setup.manager)

    async def test_siblings_notice(self):
        setup = ScriptedManager()
        await setup.manager.login()
        other = setup.another()
        await other.token()
        await setup.manager.logout()
        setup.clock.advance(3600)
        assert await login_required(other)
        assert setup.grant.refreshed == []


class TestPersonFree:
    async def test_the_grant_is_run_whenever_a_token_is_needed(self):
        setup = ScriptedManager(interactive=False)
        assert await setup.manager.access_token() == "acc-canary-1"
        setup.clock.advance(3600)
        assert await setup.manager.access_token() == "acc-canary-2"
        setup.manager.invalidate("acc-canary-2")
        setup.clock.advance(1)
        assert await setup.manager.access_token() == "acc-canary-3"
        assert setup.grant.refreshed == []

    async def test_many_at_once_cause_one_request(self):
        setup = ScriptedManager(interactive=False)
        await asyncio.gather(*(manager.token() for manager in [setup.manager, setup.another()] for _ in range(50)))
        assert setup.grant.obtained == 1


async def test_no_secret_is_shown(caplog):
    setup = ScriptedManager()
    caplog.set_level(0)
    await setup.manager.login()
    setup.clock.advance(3600)
    await setup.manager.token()
    assert "canary" not in repr(setup.manager) + repr(setup.manager._steps) + repr(setup.manager._held) + caplog.text
    assert isinstance(await setup.manager.token(), Token)
