"""A refresh that fails (faults 12, 23, 25, 26, 34 and 36): a sign-in ends only by a definite response."""

import asyncio

import attrs
import pytest

from tests.helpers.event_loop import run_turns
from tests.helpers.scripted_manager import (
    login_required,
    scripted_manager_expired,
    scripted_manager_near_expiry,
)
from twilio_oauth_async import (
    AnswerLostError,
    ApiError,
    ConfigurationError,
    InvalidClientError,
    InvalidGrantError,
    LoginRequired,
    ProtocolError,
    RateLimitedError,
    ServerError,
    TransportError,
    UnauthorizedClientError,
)

pytestmark = pytest.mark.asyncio

MAYBE_PROCESSED = [
    AnswerLostError("lost"),
    ServerError(status=500),
    ServerError(status=503),
    ProtocolError("not readable", status=200),
    ApiError(status=408),
]
UNPROCESSED = [TransportError("never sent"), RateLimitedError(status=429), ConfigurationError("not open")]
CLIENT_REFUSED = [
    InvalidClientError(status=401),
    UnauthorizedClientError(status=400),
    ApiError(status=400, error="an_unknown_code"),
    ApiError(status=403),
]


def name(error):
    return f"{type(error).__name__}{getattr(error, 'status', None) or ''}{getattr(error, 'error', None) or ''}"


