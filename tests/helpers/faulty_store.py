"""`FaultyStore`: any store, made to fail, to wait or to run a function at chosen calls."""

import asyncio
import contextlib
import copy
import functools
import inspect
import math

import attrs

from twilio_oauth_async import StoreError


@attrs.define(eq=False)
class _Rule:
    """What happens at some of the calls of one method."""

    method: str
    is_after: bool
    action: object
    when: object
    skip: int
    times: float

    def applies(self, method, is_after, arguments):
        """Whether this call is one of those; it counts against `skip` and `times`."""
        if (self.method, self.is_after) != (method, is_after) or self.times <= 0:
            return False
        if self.when is not None and not self.when(*arguments):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True


class Pause:
    """Makes calls wait: each sets `reached` and then waits for `resume`."""

    def __init__(self):
        self.reached = asyncio.Event()
        self._resumed = asyncio.Event()

    async def __call__(self, *_):
        self.reached.set()
        await self._resumed.wait()

    def resume(self):
        self._resumed.set()


class FaultyStore:
    """A `TokenStore` or `FlowStore` that passes every call on to `inner`, except where a test asks for a fault.

    ::

        store = FaultyStore(MemoryTokenStore())
        store.fail("save")                    # every save raises StoreError("down"), until store.repair("save")
        store.fail("save", times=1)           # only the next one
        store.fail("lease", skip=1)           # every one but the next
        store.fail("delete", when=lambda id: id == "a", error=StoreError("disk full"))
        store.before("load", function)        # a function or coroutine function, called with the positional arguments
        store.after("lease", function, times=1)
        pause = store.pause("save")           # saves wait until pause.resume()
        store.slow_down("lease")              # other tasks run before and after it

    The methods are those of the store; ``"unlock"`` is the end of a lock. Rules run in the order in which they were
    made; the first that raises ends the call. `calls` lists the names of the methods as they are called.
    """

    def __init__(self, inner):
        self.inner = inner
        self.calls = []
        self._rules = []

    def fail(self, *methods, error=None, when=None, skip=0, times=math.inf):
        """Raise `error` (``StoreError("down")`` where it is None) in place of the call."""

        def fail(*_):
            raise StoreError("down") if error is None else copy.copy(error)

        for method in methods:
            self.before(method, fail, when=when, skip=skip, times=times)

    def before(self, method, action, *, when=None, skip=0, times=math.inf):
        """Call `action` before the store."""
        self._rules.append(_Rule(method, False, action, when, skip, times))

    def after(self, method, action, *, when=None, skip=0, times=math.inf):
        """Call `action` after the store, before its result is returned."""
        self._rules.append(_Rule(method, True, action, when, skip, times))

    def pause(self, method):
        """Make the calls of `method` wait before the store; return the `Pause` that ends this."""
        pause = Pause()
        self.before(method, pause)
        return pause

    def slow_down(self, *methods):
        """Let other tasks run for a turn of the loop before and after the calls, as a store over a network does."""
        for method in methods:
            self.before(method, lambda *_: asyncio.sleep(0))
            self.after(method, lambda *_: asyncio.sleep(0))

    def repair(self, *methods):
        """Forget the rules of `methods`; all rules where none is given."""
        self._rules = [rule for rule in self._rules if methods and rule.method not in methods]

    def __getattr__(self, method):
        if method.startswith("_"):
            raise AttributeError(method)
        return functools.partial(self._call, method)

    async def users(self):
        self.calls.append("users")
        await self._run_rules("users", False)
        async for user in self.inner.users():
            yield user
        await self._run_rules("users", True)

    @contextlib.asynccontextmanager
    async def lock(self, key):
        self.calls.append("lock")
        await self._run_rules("lock", False, key)
        async with self.inner.lock(key):
            await self._run_rules("lock", True, key)
            yield
        self.calls.append("unlock")
        await self._run_rules("unlock", False, key)

    async def _call(self, method, *arguments, **options):
        self.calls.append(method)
        await self._run_rules(method, False, *arguments)
        result = await getattr(self.inner, method)(*arguments, **options)
        await self._run_rules(method, True, *arguments)
        return result

    async def _run_rules(self, method, is_after, *arguments):
        for rule in list(self._rules):
            if rule.applies(method, is_after, arguments):
                outcome = rule.action(*arguments)
                if inspect.isawaitable(outcome):
                    await outcome
