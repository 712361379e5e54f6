"""Random calls that hypothesis generates, made on a store and on the memory store at the same time."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import pytest

from twilio_oauth_async.clock import Clock, SystemClock, VirtualClock
from twilio_oauth_async.errors import TwilioOAuthError
from twilio_oauth_async.stores.testing.options import StoreContract

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

T = TypeVar("T")
Step: TypeAlias = dict[str, Any]
"""The arguments of a random call; each call uses those that it needs."""

REASON = "hypothesis is not installed: pip install hypothesis"


class ModelTests(StoreContract):
    """Base class of the tests with random calls."""

    examples = 40
    """How many lists of random calls are made."""

    calls_in_example = 14
    """The longest list of random calls."""

    def model_clock(self, clock: VirtualClock) -> Clock:
        """Return the clock of the memory store that a store is compared with."""
        return SystemClock() if self.own_clock else clock

    async def run_examples(
        self,
        check: Callable[[str, Sequence[Step]], Coroutine[Any, Any, None]],
        **values: Sequence[Any],
    ) -> None:
        """Run `check` in this event loop with many random lists of steps.

        Args:
            check: is called with a text to begin all names with, since all examples share the storage, and the steps.
            values: the possible values of each argument of a step.
        """
        pytest.importorskip("hypothesis", reason=REASON)
        from hypothesis import HealthCheck, given, settings
        from hypothesis import strategies as st

        loop = asyncio.get_running_loop()
        step: SearchStrategy[Step] = st.fixed_dictionaries(
            {name: st.sampled_from(choices) for name, choices in values.items()}
        )

        checks: list[HealthCheck] = list(HealthCheck)  # pyright: ignore[reportAssignmentType] - it is an enumeration

        @settings(max_examples=self.examples, deadline=None, suppress_health_check=checks)
        @given(st.lists(step, max_size=self.calls_in_example))
        def run(steps: list[Step]) -> None:
            # hypothesis calls a function, which waits. So it runs in another thread, and the calls in this loop.
            asyncio.run_coroutine_threadsafe(check(secrets.token_hex(8), steps), loop).result()

        await asyncio.to_thread(run)


async def outcome_of(call: Awaitable[T]) -> T | type[TwilioOAuthError]:
    """Return the result of `call`, or the class of the library's error that it raises."""
    try:
        return await call
    except TwilioOAuthError as error:
        return type(error)
