"""`InProcessControl`: what a test in the emulator's process can do, without the network and faults."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl, urlsplit

from twilio_oauth_async.emulator.control.properties import ServerProperties
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.messages.forms import Form
from twilio_oauth_async.emulator.pages.authorize import begin_authorization
from twilio_oauth_async.emulator.rules.authorization_codes import RedirectErrorResponse
from twilio_oauth_async.emulator.rules.model import App, User
from twilio_oauth_async.emulator.rules.redirect_uris import validate_redirect_uris


class InProcessControl(ServerProperties):
    """Control of one server. `Emulator` inherits it; `control.http_routes` offers it to tests in other languages."""

    def add_user(self, first_name: str, last_name: str, email: str) -> User:
        """Add a user who can approve. If there is more than one, the pages have a menu to select the user."""
        user = User(sid=self._backend.server.ids.sid("US"), first_name=first_name, last_name=last_name, email=email)
        self._backend.server.users[user.sid] = user
        return user

    def add_app(
        self,
        name: str,
        *,
        public: bool = False,
        scopes: Iterable[str] | None = None,
        audiences: Iterable[str] | None = None,
        redirect_uris: Iterable[str] | None = None,
    ) -> App:
        """Add an app with a generated `sid` and `secret`.

        Args:
            name: name of the app, shown on the pages.
            public: the app is a public client and has no secret.
            scopes: scopes that the app may request; None: any.
            audiences: audiences that the app may request; None: any.
            redirect_uris: redirect URIs of the app; None: any on a loopback address.

        Raises:
            ValueError: one of `redirect_uris` is not an absolute URI.
        """
        ids = self._backend.server.ids
        app = App(
            sid=ids.app_sid(),
            name=name,
            secret=None if public else ids.text(40),
            scopes=None if scopes is None else frozenset(scopes),
            audiences=None if audiences is None else frozenset(audiences),
            redirect_uris=validate_redirect_uris(redirect_uris),
        )
        self._backend.server.apps[app.sid] = app
        return app

    def add_api_key(self) -> tuple[str, str]:
        """Add an API key and return its SID and secret. They are accepted like the account's own credentials."""
        ids = self._backend.server.ids
        sid, secret = ids.sid("SK"), ids.text(32)
        self._backend.accounts.add(sid, secret)
        return sid, secret

    async def approve(self, user_code: str, user: User | None = None, *, scopes: Iterable[str] | None = None) -> None:
        """Approve a device code as a user does on the page; with `scopes`, grant only those.

        Raises:
            LookupError: the user code is unknown.
            ValueError: the user code has expired or was already approved or denied, or `scopes` contains a scope that
                was not requested.
        """
        granted = None if scopes is None else tuple(scopes)
        self._backend.server.devices.approve(user_code, user or self.user, self._backend.now(), granted)

    async def deny(self, user_code: str) -> None:
        """Deny a device code as a user does on the page.

        Raises:
            LookupError: the user code is unknown.
            ValueError: the user code has expired or was already approved or denied.
        """
        self._backend.server.devices.deny(user_code, self._backend.now())

    async def expire(self, user_code: str) -> None:
        """Make a device code expire now.

        Raises:
            LookupError: the user code is unknown.
        """
        self._backend.server.devices.expire(user_code, self._backend.now())

    async def revoke(self, token: str) -> None:
        """Revoke the grant of an access or refresh token, as a user does in the settings of an account.

        Raises:
            LookupError: the token is unknown.
        """
        grant = self._backend.server.tokens.grant_of(token)
        if grant is None:
            raise LookupError("no grant has this token")
        grant.revoked = True

    async def authorize(
        self, url: str, user: User | None = None, *, approve: bool = True, scopes: Iterable[str] | None = None
    ) -> str:
        """Approve or deny the authorization request `url` as a user does in a browser.

        Returns the URL to which the browser is redirected: with a code, with ``access_denied`` if `approve` is False,
        or with another error if the request is not valid.

        Raises:
            ValueError: the request is not valid and the browser would not be redirected, or `scopes` contains a scope
                that was not requested.
        """
        codes = self._backend.server.codes
        try:
            pending = begin_authorization(self._backend, Form(parse_qsl(urlsplit(url).query, keep_blank_values=True)))
        except RedirectErrorResponse as error:
            return error.location
        except ErrorResponse as error:
            raise ValueError(error.description) from None
        if not approve:
            return codes.deny(pending)
        granted = None if scopes is None else tuple(scopes)
        return codes.approve(pending, user or self.user, self._backend.now(), granted)

    def rotate_keys(self, keep: int = 1) -> None:
        """Sign with new keys from now on. Of the old keys, the `keep` newest of each algorithm stay published.

        Raises:
            ValueError: `keep` is negative.
        """
        self._backend.keys.rotate(keep)

    def clear(self) -> None:
        """Delete the recorded requests and all state of sign-ins, for example between two tests.

        This deletes the journal, the faults, all codes, grants and tokens, and the counts of wrong user codes. Users,
        apps, API keys, signing keys, the policy and the clock are not changed.
        """
        self._backend.server.clear()
        self._backend.journal.clear()
        self._backend.faults.clear()
        self._backend.user_code_limit.clear()
