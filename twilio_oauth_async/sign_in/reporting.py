"""How the end of a sign-in is reported: at least once, by one process, and again if the callback fails. Pure.

The order that survives a crash at any point is: the end is recorded, the flow is leased, `on_end` returns, the flow is
marked as delivered. It is then kept for a while, so that those who come late can find it.
"""

from __future__ import annotations

import enum
import math
from datetime import datetime, timedelta

import attrs

from twilio_oauth_async.sign_in.flow_life import KEPT
from twilio_oauth_async.stores.base import StoredFlow
from twilio_oauth_async.tokens.state import Now

MAX_PAUSE = 300.0
"""Seconds. After each failure of the callback or a store the pause doubles, up to this."""

GIVE_UP_AFTER = timedelta(days=1)
"""Since the end of the sign-in. An end that could not be reported until then is forgotten."""


class Task(enum.Enum):
    """What comes next with an end."""

    LEASE = "lease the flow"
    CALL = "call on_end"
    MARK = "mark the flow as delivered"
    RELEASE = "leave the end to a process that has a callback"
    DONE = "nothing more"


@attrs.frozen
class Pause:
    """Nothing to do before `at`, in monotonic seconds."""

    at: float


class Result(enum.Enum):
    """The outcome of a task."""

    LEASED = "the flow is leased"
    NOT_LEASED = "another process reports the end, or the flow is deleted"
    CALLED = "on_end has returned"
    MARKED = "the flow is marked as delivered, by this process or another one"
    RELEASED = "the lease was given back"
    FAILED = "the callback or the store failed"


@attrs.frozen(kw_only=True)
class Report:
    """The report of one end."""

    ended_at: datetime
    """UTC."""
    has_callback: bool
    is_leased: bool = False
    is_called: bool = False
    is_done: bool = False
    failures: int = 0
    retry_at: float = -math.inf


def decide(report: Report, now: Now) -> Task | Pause:
    """Return what comes next."""
    if report.is_done:
        return Task.DONE
    if now.monotonic < report.retry_at:
        return Pause(report.retry_at)
    if not report.is_leased:
        return Task.LEASE
    if not report.has_callback:
        return Task.RELEASE
    is_late = now.wall >= report.ended_at + GIVE_UP_AFTER
    return Task.MARK if report.is_called or is_late else Task.CALL


def advance(report: Report, result: Result, now: Now) -> Report:
    """Return the report after `result`."""
    match result:
        case Result.LEASED:
            return attrs.evolve(report, is_leased=True, failures=0)
        case Result.CALLED:
            return attrs.evolve(report, is_called=True, failures=0)
        case Result.NOT_LEASED | Result.MARKED | Result.RELEASED:
            return attrs.evolve(report, is_done=True)
        case Result.FAILED:
            failures = report.failures + 1
            pause = min(2.0 ** min(failures - 1, 16), MAX_PAUSE)
            return attrs.evolve(report, failures=failures, retry_at=now.monotonic + pause)


def may_delete(flow: StoredFlow, now: datetime) -> bool:
    """Return whether an ended flow that no process has leased can be deleted at `now` (UTC).

    The process that reported the end leases it for as long as it is kept, but it may have ended before it could.
    """
    if flow.ended_at is None:
        return flow.delivered
    kept = timedelta(seconds=KEPT) if flow.delivered else GIVE_UP_AFTER + timedelta(hours=1)
    return now >= flow.ended_at + kept
