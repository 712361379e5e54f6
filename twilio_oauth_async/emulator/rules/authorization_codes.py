"""Authorization requests and authorization codes (RFC 6749 4.1): checks, the user's decision, one use of each code."""

from __future__ import annotations

import heapq
import string
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from twilio_oauth_async.emulator.messages.error_response import ErrorResponse
from twilio_oauth_async.emulator.messages.forms import Form
from twilio_oauth_async.emulator.rules.ids import Ids
from twilio_oauth_async.emulator.rules.model import App, AuthorizationCode, AuthorizationRequest, Now, Policy, User
from twilio_oauth_async.emulator.rules.pkce import check_challenge, check_verifier
from twilio_oauth_async.emulator.rules.redirect_uris import check_redirect_uri
from twilio_oauth_async.emulator.rules.scopes import check_audiences, check_scopes

REQUEST_LIFETIME = 600.0
"""Seconds for which the consent page can be submitted."""


class RedirectErrorResponse(ErrorResponse):
    """An error response that is sent to the client by a redirect to `location` (RFC 6749 4.1.2.1)."""

    def __init__(self, code: str, description: str, *, location: str) -> None:
        super().__init__(code, description)
        self.location = location


class AuthorizationCodes:
    """Authorization requests that wait for a decision, and issued authorization codes."""

    def __init__(self, policy: Policy, ids: Ids, issuer: str) -> None:
        self._policy = policy
        self._ids = ids
        self._issuer = issuer
        self._requests: dict[str, AuthorizationRequest] = {}
        self._codes: dict[str, AuthorizationCode] = {}
        self._deletions: list[tuple[float, str]] = []
        """Heap: the time to delete, and the request ID or code."""

    def begin(self, app: App, form: Form, now: Now) -> AuthorizationRequest:
        """Check a request of `app` (RFC 6749 4.1.1, OpenID Connect Core 3.1.2.1) and store it for the user's decision.

        Raises:
            ErrorResponse: the redirect URI is not valid, so the error must be shown on a page.
            RedirectErrorResponse: another parameter is not valid.
        """
        self.delete_expired(now)
        given = form.optional("redirect_uri")
        redirect_uri = check_redirect_uri(app, given)
        state: str | None = None
        try:
            state = form.optional("state")
            request = self._check(app, form, redirect_uri, state, now)
        except ErrorResponse as error:
            raise self._redirect_error(redirect_uri, state, error.code, error.description) from None
        request.redirect_uri_given = given is not None
        self._requests[request.id] = request
        heapq.heappush(self._deletions, (request.expires_at, request.id))
        return request

    def pending(self, request_id: str, now: Now) -> AuthorizationRequest:
        """Return a request that waits for the user's decision.

        Raises:
            ErrorResponse: there is no such request, it was already approved or denied, or it has expired.
        """
        self.delete_expired(now)
        request = self._requests.get(request_id)
        if request is None:
            raise ErrorResponse("invalid_request", "This request has ended. Start again in the app.", status=410)
        return request

    def approve(
        self, request: AuthorizationRequest, user: User, now: Now, scopes: tuple[str, ...] | None = None
    ) -> str:
        """Issue a code, and return the redirect URI that contains it (RFC 6749 4.1.2).

        Raises:
            ValueError: `scopes` contains a scope that was not requested.
        """
        if scopes is not None and not set(scopes) <= set(request.scopes):
            raise ValueError("only scopes that were requested can be approved")
        self._requests.pop(request.id, None)
        code = self._ids.text(43)
        expires_at = now.seconds + self._policy.authorization_code_lifetime
        self._codes[code] = AuthorizationCode(
            request=request,
            user=user,
            scopes=request.scopes if scopes is None else scopes,
            expires_at=expires_at,
            auth_time=now.wall,
        )
        # A used code is kept as long as its refresh token can be valid, so that a second use is detected.
        heapq.heappush(self._deletions, (expires_at + self._policy.refresh_token_lifetime, code))
        return self._location(request.redirect_uri, request.state, {"code": code})

    def deny(self, request: AuthorizationRequest) -> str:
        """Deny `request`, and return the redirect URI with ``access_denied`` (RFC 6749 4.1.2.1)."""
        self._requests.pop(request.id, None)
        error = self._redirect_error(request.redirect_uri, request.state, "access_denied", "The user denied access.")
        return error.location

    def redeem(
        self,
        code: str,
        app: App,
        now: Now,
        *,
        verifier: str | None,
        redirect_uri: str | None,
        compare_redirect_uri: bool,
    ) -> AuthorizationCode:
        """Check `code` of `app` and return its data (RFC 6749 4.1.3, RFC 7636 4.6). The caller sets its `grant`.

        Whether to compare the redirect URI is the caller's choice, because ``POST /v1/token`` has no parameter for it.

        Raises:
            ErrorResponse: ``invalid_grant``: the code is not valid. If it was used before, its grant is revoked
                (RFC 6749 4.1.2).
        """
        self.delete_expired(now)
        issued = self._codes.get(code)
        if issued is None or issued.request.app is not app:
            raise ErrorResponse("invalid_grant", "The code is unknown or was issued to another client.")
        if issued.grant is not None:
            issued.grant.revoked = True
            raise ErrorResponse("invalid_grant", "The code was already used; its tokens are revoked.")
        if issued.expires_at <= now.seconds:
            raise ErrorResponse("invalid_grant", "The code has expired.")
        # RFC 6749 4.1.3: required and identical if the authorization request contained one.
        expected = issued.request.redirect_uri
        given = issued.request.redirect_uri_given or redirect_uri is not None
        if compare_redirect_uri and given and redirect_uri != expected:
            raise ErrorResponse("invalid_grant", "The redirect URI is not the one of the authorization request.")
        check_verifier(verifier, issued.request.code_challenge)
        return issued

    def delete_expired(self, now: Now) -> None:
        """Delete expired requests and codes."""
        while self._deletions and self._deletions[0][0] <= now.seconds:
            key = heapq.heappop(self._deletions)[1]
            self._requests.pop(key, None)
            self._codes.pop(key, None)

    def _redirect_error(
        self, redirect_uri: str, state: str | None, code: str, description: str
    ) -> RedirectErrorResponse:
        parameters = {"error": code, "error_description": description}
        return RedirectErrorResponse(code, description, location=self._location(redirect_uri, state, parameters))

    def _check(self, app: App, form: Form, redirect_uri: str, state: str | None, now: Now) -> AuthorizationRequest:
        form.declare("login_hint", "max_age", "display", "ui_locales", "acr_values", "id_token_hint")
        if form.required("response_type") != "code":
            raise ErrorResponse("unsupported_response_type", "The only response type is code.")
        if form.optional("response_mode") not in {None, "query"}:
            raise ErrorResponse("invalid_request", "The only response mode is query.")
        for name in ("request", "request_uri"):  # OpenID Connect Core 3.1.2.6
            if form.optional(name) is not None:
                raise ErrorResponse(f"{name}_not_supported", f"The parameter {name} is not supported.")
        if form.optional("prompt") == "none":  # OpenID Connect Core 3.1.2.6: the user is always asked
            raise ErrorResponse("interaction_required", "The user has to approve or deny.")
        challenge = form.optional("code_challenge")
        pkce_required = self._policy.pkce_required or app.secret is None
        check_challenge(challenge, form.optional("code_challenge_method"), required=pkce_required)
        scope = form.optional("scope")
        audience = form.optional("audience")
        return AuthorizationRequest(
            id=self._ids.text(32),
            app=app,
            redirect_uri=redirect_uri,
            scopes=check_scopes(app, scope.split(" ") if scope else ()),
            audiences=check_audiences(app, (audience,) if audience else ()),
            state=state,
            nonce=form.optional("nonce"),
            code_challenge=challenge,
            expires_at=now.seconds + REQUEST_LIFETIME,
        )

    def _location(self, redirect_uri: str, state: str | None, parameters: dict[str, str]) -> str:
        if state is not None:
            parameters["state"] = state
        parameters["iss"] = self._issuer  # RFC 9207 2: in successful responses and in error responses
        parts = urlsplit(redirect_uri)
        query = "&".join(filter(None, (parts.query, urlencode(parameters))))
        location = urlunsplit(parts._replace(query=query))
        return quote(location, safe=string.printable)  # a header is ASCII (RFC 9110 5.5)
