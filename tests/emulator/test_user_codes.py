"""User codes: normalization, and the rate limit on wrong ones."""

from __future__ import annotations

import pytest

from tests.helpers.emulator_caller import Caller
from tests.helpers.form_browser import FormBrowser
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.rules.model import Now, Policy
from twilio_oauth_async.emulator.rules.user_codes import UserCodeRateLimit, normalize_user_code

pytestmark = pytest.mark.asyncio


async def test_after_too_many_wrong_codes_the_right_one_gets_429(caller: Caller, clock: VirtualClock) -> None:
    caller.emulator.policy.guess_limit = 3
    code = await caller.device_code()
    async with FormBrowser(caller.emulator) as browser:
        form = await browser.visit(code["verification_uri"])
        for status in (404, 404, 404, 429):
            await browser.submit(form, user_code="WRNG-CODE")
            assert browser.status == status
        await browser.submit(form, user_code=code["user_code"])
        assert (browser.status, browser.headers["Retry-After"]) == (429, "61")
        assert "Too many wrong codes" in browser.page
        clock.advance(60)
        await browser.submit(form, user_code=code["user_code"])
        assert browser.status == 200


async def test_wrong_codes_in_the_consent_form_count_too(caller: Caller) -> None:
    caller.emulator.policy.guess_limit = 1
    code = await caller.device_code()
    async with FormBrowser(caller.emulator) as browser:
        form = await browser.submit(await browser.visit(code["verification_uri_complete"]))
        await browser.submit(form, user_code="WRNG-CODE", decision="approve")
        assert browser.status == 404
        await browser.submit(form, decision="approve")
        assert browser.status == 429
    assert (await caller.poll(code["device_code"]))[1]["error"] == "authorization_pending"


async def test_right_codes_are_not_counted(caller: Caller) -> None:
    caller.emulator.policy.guess_limit = 1
    code = await caller.device_code()
    async with FormBrowser(caller.emulator) as browser:
        for _ in range(3):
            await browser.submit(await browser.visit(code["verification_uri_complete"]))
            assert browser.status == 200


async def test_wrong_codes_are_counted_in_a_sliding_window(clock: VirtualClock) -> None:
    limit = UserCodeRateLimit(Policy(guess_limit=2, guess_window=60))

    def at(seconds: float) -> Now:
        return Now(seconds=seconds, wall=clock.now())

    limit.record_wrong_code("client", at(0))
    limit.record_wrong_code("client", at(30))
    limit.check_rate_limit("other client", at(30))
    with pytest.raises(ErrorResponse):
        limit.check_rate_limit("client", at(31))
    with pytest.raises(ErrorResponse) as caught:
        limit.check_rate_limit("client", at(59.5))
    assert caught.value.retry_after == 1
    limit.check_rate_limit("client", at(60))
    limit.record_wrong_code("client", at(60))
    with pytest.raises(ErrorResponse):
        limit.check_rate_limit("client", at(89))
    limit.check_rate_limit("client", at(90))


async def test_counted_clients_are_limited_to_10000(clock: VirtualClock) -> None:
    limit = UserCodeRateLimit(Policy(guess_limit=1))
    now = Now(seconds=0, wall=clock.now())
    for number in range(10_001):
        limit.record_wrong_code(str(number), now)
    limit.check_rate_limit("0", now)
    with pytest.raises(ErrorResponse):
        limit.check_rate_limit("1", now)


async def test_normalize_user_code_ignores_case_spaces_and_dashes() -> None:
    assert normalize_user_code(" wdjb\N{EN DASH}mjht\t") == "WDJBMJHT"
