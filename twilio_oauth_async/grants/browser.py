"""Shows an authorization URL to the user: in a browser, or else with a function of the application.

Both are functions of the caller, and may block for as long as the user needs. So plain functions run in threads that do
not keep the program from ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from twilio_oauth_async.errors import AuthorizationError

OpenBrowser: TypeAlias = Callable[[str], Awaitable[Any] | Any]
UrlPrompt: TypeAlias = Callable[[str], Awaitable[str | None] | str | None]


async def show(url: str, open_browser: OpenBrowser | None, prompt: UrlPrompt | None) -> str | None:
    """Open the browser; if that fails, or there is none, call `prompt`.

    Args:
        url: the authorization URL.
        open_browser: returns False if it could not open a browser, as ``webbrowser.open`` does.
        prompt: shows the URL, and may return the URL of the callback.

    Returns:
        The callback URL that `prompt` returned, without spaces around it; None: the browser will send the callback.

    Raises:
        AuthorizationError: no browser could be opened, and there is no prompt; its `url` is the authorization URL.
        Exception: as `prompt` raises.
    """
    failure = "there is no browser"
    if open_browser is not None:
        try:
            if await _call(open_browser, url) is not False:
                return None
            failure = "no browser could be opened"
        except Exception as error:  # noqa: BLE001 - of the caller's own code
            failure = f"the browser could not be opened ({type(error).__name__})"
    if prompt is None:
        raise AuthorizationError(f"{failure}; a prompt can show the URL instead: {url}", url=url)
    callback = await _call(prompt, url)
    return (callback.strip() or None) if isinstance(callback, str) else None


async def _call(function: Callable[[str], Any], url: str) -> Any:
    """Call `function`, in a thread unless it is a coroutine function, and await what it returns."""
    result = function(url) if inspect.iscoroutinefunction(function) else await _call_in_thread(function, url)
    return await result if inspect.isawaitable(result) else result


async def _call_in_thread(function: Callable[[str], Any], url: str) -> Any:
    """As ``asyncio.to_thread``; but neither the end of the event loop nor that of the program waits for the thread."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[tuple[Any, Exception | None]] = loop.create_future()
    context = contextvars.copy_context()

    def call() -> None:
        try:
            result, error = context.run(function, url), None
        except Exception as raised:  # noqa: BLE001 - passed on
            result, error = None, raised
        with contextlib.suppress(RuntimeError):  # the event loop was closed meanwhile
            loop.call_soon_threadsafe(finish, result, error)

    def finish(*outcome: Any) -> None:
        if not future.done():  # else the caller was cancelled
            future.set_result(outcome)

    threading.Thread(target=call, name="twilio-oauth-browser", daemon=True).start()
    result, error = await future
    if error is not None:
        raise error
    return result
