"""Calls of a store of the caller: every failure is a `StoreError`, and is logged once per outage."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import TypeVar

from twilio_oauth_async import telemetry
from twilio_oauth_async.errors import StoreConflict, StoreError, TwilioOAuthError

T = TypeVar("T")

_log = logging.getLogger(__name__)


class StoreCalls:
    """Awaits calls of one store, and remembers whether it works."""

    def __init__(self, name: str) -> None:
        """Create it.

        Args:
            name: of the store, for the log.
        """
        self._name = name
        self._is_down = False
        self.failures: int = 0
        """Calls that failed, since the pool was created."""

    async def of(self, call: Awaitable[T]) -> T:
        """Await `call` and return its result.

        Raises:
            StoreConflict: as the store says.
            StoreError: the store failed, in whatever way.
            TwilioOAuthError: as the caller's function raised it.
        """
        failed: TwilioOAuthError
        try:
            result = await call
        except StoreError as error:
            failed = error
        except TwilioOAuthError:
            self._record_success()
            raise
        except Exception as error:  # noqa: BLE001 - of the caller's own code
            # It may contain anything, so only its type is named.
            failed = StoreError(f"the {self._name} raised {type(error).__name__}")
        else:
            self._record_success()
            return result
        if isinstance(failed, StoreConflict):
            self._record_success()
        else:
            self._record_failure(failed)
        raise failed

    def _record_success(self) -> None:
        if self._is_down:
            self._is_down = False
            _log.warning("the %s of the pool works again", self._name)

    def _record_failure(self, error: TwilioOAuthError) -> None:
        self.failures += 1
        if telemetry.observer is not None:
            telemetry.observer.count("twilio_oauth.pool.store_failures", {"store": self._name})
        if not self._is_down:
            self._is_down = True
            _log.error("the %s of the pool has failed, and is tried again: %s", self._name, error)
