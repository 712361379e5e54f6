"""`Rounds`: runs the worker in one task that all callers share, on demand and in the background.

A round performs steps until there is nothing to do now. Callers wait for it without owning it: a caller that is
cancelled does not stop the refresh that others wait for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Generator
from typing import Any

import attrs

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.errors import ConfigurationError, TwilioOAuthError
from twilio_oauth_async.tasks import create_task
from twilio_oauth_async.tokens.lifetime import decide, must_save
from twilio_oauth_async.tokens.state import AskForLogin, Decision, Event, Rest, Saving, TokenState, WaitUntil, Work
from twilio_oauth_async.tokens.validity import background_leeway
from twilio_oauth_async.tokens.worker import TokenWorker

MAX_NAP = 60.0
"""Seconds between two looks of the background at both clocks: during suspend, the monotonic clock stands still."""

PAUSE_AFTER_MISTAKE = 60.0
"""Seconds that the background waits after an exception that no step should raise."""

_log = logging.getLogger(__name__)


@attrs.define(eq=False)
class _Waiter:
    need: float
    woken: asyncio.Future[None]
    store_error: TwilioOAuthError | None = None
    """Why the token that it waited for could not be saved."""


class Rounds:
    """The tasks of one `TokenManager`. They belong to the event loop that is running; a new loop starts new ones."""

    def __init__(
        self, worker: TokenWorker, clock: Clock, leeway: float, *, ended: Callable[[TokenState, Decision], None]
    ) -> None:
        """Create it; no task is started.

        Args:
            worker: performs the steps.
            clock: the source of time.
            leeway: seconds before expiry at which a caller causes a refresh.
            ended: called after each round.
        """
        self._worker = worker
        self._ended = ended
        self._clock = clock
        self._leeway = leeway
        self._share = random.random()  # noqa: S311 - no secret: spreads the refreshes of many processes
        self._loop: asyncio.AbstractEventLoop | None = None
        self._round: asyncio.Task[Rest] | None = None
        self._waiters: set[_Waiter] = set()
        self._background: asyncio.Task[None] | None = None
        self._is_early = False
        self._keeps_fresh = False

    @property
    def is_busy(self) -> bool:
        """Whether a round is running, callers wait, or a token is still to be saved."""
        running = self._round is not None and not self._round.done()
        return running or bool(self._waiters) or must_save(self._worker.state, self._worker.now())

    def decide(self, need: float = 0.0) -> Decision:
        """Return what a caller who needs a token for `need` seconds gets now, and what comes next."""
        return decide(self._worker.state, self._worker.now(), self._leeway, need)

    def attach(self) -> None:
        """Use the running event loop from now on.

        Raises:
            ConfigurationError: the loop that was used before is still running, in another thread.
        """
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        if self._loop is not None:
            if self._loop.is_running():
                raise ConfigurationError("a TokenManager can be used in one running event loop only")
            # The tasks of the old loop have ended with it, perhaps in the middle of a step.
            self._worker.tell(Event.INTERRUPTED)
        self._loop, self._round, self._background, self._keeps_fresh = loop, None, None, False
        self._waiters = set()
        if self._worker.state.saving is Saving.UNSAVED:
            self._ensure_background()

    def start(self, *, early: bool = False) -> asyncio.Task[Rest]:
        """Return the running round, or start one.

        Args:
            early: refresh in the last tenth of the lifetime already, before callers need it.
        """
        self.attach()
        if self._round is None or self._round.done():
            self._is_early = early
            self._round = create_task(self._worker.work(self._wanted))
            self._round.add_done_callback(self._after_round)
        return self._round

    async def change(self, need: float = 0.0) -> TwilioOAuthError | None:
        """Wait until the state has changed or the round has ended.

        Returns:
            Why a new token could not be saved, if that is what happened; else None.
        """
        with self._waiting(need) as waiter:
            await waiter.woken
            return waiter.store_error

    def wake(self, store_error: TwilioOAuthError | None = None) -> None:
        """Wake all who wait for a change, in the next turn of the loop: callbacks come first."""
        if self._loop is None or not self._loop.is_running():
            return
        if self._waiters:
            if store_error is not None:
                for waiter in self._waiters:
                    waiter.store_error = store_error
            self._loop.call_soon(_wake, self._waiters)
        if self._worker.state.saving is Saving.UNSAVED:
            self._ensure_background()

    def changed(self, before: TokenState, after: TokenState) -> None:
        """React to a change of the state: wake those who wait, if it concerns them."""
        if before.saving is Saving.NEW and after.saving is Saving.UNSAVED:
            self.wake(after.store_error)
        elif (before.used, before.held, before.saving, before.is_signing_out) != (
            after.used,
            after.held,
            after.saving,
            after.is_signing_out,
        ):
            self.wake()

    def keep_fresh(self) -> None:
        """Refresh in the background until `close`."""
        self.attach()
        self._keeps_fresh = True
        self._ensure_background()

    async def close(self) -> None:
        """Stop the background, and wait for the round. A token that is not saved yet is tried once more."""
        self.attach()
        self._keeps_fresh = False
        await self._stop_background()
        if self._worker.state.saving is not Saving.SAVED:
            self._worker.tell(Event.CLOSING)
            self.start()
        if self._round is not None:
            await asyncio.wait({self._round})
        await self._stop_background()  # a save that failed has started it again

    def _wanted(self) -> tuple[float, float]:
        need = max((waiter.need for waiter in self._waiters), default=0.0)
        return self._early_leeway() if self._is_early else self._leeway, need

    def _early_leeway(self) -> float:
        held = self._worker.state.held
        return self._leeway if held is None else background_leeway(held.stored, self._leeway, self._share)

    def _after_round(self, ended: asyncio.Task[Rest]) -> None:
        if not ended.cancelled() and (error := ended.exception()) is not None:
            # A mistake in this package, or a clock that raises: those who wait get it too.
            self._log_mistake(error)
        if ended is self._round:
            try:
                self._ended(self._worker.state, self.decide())
            except Exception as error:  # noqa: BLE001 - a clock of the caller's own
                self._log_mistake(error)
            self.wake()

    def _log_mistake(self, error: BaseException) -> None:
        _log.error("the work on the token of %r ended with %s", self._worker.user, type(error).__name__)

    @contextlib.contextmanager
    def _waiting(self, need: float) -> Generator[_Waiter]:
        waiters = self._waiters
        waiter = _Waiter(need, asyncio.get_running_loop().create_future())
        waiters.add(waiter)
        try:
            yield waiter
        finally:
            waiters.discard(waiter)

    async def _stop_background(self) -> None:
        background, self._background = self._background, None
        if background is not None:
            background.cancel()
            await asyncio.wait({background})

    def _ensure_background(self) -> None:
        if self._background is None or self._background.done():
            self._background = create_task(self._run())

    async def _run(self) -> None:
        """Refresh before callers need it, and save what could not be saved. Survives every failure."""
        while self._keeps_fresh or self._worker.state.saving is not Saving.SAVED:
            try:
                step = self._next_step()
                if isinstance(step, AskForLogin) and not self._keeps_fresh:
                    return  # what is not saved is of no use any more
                await self._take(step)
            except Exception as error:  # noqa: BLE001 - a clock of the caller's own
                self._log_mistake(error)
                await asyncio.sleep(PAUSE_AFTER_MISTAKE)

    def _next_step(self) -> Work | Rest:
        leeway = self._early_leeway() if self._keeps_fresh else self._leeway
        return decide(self._worker.state, self._worker.now(), leeway).next

    async def _take(self, step: Work | Rest) -> None:
        if isinstance(step, Work):
            await self._run_round()
        elif isinstance(step, WaitUntil):
            await self._nap(step.at - self._clock.monotonic())
        elif not await self._nap(MAX_NAP):
            await self._run_round()  # another process may have saved a sign-in

    async def _run_round(self) -> None:
        round_ = self.start(early=self._keeps_fresh)
        await asyncio.wait({round_})
        if not round_.cancelled() and round_.exception() is not None:
            await self._nap(MAX_NAP)

    async def _nap(self, seconds: float) -> bool:
        """Wait for `seconds`, at most `MAX_NAP`, or for a change; return whether there was one."""
        timer: asyncio.Future[Any] = create_task(self._clock.sleep(min(max(seconds, 0.0), MAX_NAP)))
        try:
            with self._waiting(0.0) as waiter:
                done, _ = await asyncio.wait({timer, waiter.woken}, return_when=asyncio.FIRST_COMPLETED)
                if timer in done:
                    timer.result()  # a clock that raises must not cause a loop without a wait
                return waiter.woken.done()
        finally:
            timer.cancel()
            await asyncio.wait({timer})


def _wake(waiters: set[_Waiter]) -> None:
    for waiter in waiters:
        if not waiter.woken.done():
            waiter.woken.set_result(None)
