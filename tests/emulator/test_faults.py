"""Which requests a fault hits, how often, and what misuse gets."""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
import pytest

from tests.helpers.emulator_caller import Caller
from tests.helpers.wire import CERTS, approved
from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator import Emulator

pytestmark = pytest.mark.asyncio


async def test_a_fault_hits_once_and_then_all_is_well(caller: Caller) -> None:
    fault = caller.emulator.faults.on("certs").answer(503, retry_after=3)
    status, body, response = await caller.call("GET", CERTS)
    assert (status, body["error"], response.headers["Retry-After"]) == (503, "temporarily_unavailable", "3")
    assert (await caller.call("GET", CERTS))[0] == 200
    assert (fault.hits, fault.is_used_up, caller.emulator.faults.unused) == (1, True, [])
    first, second = caller.emulator.requests
    assert first.fault is not None
    assert "answer(503)" in first.fault
    assert second.fault is None


async def test_times_after_and_order(caller: Caller) -> None:
    faults = caller.emulator.faults
    faults.on("certs").after(1).times(2).answer(500)
    faults.on("certs").answer(404)
    assert [(await caller.call("GET", CERTS))[0] for _ in range(5)] == [404, 500, 500, 200, 200]


async def test_always_until_removed(caller: Caller) -> None:
    fault = caller.emulator.faults.on().always().answer(500)
    assert [(await caller.call("GET", CERTS))[0] for _ in range(3)] == [500] * 3
    assert caller.emulator.faults.unused == []
    caller.emulator.faults.remove(fault)
    caller.emulator.faults.remove(fault)
    assert (await caller.call("GET", CERTS))[0] == 200
    never_hit = caller.emulator.faults.on("revoke").always().answer(500)
    assert caller.emulator.faults.unused == [never_hit]
    caller.emulator.faults.clear()
    assert caller.emulator.faults.unused == []


async def test_chance_is_the_same_in_every_run(clock: VirtualClock) -> None:
    runs: list[list[int]] = []
    for _ in range(2):
        async with Emulator(clock=clock, seed=3) as emulator, aiohttp.ClientSession() as http:
            emulator.faults.on("certs").always().chance(0.5).answer(500)
            caller = Caller(emulator, http)
            runs.append([(await caller.call("GET", CERTS))[0] for _ in range(20)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 500}


async def test_kinds_of_token_requests(caller: Caller) -> None:
    token = await caller.sign_in()
    caller.emulator.faults.on("refresh").answer(500)
    code = await approved(caller)
    assert (await caller.poll(code["device_code"]))[0] == 201
    assert (await caller.refresh(token["refresh_token"]))[0] == 500
    assert [request.kind for request in caller.emulator.requests.to("token")] == ["poll", "poll", "refresh"]
    assert len(caller.emulator.requests.to("refresh")) == 1


async def test_when(caller: Caller) -> None:
    caller.emulator.faults.on("certs").when(lambda request: request.query.get("x") == "1").answer(500)
    assert (await caller.call("GET", CERTS))[0] == 200
    assert (await caller.call("GET", CERTS + "?x=1"))[0] == 500


async def test_on_success_waits_for_a_good_answer(caller: Caller, clock: VirtualClock) -> None:
    fault = caller.emulator.faults.on("poll").on_success().change(access_token="forged")
    code = await caller.device_code()
    assert (await caller.poll(code["device_code"]))[1]["error"] == "authorization_pending"
    assert fault.hits == 0
    await caller.emulator.approve(code["user_code"])
    clock.advance(5)
    assert (await caller.poll(code["device_code"]))[1]["access_token"] == "forged"


async def test_misuse_is_told(caller: Caller) -> None:
    on = caller.emulator.faults.on
    misuses: tuple[Callable[[], object], ...] = (
        lambda: on("nonsense"),  # type: ignore[arg-type]
        lambda: on().times(0),
        lambda: on().after(0),
        lambda: on().chance(1.5),
        lambda: on().truncate(1),
        lambda: on().drip(chunk=0),
        lambda: on().stall("after"),
        lambda: on().reset("someday"),  # type: ignore[arg-type]
        lambda: on().garble("nicely"),  # type: ignore[arg-type]
        lambda: on().id_token(signed_by="me"),  # type: ignore[arg-type]
    )
    for misuse in misuses:
        with pytest.raises(ValueError, match=r"is one of|at least 1|between|part of|stall before|no such endpoint"):
            misuse()


async def test_changing_what_is_no_json_object_changes_nothing(caller: Caller) -> None:
    caller.emulator.faults.on("certs").html().change(x=1).omit("y")
    assert "Bad Gateway" in (await caller.call("GET", CERTS))[1]


async def test_a_fault_reads_as_it_was_written(caller: Caller) -> None:
    fault = caller.emulator.faults.on("token", "certs").times(2).delay(1).answer(503, retry_after=3)
    assert repr(fault) == "<Fault on('certs', 'token').times(2).delay(1).answer(503), 0 hits>"
    assert repr(caller.emulator.faults) == f"<Faults [{fault!r}]>"
    assert repr(caller.emulator.faults.on().hang_up()) == "<Fault on().hang_up('before'), 0 hits>"
