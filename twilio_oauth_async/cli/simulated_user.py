"""A simulated user, who approves or denies a sign-in on its web pages; for a demo without a user.

It does not depend on particular pages. Like a browser without scripts, it opens the link, keeps cookies, enters the
code in the field for it, and presses the button whose label means the decision.
"""

from __future__ import annotations

import re
from enum import Enum

import aiohttp
from yarl import URL

from twilio_oauth_async.cli.html_parser import Button, PageReader, WebForm
from twilio_oauth_async.protocol.sanitization import clean

_APPROVE = frozenset({"accept", "agree", "allow", "approve", "authorise", "authorize", "grant", "yes"})
_DENY = frozenset({"cancel", "decline", "deny", "disallow", "don", "no", "not", "refuse", "reject"})
"""These words take precedence over `_APPROVE`: "don't allow" is split into "don", "t" and "allow"."""
_MAX_PAGES = 8
"""More than any sign-in needs; stops a loop of pages that lead to each other."""
_TIMEOUT = aiohttp.ClientTimeout(total=10.0)
_MAX_TEXT_LENGTH = 200


class Decision(Enum):
    """The decision of the simulated user."""

    APPROVE = "approve"
    DENY = "deny"


class SimulatedUserError(Exception):
    """The sign-in cannot be completed on its pages; the message names the page and the reason."""


class SimulatedUser:
    """Opens and submits the pages of one sign-in."""

    def __init__(self, link: str, user_code: str) -> None:
        """`link` is the first page; `user_code` is the code that the device shows."""
        self._link = URL(link)
        self._user_code = user_code

    async def decide(self, decision: Decision) -> None:
        """Open the link and submit forms with `decision` until a page has no form.

        Raises:
            SimulatedUserError: a page cannot be loaded, reports an error, shows another code, or has no form or button
                for the decision.
        """
        # Keeps cookies of hosts that are IP addresses too, as a browser does.
        jar = aiohttp.CookieJar(unsafe=True)
        try:
            async with aiohttp.ClientSession(cookie_jar=jar, timeout=_TIMEOUT) as http:
                await self._submit_forms(http, decision)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise SimulatedUserError(f"the page at {self._link.origin()} cannot be loaded: {error}") from error

    async def _submit_forms(self, http: aiohttp.ClientSession, decision: Decision) -> None:
        url, page = await _read(await http.get(self._link))
        decided = False
        for _ in range(_MAX_PAGES):
            if not page.forms:
                if decided:
                    return
                raise SimulatedUserError(
                    f"{url.path} has no form on which to {decision.value}; its text: {_text(page)}"
                )
            form = page.forms[0]
            button = _button_for(form, decision)
            names = [name for name in form.typed if "code" in name.lower()]
            if button is not None:
                decided = True
            else:
                button = form.buttons[0] if form.buttons else None
                # A page without a decision is for the code: use its first field, whatever its name is.
                names = names or form.typed[:1]
            self._enter_code(form, names, url)
            url, page = await _read(await _submit(http, url, form, button))
        raise SimulatedUserError(f"{url.path} still has a form after {_MAX_PAGES} pages; its text: {_text(page)}")

    def _enter_code(self, form: WebForm, names: list[str], url: URL) -> None:
        """Enter the code, or compare it with the one that the link has filled in (RFC 8628 3.3.1)."""
        for name in names:
            shown = form.value(name)
            if not shown:
                form.fill(name, self._user_code)
            elif _normalized(shown) != _normalized(self._user_code):
                raise SimulatedUserError(f"{url.path} shows another code than the device")


async def _submit(
    http: aiohttp.ClientSession, url: URL, form: WebForm, button: Button | None
) -> aiohttp.ClientResponse:
    target, fields = url.join(URL(form.action)) if form.action else url, form.submission(button)
    if target.origin() != url.origin():
        raise SimulatedUserError(f"the form on {url.path} is sent to another site")
    if form.method == "post":
        # A browser uses this encoding even for a form without fields.
        return await http.post(target, data=aiohttp.FormData(fields))
    return await http.get(target.with_query(fields))


async def _read(response: aiohttp.ClientResponse) -> tuple[URL, PageReader]:
    async with response:
        page = PageReader(await response.text(errors="replace"))
        if not response.ok:
            raise SimulatedUserError(f"{response.url.path} returned status {response.status}: {_text(page)}")
        return response.url, page


def _button_for(form: WebForm, decision: Decision) -> Button | None:
    for button in form.buttons:
        words = set(re.findall(r"[a-z]+", f"{button.label} {button.value}".lower()))
        meaning = Decision.DENY if words & _DENY else Decision.APPROVE if words & _APPROVE else None
        if meaning is decision:
            return button
    return None


def _normalized(code: str) -> str:
    return "".join(char for char in code.upper() if char.isalnum())


def _text(page: PageReader) -> str:
    return clean(page.text, (), max_length=_MAX_TEXT_LENGTH) or "(empty)"
