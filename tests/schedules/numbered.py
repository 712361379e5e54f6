"""Futures and tasks whose hashes are numbers, so that a run can be repeated.

By default a hash is an address in memory. The order of a set of tasks, and with it the order in which they are
cancelled or woken, would differ between two runs with the same decisions.
"""

import asyncio
import itertools
from contextlib import contextmanager

from twilio_oauth_async.tokens import rounds


class NumberedFuture(asyncio.Future):
    """A future with a number."""

    def __init__(self, number, **options):
        self.number = number
        super().__init__(**options)

    def __hash__(self):
        return self.number


class NumberedTask(asyncio.Task):
    """A task with a number."""

    def __init__(self, number, coro, **options):
        self.number = number
        super().__init__(coro, **options)

    def __hash__(self):
        return self.number


def number_futures(loop):
    """Let `loop` create futures and tasks with numbers."""
    numbers = itertools.count(1)
    loop.create_future = lambda: NumberedFuture(next(numbers), loop=loop)
    loop.set_task_factory(lambda loop, coro, **options: NumberedTask(next(numbers), coro, loop=loop, **options))


@contextmanager
def numbered_waiters():
    """Give the callers that wait for a manager, which it keeps in a set, the numbers of their futures."""
    before = rounds._Waiter.__hash__
    rounds._Waiter.__hash__ = lambda waiter: waiter.woken.number
    try:
        yield
    finally:
        rounds._Waiter.__hash__ = before
