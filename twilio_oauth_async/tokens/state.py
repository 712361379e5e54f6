"""What a `TokenManager` knows, as frozen values: its state, the steps it can take, and the outcomes of the steps.

Pure data. `lifetime.decide` chooses the next step, `lifetime.advance` returns the state after its outcome, and the
manager's `worker` performs the steps.
"""

from __future__ import annotations

import enum
import math
from datetime import datetime
from typing import Any, Final, TypeAlias

import attrs

from twilio_oauth_async.errors import LoginReason, TwilioOAuthError
from twilio_oauth_async.protocol.models import Token
from twilio_oauth_async.stores.base import StoredToken


@attrs.frozen
class Now:
    """One moment on both clocks.

    A token is valid only while both clocks say so: the wall clock can be set back, and the monotonic clock of Linux and
    macOS stands still while the machine is suspended.
    """

    monotonic: float
    """Seconds."""
    wall: datetime
    """Aware, UTC."""


@attrs.frozen
class Held:
    """A stored token in memory, with the times that only the monotonic clock of this process can tell."""

    stored: StoredToken
    expires: float = math.inf
    """When the access token expires, in monotonic seconds; infinite: unknown."""
    refresh_expires: float = math.inf
    """When the refresh token expires, likewise."""
    issued: float = -math.inf
    """When the server issued it for a request of this manager, in monotonic seconds; minus infinity: for a sign-in, or
    for another process."""
    is_new: bool = False
    """This process received it from the server; it was not loaded."""


class Saving(enum.Enum):
    """Whether the store has the held token."""

    SAVED = "the store has it"
    NEW = "it was received and not saved yet; callers do not get it yet"
    UNSAVED = "saving it failed, or the store has lost it; callers get it, and saving goes on"


