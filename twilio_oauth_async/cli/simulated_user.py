"""Somebody who approves or denies a sign-in on its web page, for machines without a person.

It knows no page in particular: it opens the link as a browser without scripts does, keeps cookies, types the code
where one can be typed, and presses the button whose words mean what it was told to decide.
"""

from __future__ import annotations

import re
from enum import Enum

import aiohttp
from yarl import URL

from twilio_oauth_async.cli.web_form import Button, PageReader, WebForm
from twilio_oauth_async.protocol.redaction import clean

_APPROVE = frozenset({"accept", "agree", "allow", "approve", "authorise", "authorize", "grant", "yes"})
_DENY = frozenset({"cancel", "decline", "deny", "disallow", "don", "no", "not", "refuse", "reject"})
"""They win over `_APPROVE`, as in "don't allow"; "don" is what is left of that word once it is taken apart."""
_MOST_PAGES = 8
"""More than any sign-in needs; a page that leads back to itself must not keep the person forever."""
_TIMEOUT = aiohttp.ClientTimeout(total=10.0)
_SHOWN_OF_A_PAGE = 200


class Decision(Enum):
    """What the person was told to decide."""

    APPROVE = "approve"
    DENY = "deny"


class ScriptedPersonError(Exception):
    """The pages cannot be gone through; the message says where it ended."""


class ScriptedPerson:
    """Goes through the pages of one sign-in."""

    def __init__(self, link: str, user_code: str) -> None:
        """`link` is where to go first; `user_code` is what the device shows."""
        self._link = URL(link)
        self._user_code = user_code

    async def decide(self, decision: Decision) -> None:
        """Open the link and go on from page to page until one has nothing left to press.

        Raises:
            ScriptedPersonError: a page cannot be reached, complains, shows another code, or asks for something else.
        """
        # Cookies are kept for bare addresses too, as a browser does.
        jar = aiohttp.CookieJar(unsafe=True)
        try:
            async with aiohttp.ClientSession(cookie_jar=jar, timeout=_TIMEOUT) as http:
                await self._go_through(http, decision)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ScriptedPersonError(f"the page at {self._link.origin()} cannot be reached: {error}") from error

    async def _go_through(self, http: aiohttp.ClientSession, decision: Decision) -> None:
        url, page = await _read(await http.get(self._link))
        decided = False
        for _ in range(_MOST_PAGES):
            if not page.forms:
                if decided:
                    return
                raise ScriptedPersonError(f"{url.path} has no form to {decision.value} with; it says: {_said(page)}")
            form = page.forms[0]
            button = _button_for(form, decision)
            names = [name for name in form.typed if "code" in name.lower()]
            if button is not None:
                decided = True
            else:
                button = form.buttons[0] if form.buttons else None
                # Where nothing is to be decided yet, a lone field takes the code whatever its name is.
                names = names or form.typed[:1]
            self._enter_code(form, names, url)
            url, page = await _read(await _submit(http, url, form, button))
        raise ScriptedPersonError(f"{url.path} comes back again and again; it says: {_said(page)}")

    def _enter_code(self, form: WebForm, names: list[str], url: URL) -> None:
        """Type the code, or compare the one that the link has filled in (RFC 8628 3.3.1)."""
        for name in names:
            shown = form.value(name)
            if not shown:
                form.fill(name, self._user_code)
            elif _plain(shown) != _plain(self._user_code):
                raise ScriptedPersonError(f"{url.path} shows another code than the device")


async def _submit(
    http: aiohttp.ClientSession, url: URL, form: WebForm, button: Button | None
) -> aiohttp.ClientResponse:
    target, fields = url.join(URL(form.action)) if form.action else url, form.submission(button)
    if target.origin() != url.origin():
        raise ScriptedPersonError(f"the form on {url.path} leads to another site")
    if form.method == "post":
        # A browser sends the form in this encoding even where it has no field.
        return await http.post(target, data=aiohttp.FormData(fields))
    return await http.get(target.with_query(fields))


async def _read(response: aiohttp.ClientResponse) -> tuple[URL, PageReader]:
    async with response:
        page = PageReader(await response.text(errors="replace"))
        if not response.ok:
            raise ScriptedPersonError(f"{response.url.path} answers {response.status}: {_said(page)}")
        return response.url, page


def _button_for(form: WebForm, decision: Decision) -> Button | None:
    for button in form.buttons:
        words = set(re.findall(r"[a-z]+", f"{button.label} {button.value}".lower()))
        meant = Decision.DENY if words & _DENY else Decision.APPROVE if words & _APPROVE else None
        if meant is decision:
            return button
    return None


def _plain(code: str) -> str:
    return "".join(char for char in code.upper() if char.isalnum())


def _said(page: PageReader) -> str:
    return clean(page.text, (), max_length=_SHOWN_OF_A_PAGE) or "nothing"
