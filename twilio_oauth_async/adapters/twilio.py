"""The token of a manager on the requests of Twilio's own SDK, ``twilio`` (9.13), through its credential hooks.

::

    async with TokenManager(grant) as manager:               # keeps the token fresh in the background
        await manager.token()                                # the first one
        client = Client(account_sid=sid, credential_provider=BearerCredentials(manager))
        message = await asyncio.to_thread(client.messages.create, to=…, from_=…, body=…)

The hooks are synchronous and see neither the URL nor the answer: they cannot wait for a token in the event loop's own
thread, cannot keep it from other hosts than Twilio's, and do not hear of a 401. Programs that use the SDK's
asynchronous methods have a better way, without this module: `aiohttp.BearerAuth` in the SDK's HTTP client, which
waits, compares origins and answers a 401 with a fresh token. The client then gets no credentials, not even from
the environment::

    http = AsyncTwilioHttpClient(pool_connections=False)
    http.session = aiohttp.ClientSession(middlewares=(BearerAuth(manager),))
    client = Client(account_sid=sid, http_client=http, environment={"none": ""})
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib

from twilio_oauth_async.adapters.bearer import TokenSource, authorization
from twilio_oauth_async.errors import ConfigurationError, TransportError
from twilio_oauth_async.extras import from_requirement

with from_requirement("twilio>=9.13", "twilio"):
    # The SDK has type hints in places, and no py.typed.
    from twilio.auth_strategy.auth_strategy import AuthStrategy  # pyright: ignore[reportMissingTypeStubs]
    from twilio.auth_strategy.auth_type import AuthType  # pyright: ignore[reportMissingTypeStubs]
    from twilio.credential.credential_provider import CredentialProvider  # pyright: ignore[reportMissingTypeStubs]


class BearerStrategy(AuthStrategy):
    """The SDK's question for an ``Authorization`` header, answered by a token manager; see `BearerCredentials`."""

    def __init__(self, manager: TokenSource, *, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        super().__init__(AuthType.CLIENT_CREDENTIALS)
        self._manager = manager
        self._loop = loop
        self._timeout = timeout

    def requires_authentication(self) -> bool:
        """Always."""
        return True

    def get_auth_string(self) -> str:
        """The header's value with a token that works now; never one without a token.

        In the event loop's own thread only what is at hand is given; in any other it is waited for.

        Raises:
            ConfigurationError: it would have to be waited for, in the event loop's own thread; or that loop is not
                running.
            TransportError: there was none in time.
            TwilioOAuthError: as `TokenManager.access_token`.
        """
        try:
            in_loop = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            in_loop = False
        return authorization(self._at_hand() if in_loop else self._waited_for())

    def _at_hand(self) -> str:
        # A manager with a fresh token answers without a single wait: its coroutine then ends on the first step.
        asking = self._manager.access_token()
        try:
            asking.send(None)
        except StopIteration as answer:
            return str(answer.value)
        # What it waits for is the manager's own task, which goes on: a moment later there is a token.
        asking.close()
        raise ConfigurationError(
            "there is no fresh token at hand, and the event loop must not be blocked to wait for one: await"
            " manager.token() before, use the manager as an async context manager to keep it fresh,"
            " or call the SDK from another thread (asyncio.to_thread)"
        )

    def _waited_for(self) -> str:
        asking = self._manager.access_token()
        waiting: concurrent.futures.Future[str] | None = None
        if self._loop.is_running():
            with contextlib.suppress(RuntimeError):  # it may be closed between the two lines
                waiting = asyncio.run_coroutine_threadsafe(asking, self._loop)
        if waiting is None:
            asking.close()
            raise ConfigurationError("the event loop of the token manager is not running")
        try:
            return waiting.result(self._timeout)
        except concurrent.futures.CancelledError:
            reason = "the event loop ended before there was a token"
        except TimeoutError:
            if not waiting.cancel():
                return waiting.result()  # it came at the last moment
            reason = f"no token within {self._timeout:g} s"
        raise TransportError(reason, elapsed=self._timeout)


class BearerCredentials(CredentialProvider):
    """Credentials for ``twilio.rest.Client(credential_provider=…)``: each request carries the manager's token.

    The SDK asks for it synchronously. From a thread of its own (``asyncio.to_thread``) it waits, for a bounded time,
    for the manager in its event loop. In the event loop's thread, where its ``…_async`` methods run, it takes the
    fresh token that the manager has, and is refused with an error where there is none, instead of blocking the loop.
    """

    def __init__(
        self, manager: TokenSource, *, loop: asyncio.AbstractEventLoop | None = None, timeout: float = 30.0
    ) -> None:
        """Nothing is sent here.

        Args:
            manager: where the token comes from.
            loop: the event loop that the manager lives in; None: the running one.
            timeout: seconds that another thread waits for a token.

        Raises:
            ConfigurationError: no event loop is running, and none was given; or `timeout` is not positive.
        """
        super().__init__(AuthType.CLIENT_CREDENTIALS)
        if not timeout > 0:
            raise ConfigurationError("timeout must be a positive number of seconds")
        self._manager = manager
        self._strategy = BearerStrategy(manager, loop=loop or _running_loop(), timeout=timeout)

    def __repr__(self) -> str:
        return f"BearerCredentials({self._manager!r})"

    def to_auth_strategy(self) -> BearerStrategy:
        """Called by the SDK for every request."""
        return self._strategy


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    raise ConfigurationError("make it where the event loop of the manager runs, or name that with loop=")
