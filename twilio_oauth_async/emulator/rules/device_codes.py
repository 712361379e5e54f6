"""Device codes: issued, polled, approved or denied, exchanged once, deleted after expiry (RFC 8628)."""

from __future__ import annotations

import heapq

from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.rules.ids import Ids
from twilio_oauth_async.emulator.rules.model import App, Decision, DeviceCode, Now, Policy, User
from twilio_oauth_async.emulator.rules.user_codes import (
    UnknownUserCodeError,
    UserCodeExpiredError,
    UserCodeUsedError,
    normalize_user_code,
)

SLOW_DOWN_STEP = 5.0
"""RFC 8628 3.5: the interval MUST be increased by 5 seconds for this and all subsequent requests."""
REMEMBERED_AFTER_EXPIRY = 600.0
"""Seconds for which an expired code is kept, so that it is reported as expired and not as unknown."""
_TIMER_TOLERANCE = 0.001
"""Seconds that a poll may be early, because of rounding on the client's side."""


class DeviceCodes:
    """All device codes. No operation reads all of them, except where noted."""

    def __init__(self, policy: Policy, ids: Ids) -> None:
        self._policy = policy
        self._ids = ids
        self._by_device_code: dict[str, DeviceCode] = {}
        self._by_user_code: dict[str, DeviceCode] = {}
        self._deletions: list[tuple[float, str]] = []
        """Heap: the time to delete, and the device code. Most operations delete the codes that are due."""

    def __len__(self) -> int:
        """Return the number of stored codes, including expired ones that are not deleted yet."""
        return len(self._by_device_code)

    def pending(self, now: Now) -> list[DeviceCode]:
        """Return the codes that can still be approved, oldest first. Reads every stored code."""
        return [
            entry
            for entry in self._by_device_code.values()
            if entry.decision is Decision.PENDING and entry.expires_at > now.seconds
        ]

    def issue(self, app: App, scopes: tuple[str, ...], audiences: tuple[str, ...], now: Now) -> DeviceCode:
        """Return a new pending code for `app`."""
        self.delete_expired(now)
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
            requested_on=now.wall,
            expires_at=now.seconds + self._policy.expires_in,
            interval=self._policy.interval,
        )
        self._by_device_code[entry.device_code] = entry
        self._by_user_code[normalize_user_code(user_code)] = entry
        heapq.heappush(self._deletions, (entry.expires_at + REMEMBERED_AFTER_EXPIRY, entry.device_code))
        return entry

    def delete_expired(self, now: Now) -> None:
        """Delete codes that expired `REMEMBERED_AFTER_EXPIRY` seconds ago or earlier."""
        while self._deletions and self._deletions[0][0] <= now.seconds:
            entry = self._by_device_code.pop(heapq.heappop(self._deletions)[1])
            del self._by_user_code[normalize_user_code(entry.user_code)]

    def find(self, user_code: str, now: Now) -> DeviceCode:
        """Return the pending code with this user code. Case, spaces and dashes are ignored.

        Raises:
            UnknownUserCodeError: the user code was never issued, or it is deleted.
            UserCodeExpiredError: it has expired.
            UserCodeUsedError: it was already approved or denied.
        """
        self.delete_expired(now)
        entry = self._by_user_code.get(normalize_user_code(user_code))
        if entry is None:
            raise UnknownUserCodeError("no device code was issued with this user code")
        if entry.decision is not Decision.PENDING:
            raise UserCodeUsedError("this user code was already approved or denied")
        if entry.expires_at <= now.seconds:
            raise UserCodeExpiredError("this user code has expired")
        return entry

    def approve(self, user_code: str, user: User, now: Now, scopes: tuple[str, ...] | None = None) -> DeviceCode:
        """Approve the code: grant the requested scopes, or only `scopes`.

        Raises:
            UserCodeError: as `find` does.
            ValueError: `scopes` contains a scope that was not requested.
        """
        entry = self.find(user_code, now)
        if scopes is not None:
            if not set(scopes) <= set(entry.requested_scopes):
                raise ValueError("only scopes that were requested can be approved")
            entry.scopes = scopes
        entry.decision = Decision.APPROVED
        entry.user = user
        entry.decided_at = now.wall
        return entry

    def deny(self, user_code: str, now: Now) -> DeviceCode:
        """Deny the request.

        Raises:
            UserCodeError: as `find` does.
        """
        entry = self.find(user_code, now)
        entry.decision = Decision.DENIED
        entry.decided_at = now.wall
        return entry

    def expire(self, user_code: str, now: Now) -> None:
        """Make the code expire now, even if it was already approved or denied.

        Raises:
            UnknownUserCodeError: the user code was never issued, or it is deleted.
        """
        entry = self._by_user_code.get(normalize_user_code(user_code))
        if entry is None:
            raise UnknownUserCodeError("no device code was issued with this user code")
        entry.expires_at = min(entry.expires_at, now.seconds)

    def redeem(self, device_code: str, app: App, now: Now) -> DeviceCode:
        """Return the approved code of a poll. The caller marks it as exchanged.

        Raises:
            ErrorResponse: an error code of RFC 8628 3.5, or ``invalid_grant``. If the code was exchanged before, its
                grant is revoked.
        """
        self.delete_expired(now)
        entry = self._by_device_code.get(device_code)
        if entry is None or entry.app is not app:
            # RFC 6749 5.2 "issued to another client": same response as for an unknown code, so that codes cannot be
            # probed for.
            raise ErrorResponse("invalid_grant", "The device code is unknown or was issued to another client.")
        if entry.decision is Decision.EXCHANGED:
            if entry.grant is not None:
                entry.grant.revoked = True
            raise ErrorResponse("invalid_grant", "The device code was already used; its tokens are revoked.")
        if entry.expires_at <= now.seconds:
            raise ErrorResponse("expired_token", "The device code has expired.")
        last_poll, entry.last_poll = entry.last_poll, now.seconds
        if last_poll is not None and now.seconds - last_poll < entry.interval - _TIMER_TOLERANCE:
            entry.interval += SLOW_DOWN_STEP
            raise ErrorResponse("slow_down", f"Polled too fast; the interval is now {entry.interval:g} seconds.")
        if entry.decision is Decision.DENIED:
            raise ErrorResponse("access_denied", "The user denied access.")
        if entry.decision is Decision.PENDING:
            raise ErrorResponse("authorization_pending", "The user has not approved or denied yet.")
        return entry
