"""`AuthorizationServer`: apps, users, codes and tokens, and the rules of each grant type. No I/O and no clock."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.rules.authorization_codes import AuthorizationCodes
from twilio_oauth_async.emulator.rules.device_codes import DeviceCodes
from twilio_oauth_async.emulator.rules.ids import Ids
from twilio_oauth_async.emulator.rules.model import App, Decision, DeviceCode, Grant, Now, Policy, User
from twilio_oauth_async.emulator.rules.scopes import check_audiences, check_scopes
from twilio_oauth_async.emulator.rules.tokens import Tokens


@frozen(kw_only=True)
class Issuance:
    """Result of a successful token request: `grant` and `scopes` of the tokens to issue."""

    grant: Grant
    scopes: tuple[str, ...]
    refreshed: bool
    """Whether the request used a refresh token. The ID token then has no nonce (OpenID Connect Core 12.2)."""


class AuthorizationServer:
    """Apps, users, device codes, authorization codes and tokens of one server."""

    def __init__(self, policy: Policy, ids: Ids, issuer: str) -> None:
        self.policy = policy
        self.ids = ids
        self.apps: dict[str, App] = {}
        self.users: dict[str, User] = {}
        self._issuer = issuer
        self.clear()

    def clear(self) -> None:
        """Delete all codes, grants and tokens, but not the apps and users."""
        self.devices: DeviceCodes = DeviceCodes(self.policy, self.ids)
        self.codes: AuthorizationCodes = AuthorizationCodes(self.policy, self.ids, self._issuer)
        self.tokens: Tokens = Tokens(self.policy, self.ids)

    def start_device(self, app: App, scopes: Iterable[str], audiences: Iterable[str], now: Now) -> DeviceCode:
        """Issue a device code (RFC 8628 3.2).

        Raises:
            ErrorResponse: ``invalid_scope`` or ``invalid_target``.
        """
        return self.devices.issue(app, check_scopes(app, scopes), check_audiences(app, audiences), now)

    def exchange_device(
        self, app: App, device_code: str, now: Now, *, authenticated: bool, device_id: str | None = None
    ) -> Issuance:
        """Process a poll of the device grant (RFC 8628 3.4). A device code can be exchanged once.

        Raises:
            ErrorResponse: the code is pending, polled too fast, denied, expired, unknown or already used.
        """
        redeemed = self.devices.redeem(device_code, app, now)
        grant = self.tokens.new_grant(
            app,
            redeemed.user,
            redeemed.scopes,
            requested_scopes=redeemed.requested_scopes,
            audiences=redeemed.audiences,
            auth_time=redeemed.decided_at or now.wall,
            device_id=device_id,
            authenticated=authenticated,
        )
        redeemed.decision = Decision.EXCHANGED
        redeemed.grant = grant
        return Issuance(grant=grant, scopes=grant.scopes, refreshed=False)

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
    ) -> Issuance:
        """Process an authorization code grant (RFC 6749 4.1.3). A code can be exchanged once.

        Raises:
            ErrorResponse: ``invalid_grant``.
        """
        redeemed = self.codes.redeem(
            code, app, now, verifier=verifier, redirect_uri=redirect_uri, compare_redirect_uri=compare_redirect_uri
        )
        grant = redeemed.grant = self.tokens.new_grant(
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
        return Issuance(grant=grant, scopes=grant.scopes, refreshed=False)

    def client_credentials(self, app: App, scopes: Iterable[str], audiences: Iterable[str], now: Now) -> Issuance:
        """Process a client credentials grant: the tokens belong to `app` itself, not to a user (RFC 6749 4.4).

        Raises:
            ErrorResponse: ``unauthorized_client``: the client is public. ``invalid_scope`` or ``invalid_target``.
        """
        if app.secret is None:
            raise ErrorResponse("unauthorized_client", "A public client cannot use the client credentials grant.")
        checked = check_scopes(app, scopes)
        grant = self.tokens.new_grant(
            app,
            None,
            checked,
            requested_scopes=checked,
            audiences=check_audiences(app, audiences),
            auth_time=now.wall,
            authenticated=True,
        )
        return Issuance(grant=grant, scopes=checked, refreshed=False)

    def refresh(
        self,
        app: App,
        refresh_token: str,
        now: Now,
        *,
        authenticated: bool,
        device_id: str | None = None,
        scopes: Iterable[str] | None = None,
    ) -> Issuance:
        """Process a refresh (RFC 6749 6); `scopes` can request fewer scopes than the token has.

        Raises:
            ErrorResponse: ``invalid_grant`` or ``invalid_scope``. ``invalid_client``: the grant was started with the
                client's secret and this request has none.
        """
        if not authenticated and self.tokens.requires_secret(refresh_token):
            # RFC 6749 6: the token is bound to the client it was issued to, so that client must authenticate.
            raise ErrorResponse(
                "invalid_client", "This grant was started with the client's secret; send it.", status=401
            )
        checked = None if scopes is None else check_scopes(app, scopes)
        issued = self.tokens.redeem_refresh_token(refresh_token, app, now, device_id=device_id, scopes=checked)
        return Issuance(grant=issued.grant, scopes=issued.scopes if checked is None else checked, refreshed=True)
