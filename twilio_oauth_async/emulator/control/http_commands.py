"""The commands of the control API, one function each."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Generator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal, get_args

import attrs

from twilio_oauth_async.clock import VirtualClock
from twilio_oauth_async.emulator.control.arguments import Arguments, ControlError
from twilio_oauth_async.emulator.control.fault_from_json import FAULT_MEMBERS, fault_from_json
from twilio_oauth_async.emulator.control.in_process import InProcessControl
from twilio_oauth_async.emulator.faults.fault import Fault, Target
from twilio_oauth_async.emulator.messages.journal import ForgottenRequestsError
from twilio_oauth_async.emulator.messages.response_formats import PAGES
from twilio_oauth_async.emulator.rules.model import Policy, User
from twilio_oauth_async.emulator.rules.user_codes import UserCodeError

Run = Callable[[InProcessControl, Arguments], Awaitable[dict[str, Any]]]

_LATEST = datetime(9000, 1, 1, tzinfo=UTC)
"""Limit for `advance`: after it, the expiry of a token could be later than `datetime.max`."""
POLICY_SETTINGS = tuple(field.name for field in attrs.fields(Policy))
ENDPOINTS = frozenset(get_args(Target)) | PAGES
"""Names by which `requests` can be filtered."""


@attrs.frozen
class Command:
    """A command: its HTTP method, the function that runs it, and its arguments."""

    method: Literal["GET", "POST"]
    run: Run
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        return str(self.run.__doc__)


async def _describe(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:  # noqa: ARG001 - takes none
    """Return addresses, credentials, users, settings and the time."""
    return {
        "base_url": control.base_url,
        "issuer": control.issuer,
        "account_sid": control.account_sid,
        "auth_token": control.auth_token,
        "client_sid": control.client_sid,
        "client_secret": control.client_secret,
        "users": [attrs.asdict(user) for user in control.users],
        "policy": attrs.asdict(control.policy),
        "clock": _clock(control),
        "device_codes": {"pending": control.pending_device_codes, "remembered": control.remembered_device_codes},
    }


def _clock(control: InProcessControl) -> dict[str, Any]:
    clock = control.clock
    return {
        "virtual": isinstance(clock, VirtualClock),
        "monotonic": clock.monotonic(),
        "now": clock.now().isoformat(),
    }


async def _requests(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Return the recorded requests, oldest first; secrets are replaced by their lengths."""
    endpoint = arguments.optional_text("endpoint")
    if endpoint is not None and endpoint not in ENDPOINTS:
        raise ControlError(f"endpoint must be one of {', '.join(sorted(ENDPOINTS))}")
    requests = list(control.requests) if endpoint is None else control.requests.to(endpoint)
    return {"requests": [request.redacted() for request in requests], "forgotten": control.requests.forgotten}


