"""The orders of `control`, one function each: arguments in, JSON out."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Generator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal, get_args

import attrs

from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator.control.arguments import Arguments, ControlError
from twilio_oauth_async.emulator.control.console import Console
from twilio_oauth_async.emulator.control.fault_orders import ORDER_MEMBERS, order_fault
from twilio_oauth_async.emulator.endpoints.exchange import PAGES
from twilio_oauth_async.emulator.faults.fault import Fault, Target
from twilio_oauth_async.emulator.messages.refusal import UserCodeError
from twilio_oauth_async.emulator.rules.model import User

Run = Callable[[Console, Arguments], Awaitable[dict[str, Any]]]

_LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""As far as the clock can go, so that what lives longer than a moment still has a date."""
_ENDPOINTS = frozenset(get_args(Target)) | PAGES


@attrs.frozen
class Command:
    """One order: how it is called, what it takes, and what carries it out."""

    method: Literal["GET", "POST"]
    run: Run
    needed: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


async def _describe(console: Console, arguments: Arguments) -> dict[str, Any]:  # noqa: ARG001 - takes none
    return {
        "base_url": console.base_url,
        "issuer": console.issuer,
        "account_sid": console.account_sid,
        "auth_token": console.auth_token,
        "client_sid": console.client_sid,
        "client_secret": console.client_secret,
        "users": [attrs.asdict(user) for user in console.users],
        "policy": attrs.asdict(console.policy),
        "clock": _clock(console),
        "device_codes": {"pending": console.pending_device_codes, "remembered": console.remembered_device_codes},
    }


def _clock(console: Console) -> dict[str, Any]:
    clock = console.clock
    return {
        "virtual": isinstance(clock, VirtualClock),
        "monotonic": clock.monotonic(),
        "now": clock.now().isoformat(),
    }


async def _requests(console: Console, arguments: Arguments) -> dict[str, Any]:
    endpoint = arguments.optional_text("endpoint")
    if endpoint is not None and endpoint not in _ENDPOINTS:
        raise ControlError(f"endpoint is one of {', '.join(sorted(_ENDPOINTS))}")
    requests = list(console.requests) if endpoint is None else console.requests.to(endpoint)
    return {"requests": [request.redacted() for request in requests]}


async def _faults(console: Console, arguments: Arguments) -> dict[str, Any]:  # noqa: ARG001 - takes none
    return {"faults": [{**_shown(fault), "hits": fault.hits, "unused": fault.is_unused} for fault in console.faults]}


async def _approve(console: Console, arguments: Arguments) -> dict[str, Any]:
    user, scopes = _user(console, arguments), arguments.optional_texts("scopes")
    with _refusals_told():
        await console.approve(arguments.text("user_code"), user, scopes=scopes)
    return {}


async def _deny(console: Console, arguments: Arguments) -> dict[str, Any]:
    with _refusals_told():
        await console.deny(arguments.text("user_code"))
    return {}


async def _expire(console: Console, arguments: Arguments) -> dict[str, Any]:
    with _refusals_told():
        await console.expire(arguments.text("user_code"))
    return {}


async def _revoke(console: Console, arguments: Arguments) -> dict[str, Any]:
    with _refusals_told():
        await console.revoke(arguments.text("token"))
    return {}


async def _authorize(console: Console, arguments: Arguments) -> dict[str, Any]:
    user, scopes = _user(console, arguments), arguments.optional_texts("scopes")
    approve = arguments.flag("approve", default=True)
    with _refusals_told():
        location = await console.authorize(arguments.text("url"), user, approve=approve, scopes=scopes)
    return {"location": location}


async def _advance(console: Console, arguments: Arguments) -> dict[str, Any]:
    clock, seconds = console.clock, arguments.seconds("seconds")
    if not isinstance(clock, VirtualClock):
        raise ControlError("the emulator runs on the machine's clock, which nobody can advance", HTTPStatus.CONFLICT)
    if seconds > (_LATEST - clock.now()).total_seconds():
        raise ControlError(f"seconds must not lead beyond the year {_LATEST.year}")
    clock.advance(seconds)
    return {"clock": _clock(console)}


async def _rotate_keys(console: Console, arguments: Arguments) -> dict[str, Any]:
    keep = arguments.whole_number("keep", 1)
    with _refusals_told():
        console.rotate_keys(keep)
    return {}


