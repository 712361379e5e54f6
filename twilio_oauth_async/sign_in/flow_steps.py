"""What a process knows of a flow that it polls, as frozen values: the state, the steps, and the outcomes of the steps.

Pure data. `flow_life.decide` chooses the next step, `flow_life.advance` returns the state after its outcome, and
`running` performs the steps.
"""

from __future__ import annotations

import enum
import math
from datetime import datetime, timedelta
from typing import TypeAlias

import attrs

from twilio_oauth_async.errors import TwilioOAuthError
from twilio_oauth_async.protocol.device_authorization import DeviceAuthorization
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.protocol.polling import Step as PollStep
from twilio_oauth_async.sign_in.endings import Ending
from twilio_oauth_async.stores.base import StoredFlow
from twilio_oauth_async.tokens.state import Now


@attrs.frozen
class Lease:
    """Until when this process may poll a flow. Both clocks must say so: one of them stands still during suspend."""

    monotonic: float
    wall: datetime

    @classmethod
    def given(cls, asked: Now, seconds: float) -> Lease:
        """Return the lease of a call that was made at `asked`: the store counts from later, so ours ends earlier."""
        return cls(asked.monotonic + seconds, asked.wall + timedelta(seconds=seconds))

    def left(self, now: Now) -> float:
        """Return the seconds that are left, by the clock that says less."""
        return min(self.monotonic - now.monotonic, (self.wall - now.wall).total_seconds())


@attrs.frozen(kw_only=True)
class FlowLife:
    """Everything that decides what a process does next with one flow."""

    flow: StoredFlow
    """As this process knows it. Its `authorization` has the times of the next poll."""
    start: Now
    """When this process began. The times of polls are counted from here on the monotonic clock, so that a wall clock
    that is set does not move them."""
    stored: DeviceAuthorization
    """The authorization that the flow store has."""
    lease: Lease | None = None
    """None: another process has it, or may have it."""
    is_lost: bool = False
    """Another process has the lease."""
    is_stopping: bool = False
    """The pool closes, or its session is closed: no further poll."""
    looked_at: float = -math.inf
    """Monotonic. When the stores were read last."""
    taken_at: float | None = None
    """Monotonic. When this process took the flow over, and another one may hold a token that is not recorded yet; None:
    no other process can have polled since this one did."""
    known: Now
    """When the flow store had this flow, and it had not ended, as far as this process knows."""

    token: Token | None = attrs.field(default=None, repr=False)
    """What this process has received. No other process has it."""
    received: Now | None = None
    """When it was received."""
    is_granted: bool = False
    """The flow store has recorded that this process has the token."""
    is_disputed: bool = False
    """The flow store did not record what this process wanted: it is read to see why."""
    is_refused: bool = False
    """Another process was given a token of this flow first."""
    is_saved: bool = False
    """The token store has the token."""
    granted_since: float | None = None
    """Monotonic. Since when this process has known that another one was given the token and has not saved it."""

    ending: Ending | None = None
    is_recorded: bool = False
    """The flow store has the end."""
    is_deleted: bool = False
    """The flow store had the end, and has deleted it because it was reported."""

    failures: int = 0
    """Calls of a store in a row that failed."""
    retry_at: float = -math.inf
    """Monotonic. No store is called before."""
    save_state_at: float = -math.inf
    """Monotonic. Likewise for what a successor must know."""

    def steady(self, now: Now) -> datetime:
        """Return the time that polls are scheduled by."""
        return self.start.wall + timedelta(seconds=now.monotonic - self.start.monotonic)


class Act(enum.Enum):
    """A step whose arguments are in the state."""

    LEASE = "ask the flow store for the lease"
    LOOK = "read the flow store, and the token store where the token may be there"
    POLL = "send one poll"
    SAVE_STATE = "save what a successor must know"
    GRANT = "record that this process has received the token"
    SAVE_TOKEN = "save the token in the token store"  # noqa: S105 - a description
    REVOKE = "revoke the token, which must not be kept"
    REMOVE = "remove the token from the token store: the flow has ended otherwise"
    STOP = "nothing is left to do for this process"


@attrs.frozen
class Rest:
    """Nothing to do before `at`, in monotonic seconds."""

    at: float


@attrs.frozen
class End:
    """Record the end in the flow store."""

    ending: Ending


Step: TypeAlias = Act | Rest | End


class Happening(enum.Enum):
    """An outcome or an event without a value."""

    LOST = "another process has the lease"
    STOPPING = "the pool closes, or the session is closed"
    STATE_SAVED = "the flow store has what a successor must know"
    STATE_OUTDATED = "the flow store has another state of the flow, or another owner"
    GRANTED = "the flow store has recorded that this process has the token"
    NOT_GRANTED = "the flow has ended, or another process was first"
    TOKEN_SAVED = "the token store has the token"  # noqa: S105
    SIGNED_OUT = "the user has signed out since the token was received"
    REVOKED = "the token is revoked, or was tried to"
    REMOVED = "the token store does not have the token of this flow"
    NOT_RECORDED = "the flow store has another end, or no flow"


@attrs.frozen
class Leased:
    """The flow store has given the lease."""

    lease: Lease


@attrs.frozen
class Looked:
    """The stores were read."""

    flow: StoredFlow | None
    has_token: bool = False
    """The token store has the token of this flow."""


@attrs.frozen
class Polled:
    """A poll was sent."""

    step: PollStep


@attrs.frozen
class PollFailed:
    """A poll ended the flow."""

    error: TwilioOAuthError = attrs.field(eq=False)


@attrs.frozen
class Recorded:
    """The flow store has the end."""

    ending: Ending


@attrs.frozen
class CallFailed:
    """A call of a store failed during `act`."""

    act: Act | type[End]
    error: TwilioOAuthError = attrs.field(eq=False)


Outcome: TypeAlias = Happening | Leased | Looked | Polled | PollFailed | Recorded | CallFailed
