"""The authorization server as a pure state machine: requests' meanings in, decisions out; no I/O and no clock."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable

from attrs import frozen

from twilio_oauth_async.emulator.device_codes import DeviceCodes
from twilio_oauth_async.emulator.grants import Grants
from twilio_oauth_async.emulator.ids import Ids
from twilio_oauth_async.emulator.model import App, Decision, DeviceCode, Grant, Now, Policy, User
from twilio_oauth_async.emulator.refusal import RefusalError

_SCOPE_TOKEN = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+", re.ASCII)
"""RFC 6749 3.3: one scope-token; a list of several is not one."""


@frozen(kw_only=True)
class Issue:
    """What a token request earned: sign an access token for `grant` with `scopes`, perhaps an id token."""

    grant: Grant
    scopes: tuple[str, ...]
    refreshed: bool
    """Whether it came from a refresh token: its id token then carries no nonce (OpenID Connect Core 12.2)."""


class State:
    """Apps, users, device codes and grants of one server."""

    def __init__(self, policy: Policy, ids: Ids) -> None:
        self.policy = policy
        self.ids = ids
        self.apps: dict[str, App] = {}
        self.users: dict[str, User] = {}
        self.devices = DeviceCodes(policy, ids)
        self.grants = Grants(policy, ids)

    def identify(self, sid: str) -> App:
        """Return the app `sid`, not yet authenticated.

        Raises:
            RefusalError: ``invalid_client``.
        """
        app = self.apps.get(sid)
        if app is None:
            raise RefusalError("invalid_client", "There is no such client.", status=401)
        return app

    def authenticate(self, sid: str, secret: str | None, *, required: bool = True) -> tuple[App, bool]:
        """Return the app `sid`, and whether it proved itself with its secret (RFC 6749 2.3.1).

        With `required` a confidential app must. A secret that is sent is checked in any case.

        Raises:
            RefusalError: ``invalid_client``.
        """
        app = self.identify(sid)
        if app.secret is None:
            # A public client has no secret to send; one that sends one is misconfigured and should hear of it.
            if secret is not None:
                raise RefusalError("invalid_client", "A public client has no secret.", status=401)
            return app, False
        if secret is None:
            if required:
                raise RefusalError("invalid_client", "A confidential client must send its secret.", status=401)
            return app, False
        if not same_secret(secret, app.secret):
            raise RefusalError("invalid_client", "The client secret is wrong.", status=401)
        return app, True

    def start_device(self, app: App, scopes: Iterable[str], audiences: Iterable[str], now: Now) -> DeviceCode:
        """Issue a device code (RFC 8628 3.2).

        Raises:
            RefusalError: ``invalid_scope`` or ``invalid_target``.
        """
        return self.devices.issue(app, check_scopes(app, scopes), check_audiences(app, audiences), now)

    def exchange_device(
        self, app: App, device_code: str, now: Now, *, authenticated: bool, device_id: str | None = None
    ) -> Issue:
        """Answer a poll of the device grant (RFC 8628 3.4); the code can be used once.

        Raises:
            RefusalError: pending, too fast, refused, expired, unknown or used.
        """
        requested = self.devices.redeem(device_code, app, now)
        grant = self.grants.open(
            app,
            requested.user,
            requested.scopes,
            requested_scopes=requested.requested_scopes,
            audiences=requested.audiences,
            auth_time=requested.decided_at or now.wall,
            device_id=device_id,
            authenticated=authenticated,
        )
        requested.decision = Decision.EXCHANGED
        requested.grant = grant
        return Issue(grant=grant, scopes=grant.scopes, refreshed=False)

    def refresh(
        self, app: App, refresh_token: str, now: Now, *, authenticated: bool, device_id: str | None = None
    ) -> Issue:
        """Use a refresh token (RFC 6749 6).

        Raises:
            RefusalError: ``invalid_grant``, or ``invalid_client`` where the grant was begun with the client's secret
                and this request lacks it.
        """
        if not authenticated and self.grants.demands_secret(refresh_token):
            # RFC 6749 6: the token is bound to the client it was issued to, so that client has to prove itself.
            raise RefusalError("invalid_client", "This grant was begun with the client's secret.", status=401)
        issued = self.grants.redeem_refresh(refresh_token, app, now, device_id=device_id)
        return Issue(grant=issued.grant, scopes=issued.scopes, refreshed=True)


def same_secret(given: str, expected: str) -> bool:
    """Whether the two are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode("utf-8", "surrogatepass"))


def check_scopes(app: App, scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes without repetitions, in the order they were asked for.

    Raises:
        RefusalError: ``invalid_scope``: malformed, or more than `app` may ask for.
    """
    wanted = tuple(dict.fromkeys(scopes))
    if not all(_SCOPE_TOKEN.fullmatch(scope) for scope in wanted):
        raise RefusalError("invalid_scope", "A scope is empty or holds a character that scopes must not have.")
    if app.scopes is not None and not app.scopes.issuperset(wanted):
        raise RefusalError("invalid_scope", "The client may not ask for one of these scopes.")
    return wanted


def check_audiences(app: App, audiences: Iterable[str]) -> tuple[str, ...]:
    """Return the audiences without repetitions.

    Raises:
        RefusalError: ``invalid_target`` (RFC 8707 2): malformed, or one that `app` may not ask for.
    """
    wanted = tuple(dict.fromkeys(audiences))
    if not all(audience.isprintable() and " " not in audience for audience in wanted):
        raise RefusalError("invalid_target", "An audience holds a character that audiences must not have.")
    if app.audiences is not None and not app.audiences.issuperset(wanted):
        raise RefusalError("invalid_target", "The client may not ask for one of these audiences.")
    return wanted
