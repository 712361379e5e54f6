"""Faults described in JSON are equal to faults built with the methods of `Fault`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from aiohttp import web

from twilio_oauth_async.emulator.control.arguments import ControlError
from twilio_oauth_async.emulator.control.fault_from_json import METHODS, fault_from_json
from twilio_oauth_async.emulator.faults.fault import Fault
from twilio_oauth_async.emulator.faults.faults import Faults
from twilio_oauth_async.emulator.messages.response_formats import ResponseFormat

NOT_IN_JSON = {"when"}
UNTIL = datetime(2026, 1, 1, 0, 0, 7, tzinfo=UTC)
CALLED_BY_THE_EMULATOR = {"applies_to", "count_hit"}


def test_json_has_all_methods_of_fault_in_the_same_order() -> None:
    methods = [name for name, value in vars(Fault).items() if inspect.isfunction(value) and not name.startswith("_")]
    assert list(METHODS) == [name for name in methods if name not in NOT_IN_JSON | CALLED_BY_THE_EMULATOR]


EXAMPLES: list[tuple[dict[str, Any], Callable[[Fault], Fault]]] = [
    ({"times": 2, "delay": 1}, lambda fault: fault.times(2).delay(1)),
    ({"times": {"count": 2}, "delay": 1}, lambda fault: fault.times(2).delay(1)),
    ({"always": True, "delay": 1}, lambda fault: fault.always().delay(1)),
    ({"always": {}, "delay": 1}, lambda fault: fault.always().delay(1)),
    ({"after": 3, "chance": 0.5, "delay": 1}, lambda fault: fault.after(3).chance(0.5).delay(1)),
    ({"chance": 1, "delay": 1}, lambda fault: fault.chance(1).delay(1)),
    ({"on_success": True, "delay": 1}, lambda fault: fault.on_success().delay(1)),
    ({"respond": 503}, lambda fault: fault.respond(503)),
    ({"respond": {"status": 200, "json": None}}, lambda fault: fault.respond(200, json=None)),
    ({"respond": {"status": 200, "text": "é"}}, lambda fault: fault.respond(200, text="é")),
    ({"respond": {"status": 200, "body_base64": "AP8="}}, lambda fault: fault.respond(200, body=b"\x00\xff")),
    (
        {"respond": {"status": 429, "retry_after": 3, "headers": {"X-A": "b"}, "content_type": "text/x; charset=y"}},
        lambda fault: fault.respond(429, retry_after=3, headers={"X-A": "b"}, content_type="text/x; charset=y"),
    ),
    (
        {"respond": {"status": 503, "retry_after": "soon", "processed": True}},
        lambda fault: fault.respond(503, retry_after="soon", processed=True),
    ),
    (
        {"respond": {"status": 200, "headers": {"Content-Type": "text/x"}}},
        lambda fault: fault.respond(200, headers={"Content-Type": "text/x"}),
    ),
    ({"error": "slow_down", "times": 20}, lambda fault: fault.times(20).error("slow_down")),
    (
        {"error": {"code": "x", "status": 401, "description": "y"}},
        lambda fault: fault.error("x", status=401, description="y"),
    ),
    ({"throttle": "2026-01-01T00:00:07Z"}, lambda fault: fault.throttle(UNTIL)),
    (
        {"throttle": {"until": "2026-01-01T01:00:07+01:00", "status": 429}},
        lambda fault: fault.throttle(UNTIL.astimezone(timezone(timedelta(hours=1))), status=429),
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
    ({"drop_response": True}, lambda fault: fault.drop_response()),
]


@pytest.mark.parametrize(("members", "build"), EXAMPLES)
def test_fault_from_json_is_equal_to_built_fault(members: dict[str, Any], build: Callable[[Fault], Fault]) -> None:
    faults = Faults()
    from_json, built = fault_from_json(faults, {"on": ["token"], **members}), build(faults.on("token"))
    assert from_json.description == built.description
    assert state(from_json) == state(built)


def state(fault: Fault) -> dict[str, Any]:
    """Return all settings of a fault, with functions replaced by their results."""
    settings = {name: value for name, value in vars(fault).items() if name not in {"number", "plan", "_rng"}}
    plan = fault.plan
    for name in ("success_only", "delay", "processed", "forgery", "drip", "keep", "length_error", "broken"):
        settings[name] = getattr(plan, name)
    settings["replacement"] = None if plan.replacement is None else parts(plan.replacement(ResponseFormat()))
    edited = web.Response(body=b'{"a": 0, "b": 1}', headers={"Server": "x"})
    for edit in plan.edits:
        edit(edited)
    return settings | {"edited": parts(edited)}


def parts(response: web.Response) -> tuple[int, dict[str, str], Any]:
    return response.status, dict(response.headers), response.body


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"on": 7}, "on must be a list of strings"),
        ({"on": "nonsense"}, "on must be a list with items from: discovery"),
        ({}, "the fault has no effect: say what goes wrong, for example with respond or delay"),
        ({"on": "poll", "times": 2, "on_success": True}, "the fault has no effect"),
        ({"on": ["nonsense"]}, "on must be a list with items from: discovery, metadata, certs, device_code"),
        ({"times": "2"}, "times: count must be an integer"),
        ({"times": True}, "times: count is missing"),
        ({"times": {"number": 2}}, "times: takes count; another argument is given"),
        ({"times": 0}, "times: count must be at least 1"),
        ({"always": False}, "always: must be true, because it has no arguments"),
        ({"always": {"x": 1}}, "always: takes no arguments"),
        ({"always": True, "times": 2}, "always and times exclude each other"),
        ({"html": True, "respond": 200}, "html and respond exclude each other"),
        ({"reset": True, "stall": True}, "reset and stall exclude each other"),
        ({"chance": 2}, "chance: probability must be between 0 and 1"),
        ({"respond": 99}, "respond: status must be between 200 and 599"),
        ({"html": 600}, "html: status must be between"),
        ({"throttle": "soon"}, "throttle: until must be a date in ISO 8601 format"),
        ({"throttle": "2026-01-01T00:00:07"}, "throttle: until must have a time zone"),
        ({"redirect": {"location": "/", "status": 100}}, "redirect: status must be between"),
        ({"error": {"code": "x", "status": 1}}, "error: status must be between"),
        ({"status": 1000}, "status: status must be between"),
        ({"respond": {}}, "respond: status is missing"),
        ({"respond": {"status": 200, "retry_after": []}}, "respond: retry_after must be a number or a string"),
        ({"respond": {"status": 200, "retry_after": "a\nb"}}, "respond: a header value cannot contain control"),
        ({"respond": {"status": 200, "body_base64": "?"}}, "respond: body_base64 must be base64"),
        ({"respond": {"status": 200, "headers": {"X": 1}}}, "respond: headers.X must be a string"),
        ({"respond": {"status": 200, "headers": {"X Y": "1"}}}, "respond: a header name can contain only"),
        ({"respond": {"status": 200, "content_type": "a\r\nb"}}, "respond: a header value cannot contain control"),
        (
            {"redirect": "/\u20ac"},
            "redirect: a header value cannot contain control characters or characters outside Latin-1",
        ),
        ({"header": {"Content-Length": "5"}}, "header: Content-Length cannot be set; use wrong_length"),
        ({"header": {"X": 1}}, "header: X must be a string"),
        ({"header": "X"}, "header: headers must be an object"),
        ({"change": []}, "change: members must be an object"),
        ({"omit": "a"}, "omit: names must be a list of strings"),
        ({"garble": "unknown"}, "garble: how must be one of empty, invalid"),
        ({"id_token": {"signed_by": "unknown"}}, "id_token: signed_by must be one of emulator, other_key"),
        ({"pad": 10**12}, "pad: size must be between 0 and"),
        ({"gzip_bomb": -1}, "gzip_bomb: size must be between 0 and"),
        ({"delay": -1}, "delay: seconds must be zero or a positive number"),
        ({"drip": {"chunk": 0}}, "drip: chunk must be at least 1"),
        ({"truncate": 1}, "truncate: keep must be at least 0 and less than 1"),
        ({"reset": "unknown"}, "reset: moment must be one of before, unanswered, inside, after"),
        ({"stall": "after"}, "stall: moment must be before, unanswered or inside"),
    ],
)
def test_invalid_member_raises_control_error_and_adds_no_fault(members: dict[str, Any], message: str) -> None:
    faults = Faults()
    with pytest.raises(ControlError) as caught:
        fault_from_json(faults, members)
    assert str(caught.value).startswith(message)
    assert list(faults) == []


def test_one_endpoint_can_be_a_string() -> None:
    faults = Faults()
    one, several = (fault_from_json(faults, {"on": on, "respond": 503}) for on in ("poll", ["poll"]))
    assert one.description == several.description