@attrs.frozen(kw_only=True)
class TokenState:
    """Everything that decides what a manager does next. A new state replaces it after each outcome."""

    interactive: bool = True
    """Whether the grant needs a user; if not, it is run again instead of a refresh."""

    held: Held | None = None
    """The newest token of the newest sign-in that is known."""
    used: Held | None = None
    """The token that callers get: `held`, or the one before it while `held` is saved for the first time."""
    saving: Saving = Saving.SAVED
    rejected: str | None = attrs.field(default=None, repr=False)
    """An access token that a resource server has rejected."""
    rejections: int = 0
    """Tokens in a row that were requested because the one before was rejected, and were rejected too; with the last."""
    unwanted: frozenset[str] = attrs.field(default=frozenset(), repr=False)
    """Access tokens that are to be replaced, however long they are valid, if the store has nothing newer."""

    has_read: bool = False
    """The store was read in this round or, under the lock, since it was acquired."""
    present: str | None = None
    """The epoch that the store had when it was read."""
    is_locked: bool = False
    is_marked: bool = False
    """The store has the mark (`StoredToken.unanswered`) of the refresh that comes next."""
    conflicts: int = 0
    """Saves in a row that the store refused with `StoreConflict`."""

    refusal: StoredToken | None = None
    """The token whose refresh token was refused for good; the store may have a newer one (fault 23)."""
    refused_epoch: str | None = None
    """The sign-in that the server has ended."""
    was_lost: bool = False
    """The response to an earlier refresh of that sign-in was lost."""

    ask_at: float = -math.inf
    """Monotonic. No request with the held token is sent before."""
    failures: int = 0
    """Requests in a row that failed."""
    error: TwilioOAuthError | None = attrs.field(default=None, eq=False)
    """How the last request failed."""
    is_client_refused: bool = False
    """The server refused the client or the request, not the refresh token."""

    store_failed_at: float = -math.inf
    """Monotonic. When the store failed last."""
    store_failures: int = 0
    """Calls of the store in a row that failed."""
    store_error: TwilioOAuthError | None = attrs.field(default=None, eq=False)

    reason: LoginReason = "never_signed_in"
    """Why a login is required while nothing is held."""
    signed_in_at: datetime | None = None
    """UTC. The time of the latest sign-in that is known, also of one that has been deleted."""

    is_signing_out: bool = False
    """A logout was requested and is not completed."""
    logout_error: TwilioOAuthError | None = attrs.field(default=None, eq=False)
    """Why the last logout failed."""
    revoked_epoch: str | None = None
    """The sign-in that a logout has revoked. If its token could not be deleted, it is not used again."""

    def holds(self, stored: StoredToken) -> bool:
        """Return whether `stored` is the held token, apart from its mark."""
        held = self.held
        return held is not None and (held.stored.epoch, held.stored.generation) == (stored.epoch, stored.generation)

    def with_new(self, held: Held, **changes: Any) -> TokenState:
        """Hold a token that was received. It must be saved before callers get it."""
        changes = {
            "is_marked": False,
            "refusal": None,
            "conflicts": 0,
            "unwanted": frozenset(),
            **NO_FAILURES,
            **changes,
        }
        return attrs.evolve(self, held=held, saving=Saving.NEW, **changes).with_sign_in_time(held.stored)

    def with_stored(self, stored: StoredToken) -> TokenState:
        """Hold `stored`, which has the access token of what is held, and must be saved."""
        if self.held is None or self.held.stored == stored:
            return self
        held = attrs.evolve(self.held, stored=stored)
        return attrs.evolve(self, held=held, used=held, saving=Saving.UNSAVED)

    def with_sign_in_time(self, stored: StoredToken) -> TokenState:
        """Remember when the user signed in, if that is later than every sign-in before."""
        if self.signed_in_at is None or self.signed_in_at < stored.signed_in_at:
            return attrs.evolve(self, signed_in_at=stored.signed_in_at)
        return self

    @property
    def rejections_in_a_row(self) -> int:
        """`rejections` for a token that is received now: it goes on counting if that replaces a rejected one."""
        held = self.held
        return self.rejections if held is not None and held.stored.token.access_token == self.rejected else 0

    def with_unwanted_of_held(self) -> TokenState:
        """Forget unwanted tokens that are replaced already, after the store was read."""
        held: set[str] = set() if self.held is None else {self.held.stored.token.access_token}
        return attrs.evolve(self, unwanted=self.unwanted & held) if self.unwanted else self

    def with_rejected(self, access_token: str) -> TokenState:
        """Note that a resource server has rejected the token that is in use."""
        if access_token == self.rejected:
            return self
        # A token of a sign-in or of another process is replaced at once, and not counted.
        is_counted = self.used is not None and self.used.issued > -math.inf
        return attrs.evolve(self, rejected=access_token, rejections=self.rejections + 1 if is_counted else 0)

    def in_use(self) -> TokenState:
        """Give the held token to callers, although it could not be saved: it is valid (fault 24)."""
        return attrs.evolve(self, saving=Saving.UNSAVED, used=self.held)

    def without_token(self, reason: LoginReason) -> TokenState:
        """Forget the token, because the user has to sign in again."""
        return attrs.evolve(
            self,
            held=None,
            used=None,
            saving=Saving.SAVED,
            rejected=None,
            reason=reason,
            **NOTHING_UNDER_WAY,
        )


NO_FAILURES: Final[dict[str, Any]] = {
    "ask_at": -math.inf,
    "failures": 0,
    "error": None,
    "is_client_refused": False,
    "was_lost": False,
}
"""The fields of a state for a token with which no request has failed."""

_NOTHING: Final[dict[str, Any]] = {"is_marked": False, "refusal": None, "conflicts": 0, "unwanted": frozenset[str]()}
NOTHING_UNDER_WAY: Final[dict[str, Any]] = NO_FAILURES | _NOTHING
"""The fields of a state for another token than before, or none."""


class Work(enum.Enum):
    """A step that the worker performs; its arguments are in the state."""

    LOAD = "read the store"
    LOCK = "acquire the lock of the store"
    UNLOCK = "release the lock of the store"
    MARK = "save that a refresh is about to be sent"
    SAVE = "save the held token"
    REFRESH = "send the refresh token, once"
    OBTAIN = "run a grant that needs no user"
    REVOKE = "revoke the held token at the server"
    DELETE = "delete the token from the store"


