"""Which requests a fault hits, how often, and which arguments are rejected."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
import pytest

from tests.helpers.emulator_caller import Caller
from tests.helpers.raw_client import CERTS, approved_device_code
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio


async def test_fault_hits_one_request_by_default(caller: Caller) -> None:
    fault = caller.emulator.faults.on("certs").respond(503, retry_after=3)
    status, body, response = await caller.call("GET", CERTS)
    assert (status, body["error"], response.headers["Retry-After"]) == (503, "temporarily_unavailable", "3")
    assert (await caller.call("GET", CERTS))[0] == 200
    assert (fault.hits, fault.is_used_up, caller.emulator.faults.unused) == (1, True, [])
    first, second = caller.emulator.requests
    assert first.fault is not None
    assert "respond(503)" in first.fault
    assert second.fault is None


async def test_times_after_and_order_of_faults(caller: Caller) -> None:
    faults = caller.emulator.faults
    faults.on("certs").after(1).times(2).respond(500)
    faults.on("certs").respond(404)
    assert [(await caller.call("GET", CERTS))[0] for _ in range(5)] == [404, 500, 500, 200, 200]


async def test_always_hits_until_removed(caller: Caller) -> None:
    fault = caller.emulator.faults.on().always().respond(500)
    assert [(await caller.call("GET", CERTS))[0] for _ in range(3)] == [500] * 3
    assert caller.emulator.faults.unused == []
    caller.emulator.faults.remove(fault)
    caller.emulator.faults.remove(fault)
    assert (await caller.call("GET", CERTS))[0] == 200
    never_hit = caller.emulator.faults.on("revoke").always().respond(500)
    assert caller.emulator.faults.unused == [never_hit]
    caller.emulator.faults.clear()
    assert caller.emulator.faults.unused == []


async def test_chance_hits_the_same_requests_with_the_same_seed(clock: VirtualClock) -> None:
    runs: list[list[int]] = []
    for _ in range(2):
        async with Emulator(clock=clock, seed=3) as emulator, aiohttp.ClientSession() as http:
            emulator.faults.on("certs").always().chance(0.5).respond(500)
            caller = Caller(emulator, http)
            runs.append([(await caller.call("GET", CERTS))[0] for _ in range(20)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 500}


async def test_fault_for_one_kind_of_token_request(caller: Caller) -> None:
    token = await caller.sign_in()
    caller.emulator.faults.on("refresh").respond(500)
    code = await approved_device_code(caller)
    assert (await caller.poll(code["device_code"]))[0] == 201
    assert (await caller.refresh(token["refresh_token"]))[0] == 500
    assert [request.kind for request in caller.emulator.requests.to("token")] == ["poll", "poll", "refresh"]
    assert len(caller.emulator.requests.to("refresh")) == 1


async def test_when_hits_only_requests_that_match_the_condition(caller: Caller) -> None:
    caller.emulator.faults.on("certs").when(lambda request: request.query.get("x") == "1").respond(500)
    assert (await caller.call("GET", CERTS))[0] == 200
    assert (await caller.call("GET", CERTS + "?x=1"))[0] == 500


async def test_on_success_does_not_hit_an_error_response(caller: Caller, clock: VirtualClock) -> None:
    fault = caller.emulator.faults.on("poll").on_success().change(access_token="forged")
    code = await caller.device_code()
    assert (await caller.poll(code["device_code"]))[1]["error"] == "authorization_pending"
    assert fault.hits == 0
    await caller.emulator.approve(code["user_code"])
    clock.advance(5)
    assert (await caller.poll(code["device_code"]))[1]["access_token"] == "forged"


async def test_invalid_arguments_raise_value_error(caller: Caller) -> None:
    on = caller.emulator.faults.on
    invalid_calls: tuple[Callable[[], object], ...] = (
        lambda: on("unknown"),  # type: ignore[arg-type]
        lambda: on().times(0),
        lambda: on().after(0),
        lambda: on().chance(1.5),
        lambda: on().truncate(1),
        lambda: on().drip(chunk=0),
        lambda: on().stall("after"),
        lambda: on().reset("unknown"),  # type: ignore[arg-type]
        lambda: on().garble("unknown"),  # type: ignore[arg-type]
        lambda: on().id_token(signed_by="unknown"),  # type: ignore[arg-type]
    )
    for call in invalid_calls:
        with pytest.raises(ValueError, match=r"must be (one of|at least|between|before)|no such endpoint"):
            call()


async def test_change_and_omit_do_nothing_on_a_body_that_is_not_json(caller: Caller) -> None:
    caller.emulator.faults.on("certs").html().change(x=1).omit("y")
    assert "Bad Gateway" in (await caller.call("GET", CERTS))[1]


async def test_repr_shows_the_calls_that_configured_the_fault(caller: Caller) -> None:
    fault = caller.emulator.faults.on("token", "certs").times(2).delay(1).respond(503, retry_after=3)
    assert repr(fault) == "<Fault on('certs', 'token').times(2).delay(1).respond(503), 0 hits>"
    assert repr(caller.emulator.faults) == f"<Faults [{fault!r}]>"
    assert repr(caller.emulator.faults.on().hang_up()) == "<Fault on().hang_up('before'), 0 hits>"
