"""Guessing codes is limited, people are chosen, the journal answers questions about polling."""

from __future__ import annotations

import pytest

from tests.helpers.emulator_caller import Caller
from tests.helpers.page_user import PageUser as Person
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator.messages.refusal import RefusalError
from twilio_oauth_async.emulator.rules.guesses import Guesses
from twilio_oauth_async.emulator.rules.model import Now, Policy

pytestmark = pytest.mark.asyncio


async def test_guessing_is_limited_even_for_the_right_code(caller: Caller, clock: VirtualClock) -> None:
    caller.emulator.policy.guess_limit = 3
    code = await caller.device_code()
    async with Person(caller.emulator) as person:
        form = await person.visit(code["verification_uri"])
        for status in (404, 404, 404, 429):
            await person.submit(form, user_code="WRNG-CODE")
            assert person.status == status
        await person.submit(form, user_code=code["user_code"])
        assert (person.status, person.headers["Retry-After"]) == (429, "61")
        assert "Too many wrong codes" in person.page
        clock.advance(60)
        await person.submit(form, user_code=code["user_code"])
        assert person.status == 200


async def test_the_consent_form_is_no_way_around_the_limit(caller: Caller) -> None:
    caller.emulator.policy.guess_limit = 1
    code = await caller.device_code()
    async with Person(caller.emulator) as person:
        form = await person.submit(await person.visit(code["verification_uri_complete"]))
        await person.submit(form, user_code="WRNG-CODE", decision="approve")
        assert person.status == 404
        await person.submit(form, decision="approve")
        assert person.status == 429
    assert (await caller.poll(code["device_code"]))[1]["error"] == "authorization_pending"


async def test_right_codes_cost_nothing(caller: Caller) -> None:
    caller.emulator.policy.guess_limit = 1
    code = await caller.device_code()
    async with Person(caller.emulator) as person:
        for _ in range(3):
            await person.submit(await person.visit(code["verification_uri_complete"]))
            assert person.status == 200


async def test_the_window_slides(clock: VirtualClock) -> None:
    guesses = Guesses(Policy(guess_limit=2, guess_window=60))

    def at(seconds: float) -> Now:
        return Now(seconds=seconds, wall=clock.now())

    guesses.wrong("client", at(0))
    guesses.wrong("client", at(30))
    guesses.demand_patience("other client", at(30))
    with pytest.raises(RefusalError):
        guesses.demand_patience("client", at(31))
    with pytest.raises(RefusalError) as refused:
        guesses.demand_patience("client", at(59.5))
    assert refused.value.retry_after == 1
    guesses.demand_patience("client", at(60))
    guesses.wrong("client", at(60))
    with pytest.raises(RefusalError):
        guesses.demand_patience("client", at(89))
    guesses.demand_patience("client", at(90))


async def test_clients_that_are_counted_are_bounded(clock: VirtualClock) -> None:
    guesses = Guesses(Policy(guess_limit=1))
    now = Now(seconds=0, wall=clock.now())
    for number in range(10_001):
        guesses.wrong(str(number), now)
    guesses.demand_patience("0", now)
    with pytest.raises(RefusalError):
        guesses.demand_patience("1", now)


async def test_somebody_else_signs_in(caller: Caller) -> None:
    other = caller.emulator.add_user("Grace", "Other", "grace@example.com")
    code = await caller.device_code()
    async with Person(caller.emulator) as person:
        form = await person.submit(await person.visit(code["verification_uri_complete"]))
        assert "grace@example.com" in person.page
        await person.submit(form, decision="approve", user="USnobody")
        assert person.status == 400
        await person.submit(form, decision="approve", user=other.sid)
        assert person.status == 200
    _, token = await caller.poll(code["device_code"])
    _, body, _ = await caller.call("GET", "/v1/userinfo", authorization=f"Bearer {token['access_token']}")
    assert (body["user_sid"], body["friendly_name"]) == (other.sid, "Grace Other")


async def test_the_journal_knows_how_fast_was_polled(caller: Caller, clock: VirtualClock) -> None:
    first, second = await caller.device_code(), await caller.device_code()
    for wait in (0, 5, 7):
        clock.advance(wait)
        await caller.poll(first["device_code"])
    await caller.poll(second["device_code"])
    requests = caller.emulator.requests
    assert requests.poll_gaps() == [5, 7]
    assert requests.poll_gaps(second["device_code"]) == []
    assert not requests.polled_faster_than(5)
    assert requests.polled_faster_than(6)
    clock.advance(1)
    await caller.poll(second["device_code"])
    assert requests.polled_faster_than(5)
