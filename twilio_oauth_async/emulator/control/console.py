"""What a test sees and does at the server from the inside, past the network and past all faults."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qsl, urlsplit

from twilio_oauth_async.clock import Clock
from twilio_oauth_async.emulator.endpoints.backend import Backend
from twilio_oauth_async.emulator.endpoints.v1 import ACTIVATE_PATH
from twilio_oauth_async.emulator.faults.fault import Faults
from twilio_oauth_async.emulator.messages.forms import Form
from twilio_oauth_async.emulator.messages.journal import Journal
from twilio_oauth_async.emulator.messages.refusal import RefusalError
from twilio_oauth_async.emulator.pages.authorize import begin_authorization
from twilio_oauth_async.emulator.rules.authorization_codes import RedirectRefusalError, registered_uris
from twilio_oauth_async.emulator.rules.model import App, Policy, User


class Console:
    """The inside of one server. `Emulator` is one; `control` puts it on the network for tests in other languages."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def base_url(self) -> str:
        """Where it listens, without a trailing slash.

        Raises:
            RuntimeError: it does not listen.
        """
        if not self._backend.base_url:
            raise RuntimeError("the emulator is not running; use `async with Emulator() as emulator:`")
        return self._backend.base_url

    @property
    def activation_url(self) -> str:
        """The page where a person enters the code of a device; raises as `base_url` does."""
        return f"{self.base_url}/{ACTIVATE_PATH}"

    @property
    def issuer(self) -> str:
        """The ``iss`` of its tokens."""
        return self._backend.issuer

    @property
    def account_sid(self) -> str:
        """The account's SID: the user name of the API."""
        return self._backend.account_sid

    @property
    def auth_token(self) -> str:
        """The account's auth token: the password of the API."""
        return self._backend.auth_token

    @property
    def client_sid(self) -> str:
        """The SID of the app that exists from the start."""
        return self._backend.default_app.sid

    @property
    def client_secret(self) -> str | None:
        """Its secret; None for a public app."""
        return self._backend.default_app.secret

    @property
    def user(self) -> User:
        """The person who approves unless somebody else is named, and the owner of the account."""
        return self._backend.default_user

    @property
    def users(self) -> tuple[User, ...]:
        """Everybody who can approve, in the order of their registration."""
        return tuple(self._backend.state.users.values())

    @property
    def clock(self) -> Clock:
        """The clock that was given, or the machine's."""
        return self._backend.clock

    @property
    def policy(self) -> Policy:
        """Lifetimes and rules; may be changed while the emulator runs."""
        return self._backend.state.policy

    @property
    def requests(self) -> Journal:
        """Every request so far, oldest first."""
        return self._backend.journal

    @property
    def faults(self) -> Faults:
        """What is to go wrong: ``emulator.faults.on("token").answer(503)``."""
        return self._backend.faults

    @property
    def pending_device_codes(self) -> int:
        """How many device codes nobody has decided upon in their time yet. Looks at all that are remembered."""
        return self._backend.state.devices.count_pending(self._backend.now())

    @property
    def remembered_device_codes(self) -> int:
        """How many device codes are in memory: also those that were decided upon, and expired ones not swept yet."""
        return len(self._backend.state.devices)

    def add_user(self, first_name: str, last_name: str, email: str) -> User:
        """Register somebody who can approve; the pages ask who it is once there is more than one."""
        user = User(sid=self._backend.state.ids.sid("US"), first_name=first_name, last_name=last_name, email=email)
        self._backend.state.users[user.sid] = user
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
        """Register another app; its `sid` and `secret` are made up.

        Args:
            name: what the pages call it.
            public: it gets no secret.
            scopes: what it may ask for; None: anything.
            audiences: whom its tokens may be meant for; None: anybody.
            redirect_uris: where a browser may be sent back to; None: anywhere on a loopback address.

        Raises:
            ValueError: one of `redirect_uris` is none.
        """
        ids = self._backend.state.ids
        app = App(
            sid=ids.app_sid(),
            name=name,
            secret=None if public else ids.text(40),
            scopes=None if scopes is None else frozenset(scopes),
            audiences=None if audiences is None else frozenset(audiences),
            redirect_uris=registered_uris(redirect_uris),
        )
        self._backend.state.apps[app.sid] = app
        return app

    def add_api_key(self) -> tuple[str, str]:
        """Make an API key, good wherever the account's own credentials are; returns its SID and its secret."""
        ids = self._backend.state.ids
        sid, secret = ids.sid("SK"), ids.text(32)
        self._backend.accounts.add(sid, secret)
        return sid, secret

    async def approve(self, user_code: str, user: User | None = None, *, scopes: Iterable[str] | None = None) -> None:
        """Do what a person does who approves on the page; with `scopes`, only those.

        Raises:
            LookupError: nobody was given this code.
            ValueError: it has expired, was already approved or denied, or `scopes` were not all asked for.
        """
        allowed = None if scopes is None else tuple(scopes)
        self._backend.state.devices.approve(user_code, user or self.user, self._backend.now(), allowed)

    async def deny(self, user_code: str) -> None:
        """Do what a person does who refuses; raises as `approve` does."""
        self._backend.state.devices.deny(user_code, self._backend.now())

    async def expire(self, user_code: str) -> None:
        """End the lifetime of a device code now.

        Raises:
            LookupError: nobody was given this code.
        """
        self._backend.state.devices.expire(user_code, self._backend.now())

    async def revoke(self, token: str) -> None:
        """End the grant that an access or refresh token belongs to, as a person does in their account's settings.

        Raises:
            LookupError: there is no such token.
        """
        grant = self._backend.state.grants.grant_of(token)
        if grant is None:
            raise LookupError("no grant has this token")
        grant.revoked = True

    async def authorize(
        self, url: str, user: User | None = None, *, approve: bool = True, scopes: Iterable[str] | None = None
    ) -> str:
        """Do what a person does whose browser was sent to the authorization URL `url`.

        Returns the URL that the browser is sent back to: with a code, with ``access_denied`` where not `approve`, or
        with what is wrong about the request.

        Raises:
            ValueError: the request is such that a browser would not be sent anywhere, or `scopes` were not all asked
                for.
        """
        codes = self._backend.state.codes
        try:
            pending = begin_authorization(self._backend, Form(parse_qsl(urlsplit(url).query, keep_blank_values=True)))
        except RedirectRefusalError as refusal:
            return refusal.location
        except RefusalError as refusal:
            raise ValueError(refusal.description) from None
        if not approve:
            return codes.deny(pending)
        allowed = None if scopes is None else tuple(scopes)
        return codes.approve(pending, user or self.user, self._backend.now(), allowed)

    def rotate_keys(self, keep: int = 1) -> None:
        """Sign with new keys; the `keep` newest old ones (of each algorithm) stay published.

        Raises:
            ValueError: `keep` is negative.
        """
        self._backend.keys.rotate(keep)

    def clear(self) -> None:
        """Forget what happened, as between two tests.

        Gone are the journal, the faults, all codes, grants and tokens, and the count of wrong guesses. What was
        registered (users, apps, API keys), the signing keys, the policy and the clock stay as they are.
        """
        self._backend.state.forget()
        self._backend.journal.clear()
        self._backend.faults.clear()
        self._backend.guesses.clear()