async def _faults(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:  # noqa: ARG001 - takes none
    """Return the faults, and how often each has hit."""
    return {
        "faults": [{**_fault_as_json(fault), "hits": fault.hits, "unused": fault.is_unused} for fault in control.faults]
    }


async def _device_codes(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:  # noqa: ARG001 - takes none
    """Return the device codes that can still be approved."""
    now = control.clock.monotonic()
    return {
        "device_codes": [
            {
                "user_code": code.user_code,
                "app": code.app.name,
                "client_sid": code.app.sid,
                "scopes": list(code.requested_scopes),
                "audiences": list(code.audiences),
                "requested_on": code.requested_on.isoformat(),
                "expires_in": code.expires_at - now,
            }
            for code in control.device_codes
        ]
    }


async def _approve(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Approve a device code as a user does on the page."""
    user, scopes = _user(control, arguments), arguments.optional_texts("scopes")
    with _errors_as_status():
        await control.approve(arguments.text("user_code"), user, scopes=scopes)
    return {}


async def _deny(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Deny a device code as a user does on the page."""
    with _errors_as_status():
        await control.deny(arguments.text("user_code"))
    return {}


async def _expire(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Make a device code expire now."""
    with _errors_as_status():
        await control.expire(arguments.text("user_code"))
    return {}


async def _revoke(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Revoke the grant of an access or refresh token, as a user does in the settings of an account."""
    with _errors_as_status():
        await control.revoke(arguments.text("token"))
    return {}


async def _revoke_user(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Revoke everything that a user has granted."""
    return {"revoked": await control.revoke_user(_user(control, arguments))}


async def _expire_access_tokens(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:  # noqa: ARG001 - takes none
    """Make all access tokens expire now."""
    return {"expired": await control.expire_access_tokens()}


async def _fail_refreshes(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Refuse the next refreshes."""
    with _errors_as_status():
        error = arguments.optional_text("error")
        options = {} if error is None else {"error": error}
        return _fault_as_json(control.fail_refreshes(arguments.integer("count", 1), **options))


async def _introspect(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Return what the server knows about a token (RFC 7662 2)."""
    arguments.optional_text("token_type_hint")  # RFC 7662 2.1: a hint only; the server finds the token without it
    return control.introspect(arguments.text("token"))


async def _set_policy(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Change lifetimes and other settings."""
    with _errors_as_status():
        return {"policy": attrs.asdict(control.set_policy(**arguments.given))}


async def _authorize(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Approve or deny an authorization request as a user does in a browser."""
    user, scopes = _user(control, arguments), arguments.optional_texts("scopes")
    approve = arguments.flag("approve", default=True)
    with _errors_as_status():
        location = await control.authorize(arguments.text("url"), user, approve=approve, scopes=scopes)
    return {"location": location}


async def _advance(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Move the virtual clock."""
    clock, seconds = control.clock, arguments.seconds("seconds")
    if not isinstance(clock, VirtualClock):
        raise ControlError("the emulator uses the system clock, which cannot be advanced", HTTPStatus.CONFLICT)
    if seconds > (_LATEST - clock.now()).total_seconds():
        raise ControlError(f"seconds must not move the clock beyond the year {_LATEST.year}")
    clock.advance(seconds)
    return {"clock": _clock(control)}


async def _rotate_keys(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Sign with new keys from now on."""
    keep = arguments.integer("keep", 1)
    with _errors_as_status():
        control.rotate_keys(keep)
    return {}


async def _add_user(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Add a user who can approve."""
    names = (arguments.text(name) for name in ("first_name", "last_name", "email"))
    with _errors_as_status():
        user = control.add_user(*names, sid=arguments.optional_text("sid"))
    return {"sid": user.sid}


async def _add_app(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Add an app."""
    with _errors_as_status():
        app = control.add_app(
            arguments.text("name"),
            sid=arguments.optional_text("sid"),
            secret=arguments.optional_text("secret"),
            public=arguments.flag("public", default=False),
            scopes=arguments.optional_texts("scopes"),
            audiences=arguments.optional_texts("audiences"),
            redirect_uris=arguments.optional_texts("redirect_uris"),
        )
    return {"sid": app.sid, "secret": app.secret}


async def _add_api_key(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:  # noqa: ARG001 - takes none
    """Add an API key of the account."""
    sid, secret = control.add_api_key()
    return {"sid": sid, "secret": secret}


async def _add_fault(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Add a fault: what goes wrong, with which requests, how often."""
    return _fault_as_json(fault_from_json(control.faults, arguments.given))


async def _remove_fault(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Remove a fault."""
    number = arguments.integer("id")
    fault = next((fault for fault in control.faults if fault.number == number), None)
    if fault is None:
        raise ControlError("there is no such fault", HTTPStatus.NOT_FOUND)
    control.faults.remove(fault)
    return {}


async def _poll_gaps(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Return the seconds between polls, and whether a client polled faster than allowed."""
    device_code = arguments.optional_text("device_code")
    interval = arguments.seconds("interval", control.policy.interval)
    with _errors_as_status():
        return {
            "gaps": control.requests.poll_gaps(device_code),
            "interval": interval,
            "polled_faster": control.requests.polled_faster_than(interval, device_code),
        }


async def _clear(control: InProcessControl, arguments: Arguments) -> dict[str, Any]:
    """Delete the recorded requests, the faults and all state of sign-ins, or only a part."""
    parts: Mapping[str, Callable[[], None]] = {"requests": control.requests.clear, "faults": control.faults.clear}
    only = arguments.optional_texts("only")
    if only is None:
        control.clear()
        return {}
    if not set(only) <= parts.keys():
        raise ControlError(f"only must be a list with items from: {', '.join(parts)}")
    for part in only:
        parts[part]()
    return {}


def _fault_as_json(fault: Fault) -> dict[str, Any]:
    return {"id": fault.number, "fault": fault.description}


def _user(control: InProcessControl, arguments: Arguments) -> User | None:
    sid = arguments.optional_text("user")
    if sid is None:
        return None
    user = next((user for user in control.users if user.sid == sid), None)
    if user is None:
        raise ControlError("there is no such user", HTTPStatus.NOT_FOUND)
    return user


@contextlib.contextmanager
def _errors_as_status() -> Generator[None]:
    """Turn exceptions of `InProcessControl` into `ControlError` with an HTTP status."""
    try:
        yield
    except LookupError as error:
        message, status = str(error), HTTPStatus.NOT_FOUND
    except (UserCodeError, ForgottenRequestsError) as error:
        message, status = str(error), HTTPStatus.CONFLICT
    except ValueError as error:
        message, status = str(error), HTTPStatus.BAD_REQUEST
    else:
        return
    raise ControlError(message, status)


COMMANDS: Mapping[str, Command] = {
    "": Command("GET", _describe),
    "requests": Command("GET", _requests, optional=("endpoint",)),
    "device_codes": Command("GET", _device_codes),
    "faults": Command("GET", _faults),
    "approve": Command("POST", _approve, ("user_code",), ("user", "scopes")),
    "deny": Command("POST", _deny, ("user_code",)),
    "expire": Command("POST", _expire, ("user_code",)),
    "authorize": Command("POST", _authorize, ("url",), ("user", "approve", "scopes")),
    "introspect": Command("POST", _introspect, ("token",), ("token_type_hint",)),
    "revoke": Command("POST", _revoke, ("token",)),
    "revoke_user": Command("POST", _revoke_user, optional=("user",)),
    "expire_access_tokens": Command("POST", _expire_access_tokens),
    "fail_refreshes": Command("POST", _fail_refreshes, optional=("count", "error")),
    "advance": Command("POST", _advance, ("seconds",)),
    "rotate_keys": Command("POST", _rotate_keys, optional=("keep",)),
    "add_user": Command("POST", _add_user, ("first_name", "last_name", "email"), ("sid",)),
    "add_app": Command(
        "POST", _add_app, ("name",), ("sid", "secret", "public", "scopes", "audiences", "redirect_uris")
    ),
    "add_api_key": Command("POST", _add_api_key),
    "set_policy": Command("POST", _set_policy, optional=POLICY_SETTINGS),
    "add_fault": Command("POST", _add_fault, optional=FAULT_MEMBERS),
    "remove_fault": Command("POST", _remove_fault, ("id",)),
    "poll_gaps": Command("POST", _poll_gaps, optional=("device_code", "interval")),
    "clear": Command("POST", _clear, optional=("only",)),
}
"""Key: the part of the path after ``/_control/``."""
