"""Device codes: issued, polled, decided upon, used once, swept (RFC 8628)."""

from __future__ import annotations

import heapq

from twilio_oauth_async.emulator.messages.refusal import (
    RefusalError,
    UnknownUserCodeError,
    UserCodeExpiredError,
    UserCodeUsedError,
)
from twilio_oauth_async.emulator.rules.ids import Ids, normalize_user_code
from twilio_oauth_async.emulator.rules.model import App, Decision, DeviceCode, Now, Policy, User

SLOW_DOWN_STEP = 5.0
"""RFC 8628 3.5: the interval MUST be increased by 5 seconds for this and all subsequent requests."""
REMEMBERED_AFTER_EXPIRY = 600.0
"""Seconds for which an expired code is still told apart from one that never was."""
_TIMER_TOLERANCE = 0.001
"""A poll that is a millisecond early is rounding on the way here, not impatience."""


class DeviceCodes:
    """All device codes. What a request needs costs the same however many there are; the sweep is spread over them."""

    def __init__(self, policy: Policy, ids: Ids) -> None:
        self._policy = policy
        self._ids = ids
        self._by_device_code: dict[str, DeviceCode] = {}
        self._by_user_code: dict[str, DeviceCode] = {}
        self._forget: list[tuple[float, str]] = []

    def __len__(self) -> int:
        """How many are remembered, expired ones that are not swept yet included."""
        return len(self._by_device_code)

    def count_pending(self, now: Now) -> int:
        """Count those that can still be approved; the one operation that looks at every code."""
        return sum(
            entry.decision is Decision.PENDING and entry.expires_at > now.seconds
            for entry in self._by_device_code.values()
        )

    def issue(self, app: App, scopes: tuple[str, ...], audiences: tuple[str, ...], now: Now) -> DeviceCode:
        """Return a new pending code for `app`."""
        self.sweep(now)
        user_code = self._ids.user_code()
        while normalize_user_code(user_code) in self._by_user_code:
            user_code = self._ids.user_code()
        entry = DeviceCode(
            device_code=self._ids.text(32),
            user_code=user_code,
            app=app,
            requested_scopes=scopes,
            scopes=scopes,
            audiences=audiences,
            expires_at=now.seconds + self._policy.expires_in,
            interval=self._policy.interval,
        )
        self._by_device_code[entry.device_code] = entry
        self._by_user_code[normalize_user_code(user_code)] = entry
        heapq.heappush(self._forget, (entry.expires_at + REMEMBERED_AFTER_EXPIRY, entry.device_code))
        return entry

    def sweep(self, now: Now) -> None:
        """Forget what expired long ago."""
        while self._forget and self._forget[0][0] <= now.seconds:
            entry = self._by_device_code.pop(heapq.heappop(self._forget)[1])
            del self._by_user_code[normalize_user_code(entry.user_code)]

    def find(self, user_code: str, now: Now) -> DeviceCode:
        """Return the pending code that a person typed, however they typed it.

        Raises:
            UnknownUserCodeError: nobody was given it.
            UserCodeExpiredError: too late.
            UserCodeUsedError: already decided upon.
        """
        self.sweep(now)
        entry = self._by_user_code.get(normalize_user_code(user_code))
        if entry is None:
            raise UnknownUserCodeError("no device code was issued with this user code")
        if entry.decision is not Decision.PENDING:
            raise UserCodeUsedError("this user code was already approved or denied")
        if entry.expires_at <= now.seconds:
            raise UserCodeExpiredError("this user code has expired")
        return entry

    def approve(self, user_code: str, user: User, now: Now, scopes: tuple[str, ...] | None = None) -> DeviceCode:
        """Let the app have what it asked for, or only `scopes` of it; raises as `find` does."""
        entry = self.find(user_code, now)
        if scopes is not None:
            if not set(scopes) <= set(entry.requested_scopes):
                raise ValueError("a person can only approve scopes that were asked for")
            entry.scopes = scopes
        entry.decision = Decision.APPROVED
        entry.user = user
        entry.decided_at = now.wall
        return entry

    def deny(self, user_code: str, now: Now) -> DeviceCode:
        """Refuse it; raises as `find` does."""
        entry = self.find(user_code, now)
        entry.decision = Decision.DENIED
        entry.decided_at = now.wall
        return entry

    def expire(self, user_code: str, now: Now) -> None:
        """Make it expire now, whatever was decided about it.

        Raises:
            UnknownUserCodeError: nobody was given it.
        """
        entry = self._by_user_code.get(normalize_user_code(user_code))
        if entry is None:
            raise UnknownUserCodeError("no device code was issued with this user code")
        entry.expires_at = min(entry.expires_at, now.seconds)

    def redeem(self, device_code: str, app: App, now: Now) -> DeviceCode:
        """Return the approved entry of a poll that ends in a token; the caller marks it exchanged.

        Raises:
            RefusalError: with the code that RFC 8628 3.5 gives to this moment, or ``invalid_grant``. Where the entry
                was exchanged before, its grant is revoked as well.
        """
        self.sweep(now)
        entry = self._by_device_code.get(device_code)
        if entry is None or entry.app is not app:
            # RFC 6749 5.2: "issued to another client" answers as unknown does, so that codes cannot be probed for.
            raise RefusalError("invalid_grant", "The device code is unknown or was issued to another client.")
        if entry.decision is Decision.EXCHANGED:
            if entry.grant is not None:
                entry.grant.revoked = True
            raise RefusalError("invalid_grant", "The device code was already used; its tokens are revoked.")
        if entry.expires_at <= now.seconds:
            raise RefusalError("expired_token", "The device code has expired.")
        last_poll, entry.last_poll = entry.last_poll, now.seconds
        if last_poll is not None and now.seconds - last_poll < entry.interval - _TIMER_TOLERANCE:
            entry.interval += SLOW_DOWN_STEP
            raise RefusalError("slow_down", f"Polled too fast; the interval is now {entry.interval:g} seconds.")
        if entry.decision is Decision.DENIED:
            raise RefusalError("access_denied", "The person refused.")
        if entry.decision is Decision.PENDING:
            raise RefusalError("authorization_pending", "The person has not decided yet.")
        return entry