@pytest.mark.parametrize("error", MAYBE_PROCESSED + UNPROCESSED + CLIENT_REFUSED, ids=name)
class TestAnyFailure:
    async def test_valid_token_is_returned_and_the_server_not_asked_at_once(self, error):
        setup = await scripted_manager_near_expiry(error)
        for _ in range(3):
            assert await setup.manager.access_token() == "acc-canary-1"
            await run_turns()
        assert len(setup.grant.refreshed) == 1

    async def test_after_expiry_it_is_tried_for_ever_with_growing_waits(self, error):
        waits = [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
        setup = await scripted_manager_expired(*[error] * (len(waits) + 1))
        await setup.fails(0, type(error))
        for number, wait in enumerate(waits, 1):
            for seconds, requests in ((wait - 0.1, number), (0.1, number + 1)):
                for _ in range(3):
                    await setup.fails(0, type(error))
                await setup.fails(seconds, type(error))
                assert len(setup.grant.refreshed) == requests
        setup.clock.advance(300)
        assert await setup.manager.access_token() == "acc-canary-2"
        assert set(setup.grant.refreshed) == {"ref-canary-1"}

    async def test_callers_get_errors_of_their_own(self, error):
        setup = await scripted_manager_expired(error)
        errors = await asyncio.gather(*(setup.manager.token() for _ in range(20)), return_exceptions=True)
        assert {type(each) for each in errors} == {type(error)}
        assert len({id(each) for each in errors}) == 20
        assert not any(each.__context__ or each.__cause__ for each in errors)
        assert len(setup.grant.refreshed) == 1


class TestMark:
    """`StoredToken.unanswered`: the refresh token may be used up already."""

    @pytest.mark.parametrize("error", UNPROCESSED + CLIENT_REFUSED, ids=name)
    async def test_is_removed_if_the_refresh_token_was_not_used(self, error):
        setup = await scripted_manager_near_expiry(error)
        await setup.manager.token()
        await run_turns()
        assert (await setup.stored()).unanswered == 0
        # So the next try is behind the valid token too.
        await setup.pass_time(1)
        assert await setup.manager.access_token() == "acc-canary-1"
        await run_turns()
        assert await setup.manager.access_token() == "acc-canary-2"

    @pytest.mark.parametrize("error", MAYBE_PROCESSED, ids=name)
    async def test_stays_and_nothing_is_sent_while_the_access_token_is_valid(self, error):
        setup = await scripted_manager_near_expiry(error)
        await setup.manager.token()
        await run_turns()
        assert (await setup.stored()).unanswered == 1
        setup.clock.advance(49)
        assert await setup.manager.access_token() == "acc-canary-1"
        await run_turns()
        assert len(setup.grant.refreshed) == 1
        setup.clock.advance(1)
        assert await setup.manager.access_token() == "acc-canary-2"
        assert (await setup.stored()).unanswered == 0

    async def test_survives_a_restart(self):
        setup = await scripted_manager_near_expiry(AnswerLostError("lost"))
        await setup.manager.token()
        await run_turns()
        restarted = setup.another()
        assert await restarted.access_token() == "acc-canary-1"
        await run_turns()
        assert len(setup.grant.refreshed) == 1
        setup.clock.advance(50)
        assert await restarted.access_token() == "acc-canary-2"

    @pytest.mark.parametrize(
        ("then", "marks"), [(RateLimitedError(status=429), 1), (InvalidClientError(status=401), 0)]
    )
    async def test_of_a_lost_response_is_kept_by_429_and_removed_by_a_definite_refusal(self, then, marks):
        setup = await scripted_manager_expired(AnswerLostError("lost"), then)
        await setup.fails(0, AnswerLostError)
        await setup.fails(1, type(then))
        await run_turns()
        assert (await setup.stored()).unanswered == marks

    async def test_is_saved_before_the_request(self):
        """Fault 26: killed between the request and the save, the process leaves the mark."""
        setup = await scripted_manager_near_expiry()
        setup.grant.gate = asyncio.Event()
        await setup.manager.token()
        await run_turns()
        killed = await setup.stored()
        assert (killed.unanswered, killed.generation) == (1, 1)
        setup.grant.gate.set()
        await run_turns()

    async def test_of_a_killed_process_costs_no_sign_in(self):
        """Fault 26: the next start uses the valid token, then tries the refresh token."""
        setup = await scripted_manager_near_expiry()
        stored = await setup.stored()
        await setup.store.save("me", attrs.evolve(stored, unanswered=1), replaces=stored.epoch)
        restarted = setup.another()
        assert await restarted.access_token() == "acc-canary-1"
        await run_turns()
        assert setup.grant.refreshed == []
        setup.clock.advance(50)
        assert await restarted.access_token() == "acc-canary-2"


class TestInvalidGrant:
    async def test_while_the_access_token_is_valid_it_is_used_until_it_expires(self):
        setup = await scripted_manager_near_expiry(InvalidGrantError(status=400))
        assert await setup.manager.access_token() == "acc-canary-1"
        await run_turns()
        assert await setup.manager.access_token() == "acc-canary-1"
        setup.clock.advance(50)
        assert await login_required(setup.manager) == "refused"
        assert setup.grant.refreshed == ["ref-canary-1"]

    async def test_after_expiry_a_login_is_required_and_no_restart_sends_the_refresh_token_again(self):
        setup = await scripted_manager_expired(InvalidGrantError(status=400))
        assert await login_required(setup.manager) == "refused"
        await run_turns()
        assert (await setup.stored()).token.refresh_token is None
        assert await login_required(setup.another()) == "expired"
        setup.clock.advance(10_000)
        assert await login_required(setup.manager) == "refused"
        assert setup.grant.refreshed == ["ref-canary-1"]

    @pytest.mark.parametrize("lost", [False, True])
    async def test_message_says_if_an_earlier_response_was_lost(self, lost):
        setup = await scripted_manager_expired(*[AnswerLostError("lost")] * lost, InvalidGrantError(status=400))
        if lost:
            await setup.fails(0, AnswerLostError)
        setup.clock.advance(1)
        with pytest.raises(LoginRequired) as caught:
            await setup.manager.token()
        assert ("response to an earlier refresh was lost" in str(caught.value)) == lost
        assert caught.value.reason == "refused"

    async def test_newer_token_of_another_process_is_used(self):
        """Fault 23: a process that does not share the lock was faster."""
        setup = await scripted_manager_expired(InvalidGrantError(status=400))
        setup.during_refresh(setup.refresh_elsewhere)
        assert await setup.manager.access_token() == "theirs"
        assert (await setup.stored()).generation == 7

    async def test_token_that_was_deleted_meanwhile_stays_deleted(self):
        setup = await scripted_manager_expired(InvalidGrantError(status=400))
        setup.during_refresh(setup.sign_out_elsewhere)
        assert await login_required(setup.manager) == "signed_out"
        await run_turns()
        assert await setup.is_deleted()

    async def test_login_required_does_not_hide_a_later_sign_in_of_another_process(self):
        setup = await scripted_manager_expired(InvalidGrantError(status=400))
        assert await login_required(setup.manager) == "refused"
        await setup.sign_in_elsewhere()
        assert await setup.manager.access_token() == "theirs"

    async def test_no_refresh_token_requires_a_login(self):
        setup = await scripted_manager_expired()
        await setup.manager.adopt(setup.grant.token(refresh_token=None))
        setup.clock.advance(3600)
        assert await login_required(setup.manager) == "expired"
        assert setup.grant.refreshed == []


class TestRetryAfter:
    async def test_delays_the_next_request(self):
        setup = await scripted_manager_near_expiry(RateLimitedError(status=429, retry_after=30.0))
        for seconds, requests in ((0, 1), (29.9, 1), (0.1, 2)):
            setup.clock.advance(seconds)
            await setup.manager.token()
            await run_turns()
            assert len(setup.grant.refreshed) == requests

    async def test_of_hours_does_not_delay_the_token_of_a_login(self):
        setup = await scripted_manager_expired(ServerError(status=503, retry_after=7200.0))
        await setup.fails(0, ServerError)
        await setup.fails(600, ServerError)
        await setup.manager.login()
        assert await setup.manager.access_token() == "acc-canary-2"
        # Nor its refresh, after it has expired.
        setup.clock.advance(3600)
        assert await setup.manager.access_token() == "acc-canary-3"
        assert setup.grant.refreshed == ["ref-canary-1", "ref-canary-2"]

    @pytest.mark.parametrize("action", ["sign_in_elsewhere", "refresh_elsewhere"])
    async def test_of_hours_does_not_hide_what_another_process_saves(self, action):
        setup = await scripted_manager_expired(ServerError(status=503, retry_after=7200.0))
        await setup.fails(0, ServerError)
        await getattr(setup, action)()
        assert await setup.manager.access_token() == "theirs"
        setup.clock.advance(3600)
        assert (await setup.manager.token()).access_token not in ("acc-canary-1", "theirs")

    async def test_of_hours_never_returns_the_expired_token(self):
        setup = await scripted_manager_near_expiry(ServerError(status=503, retry_after=7200.0))
        assert await setup.manager.access_token() == "acc-canary-1"
        await run_turns()
        for seconds in (50, 3000, 4149):
            await setup.fails(seconds, ServerError)
        assert len(setup.grant.refreshed) == 1
        setup.clock.advance(1)
        assert await setup.manager.access_token() == "acc-canary-2"


async def test_save_that_comes_too_late_yields_to_the_token_of_another_process():
    setup = await scripted_manager_expired()
    setup.during_refresh(setup.refresh_elsewhere)
    assert await setup.manager.access_token() == "theirs"
    assert (await setup.stored()).generation == 7


async def test_log_of_failures_has_no_secret(caplog):
    caplog.set_level("DEBUG")
    setup = await scripted_manager_near_expiry(*MAYBE_PROCESSED, KeyError("ref-canary"))
    for seconds in (0, 60, 5, 5, 60, 60):
        setup.clock.advance(seconds)
        await asyncio.gather(setup.manager.token(), return_exceptions=True)
        await run_turns()
    assert len(setup.grant.refreshed) == 6
    assert "canary" not in caplog.text
