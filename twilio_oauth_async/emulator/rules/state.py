"""The authorization server as a pure state machine: requests' meanings in, decisions out; no I/O and no clock."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from twilio_oauth_async.emulator.messages.refusal import RefusalError
from twilio_oauth_async.emulator.messages.secret import same_secret
from twilio_oauth_async.emulator.rules.authorization_codes import AuthorizationCodes
from twilio_oauth_async.emulator.rules.device_codes import DeviceCodes
from twilio_oauth_async.emulator.rules.grants import Grants
from twilio_oauth_async.emulator.rules.ids import Ids
from twilio_oauth_async.emulator.rules.model import App, Decision, DeviceCode, Grant, Now, Policy, User
from twilio_oauth_async.emulator.rules.scopes import check_audiences, check_scopes


@frozen(kw_only=True)
class Issue:
    """What a token request earned: sign an access token for `grant` with `scopes`, perhaps an id token."""

    grant: Grant
    scopes: tuple[str, ...]
    refreshed: bool
    """Whether it came from a refresh token: its id token then carries no nonce (OpenID Connect Core 12.2)."""


class State:
    """Apps, users, device codes and grants of one server."""

    def __init__(self, policy: Policy, ids: Ids, issuer: str) -> None:
        self.policy = policy
        self.ids = ids
        self.apps: dict[str, App] = {}
        self.users: dict[str, User] = {}
        self._issuer = issuer
        self.forget()

    def forget(self) -> None:
        """Forget all codes, grants and tokens; apps and users stay."""
        self.devices = DeviceCodes(self.policy, self.ids)
        self.codes = AuthorizationCodes(self.policy, self.ids, self._issuer)
        self.grants = Grants(self.policy, self.ids)

    def identify(self, sid: str) -> App:
        """Return the app `sid`, not yet authenticated.

        Raises:
            RefusalError: ``invalid_client``.
        """
        app = self.apps.get(sid)
        if app is None:
            raise RefusalError("invalid_client", "There is no such client.", status=401, twilio_code=322402)
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
                raise RefusalError("invalid_client", "A public client has no secret.", status=401, twilio_code=322402)
            return app, False
        if secret is None:
            if required:
                raise RefusalError(
                    "invalid_client", "A confidential client must send its secret.", status=401, twilio_code=321405
                )
            return app, False
        if not same_secret(secret, app.secret):
            raise RefusalError("invalid_client", "The client secret is wrong.", status=401, twilio_code=322402)
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

    def exchange_code(
        self,
        app: App,
        code: str,
        now: Now,
        *,
        verifier: str | None,
        redirect_uri: str | None = None,
        compare_redirect_uri: bool = False,
        authenticated: bool,
        device_id: str | None = None,
    ) -> Issue:
        """Use an authorization code, once (RFC 6749 4.1.3).

        Raises:
            RefusalError: ``invalid_grant``.
        """
        redeemed = self.codes.redeem(
            code, app, now, verifier=verifier, redirect_uri=redirect_uri, compare_redirect_uri=compare_redirect_uri
        )
        grant = redeemed.grant = self.grants.open(
            app,
            redeemed.user,
            redeemed.scopes,
            requested_scopes=redeemed.request.scopes,
            audiences=redeemed.request.audiences,
            auth_time=redeemed.auth_time,
            device_id=device_id,
            nonce=redeemed.request.nonce,
            authenticated=authenticated,
        )
        return Issue(grant=grant, scopes=grant.scopes, refreshed=False)

    def client_credentials(self, app: App, scopes: Iterable[str], audiences: Iterable[str], now: Now) -> Issue:
        """Give `app` a grant of its own, without a person (RFC 6749 4.4).

        Raises:
            RefusalError: ``unauthorized_client`` for a public client, ``invalid_scope``, ``invalid_target``.
        """
        if app.secret is None:
            raise RefusalError("unauthorized_client", "A public client cannot act for itself.")
        wanted = check_scopes(app, scopes)
        grant = self.grants.open(
            app,
            None,
            wanted,
            requested_scopes=wanted,
            audiences=check_audiences(app, audiences),
            auth_time=now.wall,
            authenticated=True,
        )
        return Issue(grant=grant, scopes=wanted, refreshed=False)

    def refresh(
        self,
        app: App,
        refresh_token: str,
        now: Now,
        *,
        authenticated: bool,
        device_id: str | None = None,
        scopes: Iterable[str] | None = None,
    ) -> Issue:
        """Use a refresh token, perhaps for fewer scopes than it is good for (RFC 6749 6).

        Raises:
            RefusalError: ``invalid_grant``, ``invalid_scope``, or ``invalid_client`` where the grant was begun with
                the client's secret and this request lacks it.
        """
        if not authenticated and self.grants.demands_secret(refresh_token):
            # RFC 6749 6: the token is bound to the client it was issued to, so that client has to prove itself.
            raise RefusalError("invalid_client", "This grant was begun with the client's secret.", status=401)
        wanted = None if scopes is None else check_scopes(app, scopes)
        issued = self.grants.redeem_refresh(refresh_token, app, now, device_id=device_id, scopes=wanted)
        return Issue(grant=issued.grant, scopes=issued.scopes if wanted is None else wanted, refreshed=True)
