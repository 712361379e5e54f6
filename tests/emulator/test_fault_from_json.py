"""Faults ordered in JSON are the faults that the builder makes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from twilio_oauth_async.emulator.control.arguments import ControlError
from twilio_oauth_async.emulator.control.fault_orders import STEPS, order_fault
from twilio_oauth_async.emulator.faults.fault import Fault, Faults
from twilio_oauth_async.emulator.messages.dialect import Dialect

BUILT_WITH_FUNCTIONS = {"when"}
FOR_THE_EMULATOR = {"wants", "count_hit"}


def test_every_method_of_the_builder_can_be_ordered_in_the_same_order() -> None:
    methods = [name for name, value in vars(Fault).items() if inspect.isfunction(value) and not name.startswith("_")]
    assert list(STEPS) == [name for name in methods if name not in BUILT_WITH_FUNCTIONS | FOR_THE_EMULATOR]


LINES: list[tuple[dict[str, Any], Callable[[Fault], Fault]]] = [
    ({"times": 2}, lambda fault: fault.times(2)),
    ({"times": {"count": 2}}, lambda fault: fault.times(2)),
    ({"always": True}, lambda fault: fault.always()),
    ({"always": {}}, lambda fault: fault.always()),
    ({"after": 3, "chance": 0.5}, lambda fault: fault.after(3).chance(0.5)),
    ({"chance": 1}, lambda fault: fault.chance(1)),
    ({"on_success": True}, lambda fault: fault.on_success()),
    ({"answer": 503}, lambda fault: fault.answer(503)),
    ({"answer": {"status": 200, "json": None}}, lambda fault: fault.answer(200, json=None)),
    ({"answer": {"status": 200, "text": "é"}}, lambda fault: fault.answer(200, text="é")),
    ({"answer": {"status": 200, "body_base64": "AP8="}}, lambda fault: fault.answer(200, body=b"\x00\xff")),
    (
        {"answer": {"status": 429, "retry_after": 3, "headers": {"X-A": "b"}, "content_type": "text/x; charset=y"}},
        lambda fault: fault.answer(429, retry_after=3, headers={"X-A": "b"}, content_type="text/x; charset=y"),
    ),
    (
        {"answer": {"status": 503, "retry_after": "soon", "processed": True}},
        lambda fault: fault.answer(503, retry_after="soon", processed=True),
    ),
    (
        {"answer": {"status": 200, "headers": {"Content-Type": "text/x"}}},
        lambda fault: fault.answer(200, headers={"Content-Type": "text/x"}),
    ),
    ({"error": "slow_down", "times": 20}, lambda fault: fault.times(20).error("slow_down")),
    (
        {"error": {"code": "x", "status": 401, "description": "y"}},
        lambda fault: fault.error("x", status=401, description="y"),
    ),
    ({"html": True}, lambda fault: fault.html()),
    ({"html": 299}, lambda fault: fault.html(299)),
    (
        {"redirect": {"location": "http://127.0.0.1:1/", "status": 308}},
        lambda fault: fault.redirect("http://127.0.0.1:1/", status=308),
    ),
    ({"change": {"a": 1, "self": [2]}}, lambda fault: fault.change(a=1, self=[2])),
    ({"omit": ["a"]}, lambda fault: fault.omit("a")),
    ({"garble": "bom"}, lambda fault: fault.garble("bom")),
    ({"status": 201}, lambda fault: fault.status(201)),
    ({"header": {"X-A": "b", "Server": None}}, lambda fault: fault.header("X-A", "b").header("Server", None)),
    ({"pad": 1000}, lambda fault: fault.pad(1000)),
    ({"gzip_bomb": 1000}, lambda fault: fault.gzip_bomb(1000)),
    (
        {"id_token": {"claims": {"iss": "x"}, "omit": ["aud"], "header": {"kid": "y"}, "signed_by": "hmac"}},
        lambda fault: fault.id_token(claims={"iss": "x"}, omit=("aud",), header={"kid": "y"}, signed_by="hmac"),
    ),
    ({"delay": 1.5}, lambda fault: fault.delay(1.5)),
    ({"drip": True}, lambda fault: fault.drip()),
    ({"drip": {"seconds": 0, "chunk": 2}}, lambda fault: fault.drip(0, chunk=2)),
    ({"truncate": 0.25}, lambda fault: fault.truncate(0.25)),
    ({"wrong_length": -3}, lambda fault: fault.wrong_length(-3)),
    ({"reset": "inside"}, lambda fault: fault.reset("inside")),
    ({"hang_up": "after"}, lambda fault: fault.hang_up("after")),
    ({"stall": True}, lambda fault: fault.stall()),
    ({"drop_answer": True}, lambda fault: fault.drop_answer()),
]


@pytest.mark.parametrize(("order", "build"), LINES)
def test_an_order_is_the_builder_s_line(order: dict[str, Any], build: Callable[[Fault], Fault]) -> None:
    faults = Faults()
    ordered, built = order_fault(faults, {"on": ["token"], **order}), build(faults.on("token"))
    assert ordered.words == built.words
    assert state(ordered) == state(built)


def state(fault: Fault) -> dict[str, Any]:
    """All that a fault was told, its functions replaced by what they do."""
    told = {name: value for name, value in vars(fault).items() if name not in {"number", "plan", "_luck"}}
    plan = fault.plan
    for name in ("success_only", "delay", "processed", "forgery", "drip", "keep", "length_error", "broken"):
        told[name] = getattr(plan, name)
    told["replacement"] = None if plan.replacement is None else seen(plan.replacement(Dialect()))
    edited = web.Response(body=b'{"a": 0, "b": 1}', headers={"Server": "x"})
    for edit in plan.edits:
        edit(edited)
    return told | {"edited": seen(edited)}


def seen(answer: web.Response) -> tuple[int, dict[str, str], Any]:
    return answer.status, dict(answer.headers), answer.body


@pytest.mark.parametrize(
    ("order", "complaint"),
    [
        ({"on": "token"}, "on must be a list of strings"),
        ({"on": ["nonsense"]}, "on is a list of discovery, certs, device_code, token, poll"),
        ({"times": "2"}, "times: count must be a whole number"),
        ({"times": True}, "times: count is missing"),
        ({"times": {"number": 2}}, "times: it takes count; there is something else in it"),
        ({"times": 0}, "times: count must be at least 1"),
        ({"always": False}, "always: it has no arguments, and true stands for it"),
        ({"always": {"x": 1}}, "always: it takes nothing"),
        ({"always": True, "times": 2}, "always and times exclude each other"),
        ({"html": True, "answer": 200}, "answer and html exclude each other"),
        ({"reset": True, "stall": True}, "reset and stall exclude each other"),
        ({"chance": 2}, "chance: a probability is between 0 and 1"),
        ({"answer": 99}, "answer: a status is between 200 and 599"),
        ({"html": 600}, "html: a status is between"),
        ({"redirect": {"location": "/", "status": 100}}, "redirect: a status is between"),
        ({"error": {"code": "x", "status": 1}}, "error: a status is between"),
        ({"status": 1000}, "status: a status is between"),
        ({"answer": {}}, "answer: status is missing"),
        ({"answer": {"status": 200, "retry_after": []}}, "answer: retry_after must be a number or a string"),
        ({"answer": {"status": 200, "retry_after": "a\nb"}}, "answer: the value of a header has no control"),
        ({"answer": {"status": 200, "body_base64": "?"}}, "answer: body_base64 must be base64"),
        ({"answer": {"status": 200, "headers": {"X": 1}}}, "answer: headers.X must be a string"),
        ({"answer": {"status": 200, "headers": {"X Y": "1"}}}, "answer: the name of a header is made of"),
        ({"answer": {"status": 200, "content_type": "a\r\nb"}}, "answer: the value of a header has no control"),
        ({"redirect": "/\u20ac"}, "redirect: the value of a header has no control characters and none beyond Latin-1"),
        ({"header": {"Content-Length": "5"}}, "header: the length is told by wrong_length"),
        ({"header": {"X": 1}}, "header: X must be a string"),
        ({"header": "X"}, "header: headers must be an object"),
        ({"change": []}, "change: members must be an object"),
        ({"omit": "a"}, "omit: names must be a list of strings"),
        ({"garble": "nicely"}, "garble: how is one of empty, invalid"),
        ({"id_token": {"signed_by": "me"}}, "id_token: signed_by is one of emulator, stranger"),
        ({"pad": 10**12}, "pad: size must be between 0 and"),
        ({"gzip_bomb": -1}, "gzip_bomb: size must be between 0 and"),
        ({"delay": -1}, "delay: seconds must be zero or a positive number"),
        ({"drip": {"chunk": 0}}, "drip: chunk must be at least 1"),
        ({"truncate": 1}, "truncate: keep is the part"),
        ({"reset": "someday"}, "reset: moment is one of before, unanswered, inside, after"),
        ({"stall": "after"}, "stall: nothing is missing"),
    ],
)
def test_a_wrong_order_says_what_is_allowed_and_leaves_no_fault_behind(order: dict[str, Any], complaint: str) -> None:
    faults = Faults()
    with pytest.raises(ControlError) as caught:
        order_fault(faults, order)
    assert str(caught.value).startswith(complaint)
    assert list(faults) == []
