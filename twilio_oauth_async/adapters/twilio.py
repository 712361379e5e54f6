"""Credential provider for Twilio's SDK, the package ``twilio`` (9.13 or later).

::

    async with TokenManager(grant) as manager:               # refreshes the token in the background
        await manager.token()                                # fetches the first one
        client = Client(account_sid=sid, credential_provider=BearerCredentials(manager))
        message = await asyncio.to_thread(client.messages.create, to=…, from_=…, body=…)

The SDK calls a credential provider synchronously and passes neither the URL nor the response. A provider therefore
cannot wait for a token in the thread of the event loop, cannot withhold the token from other hosts than Twilio's, and
cannot refresh the token after a 401. For the SDK's asynchronous methods, use `aiohttp.BearerAuth` in the SDK's HTTP
client instead of this module. That class waits for a token, checks the origin and refreshes the token after a 401. Give
the client no credentials, not even from the environment::

    http = AsyncTwilioHttpClient(pool_connections=False)
    http.session = aiohttp.ClientSession(middlewares=(BearerAuth(manager),))
    client = Client(account_sid=sid, http_client=http, environment={"none": ""})

The SDK's default HTTP client is requests, which prefers the password of a ``~/.netrc`` entry for the host to the token.
Where there is such an entry, tell it not to::

    http = TwilioHttpClient()
    http.session.trust_env = False                           # also ignores the proxies of the environment
    client = Client(account_sid=sid, credential_provider=BearerCredentials(manager), http_client=http)

Any number of threads may wait for a token at the same time, also all threads of the event loop's default executor,
which ``asyncio.to_thread`` uses: the package has threads of its own for its stores and for name resolution. This does
not hold for what the application provides. If that uses the default executor while all its threads wait, there is no
token, and each wait ends with its `timeout`:

- The ``http`` of `OAuthSession`: a lent ``aiohttp.ClientSession`` resolves host names in the default executor. Install
  ``aiodns``, or create the session with ``aiohttp.TCPConnector(resolver=aiohttp.AsyncResolver())``, which needs it.
- A store, a callback or a grant of your own that uses ``asyncio.to_thread`` or ``loop.run_in_executor(None, ...)``. In
  a store, use ``stores.cancellation.finish_in_thread``.

Or call the SDK in an executor of its own, not in the default one::

    threads = concurrent.futures.ThreadPoolExecutor(32)
    call = functools.partial(client.messages.create, to=…, from_=…, body=…)
    message = await asyncio.get_running_loop().run_in_executor(threads, call)
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib

from twilio_oauth_async.adapters.bearer_policy import TokenSource, authorization
from twilio_oauth_async.errors import ConfigurationError, TransportError
from twilio_oauth_async.extras import from_requirement
from twilio_oauth_async.protocol.argument_checks import check_methods, check_seconds

with from_requirement("twilio>=9.13", "twilio"):
    # The SDK has type hints in places, and no py.typed.
    from twilio.auth_strategy.auth_strategy import AuthStrategy  # pyright: ignore[reportMissingTypeStubs]
    from twilio.auth_strategy.auth_type import AuthType  # pyright: ignore[reportMissingTypeStubs]
    from twilio.credential.credential_provider import CredentialProvider  # pyright: ignore[reportMissingTypeStubs]


class BearerStrategy(AuthStrategy):
    """Returns the ``Authorization`` header for a request of the SDK; see `BearerCredentials`."""

    def __init__(self, manager: TokenSource, *, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        super().__init__(AuthType.CLIENT_CREDENTIALS)
        self._manager = manager
        self._loop = loop
        self._timeout = timeout

    def requires_authentication(self) -> bool:
        """Return True: every request needs the header."""
        return True

    def get_auth_string(self) -> str:
        """Return the value of the header, with a token that is valid now.

        In the thread of the event loop, only a token that is ready is used. Other threads wait for one.

        Raises:
            ConfigurationError: no token is ready, in the thread of the event loop; or the event loop is not running.
            TransportError: no token within `timeout` seconds, or the event loop stopped meanwhile.
            TwilioOAuthError: as `TokenManager.access_token`.
        """
        try:
            in_loop = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            in_loop = False
        return authorization(self._ready_token() if in_loop else self._wait_for_token())

    def _ready_token(self) -> str:
        # With a fresh token, the coroutine of the manager finishes without waiting, at its first step.
        coroutine = self._manager.access_token()
        try:
            coroutine.send(None)
        except StopIteration as finished:
            return str(finished.value)
        # There is no fresh token, and the coroutine waits for a task of the manager that obtains one. The task
        # continues after the coroutine is closed, so a later call finds a token.
        coroutine.close()
        raise ConfigurationError(
            "no token is ready, and waiting for one would block the event loop: await manager.token() first,"
            " use the manager as an async context manager to refresh the token in the background,"
            " or call the SDK from another thread (asyncio.to_thread)"
        )

    def _wait_for_token(self) -> str:
        coroutine = self._manager.access_token()
        waiting: concurrent.futures.Future[str] | None = None
        if self._loop.is_running():
            with contextlib.suppress(RuntimeError):  # the loop may be closed after is_running() returned
                waiting = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        if waiting is None:
            coroutine.close()
            raise ConfigurationError("the event loop of the token manager is not running")
        try:
            return waiting.result(self._timeout)
        except concurrent.futures.CancelledError:
            reason = "no token: the event loop stopped before there was one"
        except TimeoutError:
            if not waiting.cancel():
                return waiting.result()  # it finished after the timeout, before it was cancelled
            reason = f"no token within {self._timeout:g} s"
        raise TransportError(reason, elapsed=self._timeout)


class BearerCredentials(CredentialProvider):
    """Credentials for ``twilio.rest.Client(credential_provider=…)``: sends requests with the manager's access token.

    The SDK asks for the token synchronously. In another thread than the event loop's (``asyncio.to_thread``), it waits
    for the manager for up to `timeout` seconds. In the thread of the event loop, where the SDK's ``…_async`` methods
    run, it uses the fresh token of the manager. If there is none, it raises an error instead of blocking the loop.
    """

    def __init__(
        self, manager: TokenSource, *, loop: asyncio.AbstractEventLoop | None = None, timeout: float = 30.0
    ) -> None:
        """Create the credentials; nothing is sent.

        Args:
            manager: returns the access token.
            loop: the event loop of the manager; None for the running one.
            timeout: seconds that another thread waits for a token.

        Raises:
            ConfigurationError: no event loop is running, and `loop` is None; or `timeout` is not positive.
        """
        super().__init__(AuthType.CLIENT_CREDENTIALS)
        check_methods("manager", manager, ("access_token",), "a TokenManager")
        check_seconds("timeout", timeout)
        if loop is not None:
            check_methods("loop", loop, ("is_running",), "the event loop of the manager")
        self._manager = manager
        self._strategy = BearerStrategy(manager, loop=loop or _running_loop(), timeout=timeout)

    def __repr__(self) -> str:
        return f"BearerCredentials({self._manager!r})"

    def to_auth_strategy(self) -> BearerStrategy:
        """Return the strategy; called by the SDK for every request."""
        return self._strategy


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        pass
    raise ConfigurationError(
        "no event loop is running: create BearerCredentials in the event loop of the manager, or pass loop="
    )