@attrs.frozen
class WaitUntil:
    """Nothing to do before `at`, in monotonic seconds."""

    at: float
    error: TwilioOAuthError | None = attrs.field(default=None, eq=False)
    """Why there is no valid token until then; None: there is one."""


@attrs.frozen
class AskForLogin:
    """Only a new sign-in helps."""

    reason: LoginReason
    was_lost: bool = False
    """The response to an earlier refresh was lost."""


Rest: TypeAlias = WaitUntil | AskForLogin
"""The end of a round of work."""


@attrs.frozen
class Decision:
    """What a caller gets now, and what the manager does next."""

    use: StoredToken | None
    """The token for callers; None: there is no valid one."""
    next: Work | Rest


class Event(enum.Enum):
    """An outcome or a request without a value."""

    STARTED = "a round of work has started: what was read before may be outdated"
    INTERRUPTED = "the event loop ended before the round; the lock is released"
    CLOSING = "the manager is closed: what is not saved is tried at once"
    LOCKED = "the lock was acquired"
    UNLOCKED = "the lock was released"
    LOGOUT = "the user asked for a logout"
    REVOKED = "the server has revoked the token, or has no revocation endpoint"
    DELETED = "the store has deleted the token"


@attrs.frozen
class Loaded:
    """The store was read."""

    stored: StoredToken | None
    is_deleted: bool = False
    """There is no token because it was deleted, which distinguishes a logout from data that was lost."""
    unusable: LoginReason | None = None
    """Why the grant cannot use it: it belongs to another client or server (``never_signed_in``), or was requested with
    fewer scopes or audiences (``scopes``)."""


@attrs.frozen
class Saved:
    """The token is stored."""

    stored: StoredToken
    is_mark: bool = False


@attrs.frozen
class StoreFailed:
    """The store or its lock failed."""

    error: TwilioOAuthError = attrs.field(eq=False)
    is_conflict: bool = False
    """The store has something newer and has kept it (`StoreConflict`)."""


@attrs.frozen
class Refreshed:
    """The server has issued a new token for the refresh token of `of`."""

    of: StoredToken
    token: Token


class Kind(enum.Enum):
    """The kinds of failures of a request to the server."""

    REFUSED = "the refresh token is not accepted any more (invalid_grant)"
    CLIENT_REFUSED = "any other readable 4xx: the refresh token was not used"
    UNPROCESSED = "a fault that may pass: nothing was sent, or the server did not process it (429)"
    MAYBE_PROCESSED = "a fault that may pass: 5xx, a response that was lost or cannot be read"


@attrs.frozen
class RequestFailed:
    """A refresh, or the run of a grant that needs no user, failed."""

    kind: Kind
    of: StoredToken | None
    """The token that was to be refreshed."""
    error: TwilioOAuthError = attrs.field(eq=False)
    retry_after: float = 0.0
    """Seconds, from the response."""


@attrs.frozen
class SignedIn:
    """A token of a new sign-in."""

    stored: StoredToken
    is_exact: bool = False
    """Its time is kept as it is; else it becomes later than that of every sign-in that was known before."""


@attrs.frozen
class Rejected:
    """A resource server has rejected this access token (RFC 6750 3.1)."""

    access_token: str = attrs.field(repr=False)


@attrs.frozen
class Unwanted:
    """A caller wants a new token instead of this access token."""

    access_token: str = attrs.field(repr=False)


@attrs.frozen
class RevokeFailed:
    """The token could not be revoked: nothing is forgotten."""

    error: TwilioOAuthError = attrs.field(eq=False)


Outcome: TypeAlias = (
    Event | Loaded | Saved | StoreFailed | Refreshed | RequestFailed | SignedIn | Rejected | Unwanted | RevokeFailed
)
