"""`InProcessControl`: what a test in the emulator's process can do, without the network and faults."""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs

from twilio_oauth_async.emulator.control.properties import ServerProperties
from twilio_oauth_async.emulator.control.seed import apply_seed, read_seed
from twilio_oauth_async.emulator.endpoints.introspection import introspect
from twilio_oauth_async.emulator.faults.fault import Fault
from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.messages.forms import Form
from twilio_oauth_async.emulator.pages.authorize import begin_authorization
from twilio_oauth_async.emulator.rules.authorization_codes import RedirectErrorResponse
from twilio_oauth_async.emulator.rules.model import App, Policy, User
from twilio_oauth_async.emulator.rules.redirect_uris import validate_redirect_uris


class InProcessControl(ServerProperties):
    """Control of one server. `Emulator` inherits it; `control.http_routes` offers it to tests in other languages."""

    def add_user(self, first_name: str, last_name: str, email: str, *, sid: str | None = None) -> User:
        """Add a user who can approve. If there is more than one, the pages have a menu to select the user.

        Args:
            first_name: shown on the pages, and returned as user information.
            last_name: as `first_name`.
            email: as `first_name`.
            sid: the ``sub`` of the user's tokens; None: generated.

        Raises:
            ValueError: `sid` is empty or that of another user.
        """
        users = self._backend.server.users
        user = User(
            sid=_free_sid(sid, users, "user", lambda: self._backend.server.ids.sid("US")),
            first_name=first_name,
            last_name=last_name,
            email=email,
        )
        users[user.sid] = user
        return user

    def add_app(
        self,
        name: str,
        *,
        sid: str | None = None,
        secret: str | None = None,
        public: bool = False,
        scopes: Iterable[str] | None = None,
        audiences: Iterable[str] | None = None,
        redirect_uris: Iterable[str] | None = None,
    ) -> App:
        """Add an app.

        Args:
            name: name of the app, shown on the pages.
            sid: SID of the app; None: generated.
            secret: client secret; None: generated.
            public: the app is a public client and has no secret.
            scopes: scopes that the app may request; None: any.
            audiences: audiences that the app may request; None: any.
            redirect_uris: redirect URIs of the app; None: any on a loopback address.

        Raises:
            ValueError: one of `redirect_uris` is not an absolute URI, `sid` is that of another app, `sid` or
                `secret` is empty, or `public` and `secret` are both given.
        """
        ids, apps = self._backend.server.ids, self._backend.server.apps
        if public and secret is not None:
            raise ValueError("a public app has no secret")
        if secret is not None and not secret:
            raise ValueError("secret must not be empty")
        app = App(
            sid=_free_sid(sid, apps, "app", ids.app_sid),
            name=name,
            secret=secret or (None if public else ids.text(40)),
            scopes=None if scopes is None else frozenset(scopes),
            audiences=None if audiences is None else frozenset(audiences),
            redirect_uris=validate_redirect_uris(redirect_uris),
        )
        apps[app.sid] = app
        return app

    def load_seed(self, seed: str | os.PathLike[str] | Mapping[str, Any]) -> None:
        """Add apps, users, texts of scopes, settings and faults: see `control.seed`.

        The first app and the first user of the seed replace `client_sid` and `user`.

        Args:
            seed: path of a file in TOML or JSON, or its content.

        Raises:
            OSError: the file cannot be read.
            ValueError: it is not valid; the message names the part.
        """
        app, user = apply_seed(self, seed if isinstance(seed, Mapping) else read_seed(Path(seed)))
        backend = self._backend
        if app is not None:
            backend.server.apps.pop(backend.default_app.sid, None)
            backend.default_app = app
        if user is not None:
            backend.server.users.pop(backend.default_user.sid, None)
            backend.default_user = user

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

    async def revoke_user(self, user: User | None = None) -> int:
        """Revoke everything that `user` has granted, to all apps; None: the default user.

        Returns:
            The number of grants that were revoked.
        """
        return self._backend.server.tokens.revoke_user(user or self.user)

    async def expire_access_tokens(self) -> int:
        """Make all access tokens expire now; refresh tokens stay valid.

        The dates in the tokens are not changed: a resource server that checks only the JWT does not notice.

        Returns:
            The number of tokens that were valid.
        """
        return self._backend.server.tokens.expire_access_tokens(self._backend.now())

    def fail_refreshes(self, count: int = 1, *, error: str = "invalid_grant") -> Fault:
        """Refuse the next `count` refreshes with the error code `error`.

        Returns:
            The fault, as ``faults.on("refresh").times(count).error(error)`` returns it.
        """
        return self.faults.on("refresh").times(count).error(error)

    def introspect(self, token: str) -> dict[str, Any]:
        """Return what the server knows about an access or refresh token, as members of RFC 7662 2.2."""
        return introspect(self._backend, token)

    def set_policy(self, **settings: Any) -> Policy:
        """Change settings of `policy`, all or none of them.

        Raises:
            ValueError: there is no such setting, or a value is invalid.
        """
        policy = self._backend.server.policy
        names = [field.name for field in attrs.fields(Policy)]
        unknown = settings.keys() - set(names)
        if unknown:
            raise ValueError(f"the policy has no {', '.join(sorted(unknown))}; it has {', '.join(names)}")
        attrs.evolve(policy, **settings)  # checks all values before one is changed
        for name, value in settings.items():
            setattr(policy, name, value)
        return policy

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


def _free_sid(sid: str | None, taken: Container[str], what: str, generate: Callable[[], str]) -> str:
    if sid is None:
        return generate()
    if not sid or sid in taken:
        raise ValueError(f"sid must not be empty or that of another {what}")
    return sid