async def _add_user(console: Console, arguments: Arguments) -> dict[str, Any]:
    user = console.add_user(arguments.text("first_name"), arguments.text("last_name"), arguments.text("email"))
    return {"sid": user.sid}


async def _add_app(console: Console, arguments: Arguments) -> dict[str, Any]:
    with _refusals_told():
        app = console.add_app(
            arguments.text("name"),
            public=arguments.flag("public", default=False),
            scopes=arguments.optional_texts("scopes"),
            audiences=arguments.optional_texts("audiences"),
            redirect_uris=arguments.optional_texts("redirect_uris"),
        )
    return {"sid": app.sid, "secret": app.secret}


async def _add_api_key(console: Console, arguments: Arguments) -> dict[str, Any]:  # noqa: ARG001 - takes none
    sid, secret = console.add_api_key()
    return {"sid": sid, "secret": secret}


async def _add_fault(console: Console, arguments: Arguments) -> dict[str, Any]:
    return _shown(order_fault(console.faults, arguments.given))


async def _remove_fault(console: Console, arguments: Arguments) -> dict[str, Any]:
    number = arguments.whole_number("id")
    fault = next((fault for fault in console.faults if fault.number == number), None)
    if fault is None:
        raise ControlError("there is no such fault", HTTPStatus.NOT_FOUND)
    console.faults.remove(fault)
    return {}


async def _poll_gaps(console: Console, arguments: Arguments) -> dict[str, Any]:
    device_code = arguments.optional_text("device_code")
    interval = arguments.seconds("interval", console.policy.interval)
    return {
        "gaps": console.requests.poll_gaps(device_code),
        "interval": interval,
        "polled_faster": console.requests.polled_faster_than(interval, device_code),
    }


async def _clear(console: Console, arguments: Arguments) -> dict[str, Any]:
    parts: Mapping[str, Callable[[], None]] = {"requests": console.requests.clear, "faults": console.faults.clear}
    only = arguments.optional_texts("only")
    if only is None:
        console.clear()
        return {}
    if not set(only) <= parts.keys():
        raise ControlError(f"only is a list of {', '.join(parts)}")
    for part in only:
        parts[part]()
    return {}


def _shown(fault: Fault) -> dict[str, Any]:
    return {"id": fault.number, "fault": fault.words}


def _user(console: Console, arguments: Arguments) -> User | None:
    sid = arguments.optional_text("user")
    if sid is None:
        return None
    user = next((user for user in console.users if user.sid == sid), None)
    if user is None:
        raise ControlError("there is no such user", HTTPStatus.NOT_FOUND)
    return user


@contextlib.contextmanager
def _refusals_told() -> Generator[None]:
    """Turn what `Console` raises into the status that says the same."""
    try:
        yield
    except LookupError as error:
        problem, status = str(error), HTTPStatus.NOT_FOUND
    except UserCodeError as error:
        problem, status = str(error), HTTPStatus.CONFLICT
    except ValueError as error:
        problem, status = str(error), HTTPStatus.BAD_REQUEST
    else:
        return
    raise ControlError(problem, status)


COMMANDS: Mapping[str, Command] = {
    "": Command("GET", _describe),
    "requests": Command("GET", _requests, optional=("endpoint",)),
    "faults": Command("GET", _faults),
    "approve": Command("POST", _approve, ("user_code",), ("user", "scopes")),
    "deny": Command("POST", _deny, ("user_code",)),
    "expire": Command("POST", _expire, ("user_code",)),
    "revoke": Command("POST", _revoke, ("token",)),
    "authorize": Command("POST", _authorize, ("url",), ("user", "approve", "scopes")),
    "advance": Command("POST", _advance, ("seconds",)),
    "rotate_keys": Command("POST", _rotate_keys, optional=("keep",)),
    "add_user": Command("POST", _add_user, ("first_name", "last_name", "email")),
    "add_app": Command("POST", _add_app, ("name",), ("public", "scopes", "audiences", "redirect_uris")),
    "add_api_key": Command("POST", _add_api_key),
    "add_fault": Command("POST", _add_fault, optional=ORDER_MEMBERS),
    "remove_fault": Command("POST", _remove_fault, ("id",)),
    "poll_gaps": Command("POST", _poll_gaps, optional=("device_code", "interval")),
    "clear": Command("POST", _clear, optional=("only",)),
}
"""By the part of the path that follows ``/_control/``."""
