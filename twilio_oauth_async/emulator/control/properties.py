"""`ServerProperties`: what a test in the emulator's process can read."""

from __future__ import annotations

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.endpoints.v1 import ACTIVATE_PATH
from twilio_oauth_async.emulator.faults.faults import Faults
from twilio_oauth_async.emulator.messages.journal import Journal
from twilio_oauth_async.emulator.rules.model import DeviceCode, Policy, User


class ServerProperties:
    """Addresses, credentials, users and settings of one server."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def base_url(self) -> str:
        """Base URL of the server, without a trailing slash.

        Raises:
            RuntimeError: the emulator is not running.
        """
        if not self._backend.base_url:
            raise RuntimeError("the emulator is not running; use `async with Emulator() as emulator:`")
        return self._backend.base_url

    @property
    def activation_url(self) -> str:
        """URL of the page where a user enters a user code. Raises as `base_url` does."""
        return f"{self.base_url}/{ACTIVATE_PATH}"

    @property
    def issuer(self) -> str:
        """The ``iss`` of all tokens."""
        return self._backend.issuer

    @property
    def account_sid(self) -> str:
        """SID of the account: the user name of the Basic credentials."""
        return self._backend.account_sid

    @property
    def auth_token(self) -> str:
        """Auth token of the account: the password of the Basic credentials."""
        return self._backend.auth_token

    @property
    def client_sid(self) -> str:
        """SID of the app that exists from the start."""
        return self._backend.default_app.sid

    @property
    def client_secret(self) -> str | None:
        """Secret of that app; None if it is public."""
        return self._backend.default_app.secret

    @property
    def user(self) -> User:
        """The default user: approves if no other user is given, and is the owner of the account."""
        return self._backend.default_user

    @property
    def users(self) -> tuple[User, ...]:
        """All users who can approve, in the order in which they were added."""
        return tuple(self._backend.server.users.values())

    @property
    def clock(self) -> Clock:
        """The clock that was given, or the system clock."""
        return self._backend.clock

    @property
    def policy(self) -> Policy:
        """Lifetimes and other settings. They can be changed while the emulator runs."""
        return self._backend.server.policy

    @property
    def scope_texts(self) -> dict[str, str]:
        """What each scope allows, as the pages say it; for scopes without a text they name the scope."""
        return self._backend.scope_texts

    @property
    def requests(self) -> Journal:
        """The newest of the recorded requests, oldest first; `journal_size` and `journal_bytes` limit them."""
        return self._backend.journal

    @property
    def faults(self) -> Faults:
        """Faults of this emulator. Add one with ``emulator.faults.on("token").respond(503)``."""
        return self._backend.faults

    @property
    def device_codes(self) -> tuple[DeviceCode, ...]:
        """The device codes that can still be approved, oldest first. Reads every stored code."""
        return tuple(self._backend.server.devices.pending(self._backend.now()))

    @property
    def pending_device_codes(self) -> int:
        """Number of device codes that can still be approved. Reads every stored code."""
        return len(self.device_codes)

    @property
    def remembered_device_codes(self) -> int:
        """Number of stored device codes, including approved, denied and expired ones that are not deleted yet."""
        return len(self._backend.server.devices)
