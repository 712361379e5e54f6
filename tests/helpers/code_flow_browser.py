"""The browser of a user, without a screen, for `AuthorizationCodeFlow.run`."""

import aiohttp


class Browser:
    """The browser of a user who approves or denies: opens the URL and follows the redirect.

    `before` is called with the HTTP client and the callback URL before the callback is opened.
    """

    def __init__(self, *, approve=True, before=None):
        self.approve, self.before = approve, before
        self.emulator = None
        self.page = None

    async def __call__(self, url):
        callback = await self.emulator.authorize(url, approve=self.approve)
        async with aiohttp.ClientSession() as http:
            if self.before is not None:
                await self.before(http, callback)
            async with http.get(callback) as response:
                self.page = (response.status, dict(response.headers), await response.text())
