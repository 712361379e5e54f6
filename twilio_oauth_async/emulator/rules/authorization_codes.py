"""The authorization endpoint's rules, pure: which requests are fit to be shown to a person, and codes with PKCE."""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Iterable
from urllib.parse import urlencode, urlsplit, urlunsplit

from twilio_oauth_async.emulator.messages import base64url
from twilio_oauth_async.emulator.messages.forms import Form
from twilio_oauth_async.emulator.messages.refusal import RefusalError
from twilio_oauth_async.emulator.messages.secret import same_secret
from twilio_oauth_async.emulator.rules.ids import Ids
from twilio_oauth_async.emulator.rules.model import App, AuthorizationCode, AuthorizationRequest, Now, Policy, User
from twilio_oauth_async.emulator.rules.scopes import check_audiences, check_scopes

REQUEST_LIFETIME = 600.0
"""Seconds that a person may look at the consent page."""
_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}", re.ASCII)
"""RFC 7636 4.1."""
_CHALLENGE = re.compile(r"[A-Za-z0-9\-_]{43}", re.ASCII)
"""RFC 7636 4.2: an unpadded base64url SHA-256."""
_URI = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()*+,;=%]+", re.ASCII)
"""RFC 3986 2: the characters of a URI, without the # of a fragment."""
_LOOPBACK_HOSTS = frozenset({"127.0.0.1", "[::1]"})


class RedirectRefusalError(RefusalError):
    """A refusal that the client hears of through the browser (RFC 6749 4.1.2.1); `location` is where it is sent."""

    def __init__(self, error: str, description: str, *, location: str) -> None:
        super().__init__(error, description)
        self.location = location


class AuthorizationCodes:
    """Authorization requests that wait for a person, and the codes that came of them."""

    def __init__(self, policy: Policy, ids: Ids, issuer: str) -> None:
        self._policy = policy
        self._ids = ids
        self._issuer = issuer
        self._requests: dict[str, AuthorizationRequest] = {}
        self._codes: dict[str, AuthorizationCode] = {}
        self._forget: list[tuple[float, str]] = []

    def begin(self, app: App, form: Form, now: Now) -> AuthorizationRequest:
        """Check the request of `app` (RFC 6749 4.1.1, OpenID Connect Core 3.1.2.1) and keep it for the person.

        Raises:
            RefusalError: the redirect URI is not to be trusted, so a page has to tell the person.
            RedirectRefusalError: anything else that is wrong.
        """
        self.sweep(now)
        given = form.optional("redirect_uri")
        redirect_uri = _checked_redirect_uri(app, given)
        state: str | None = None
        try:
            state = form.optional("state")
            request = self._checked(app, form, redirect_uri, state, now)
        except RefusalError as refusal:
            raise self.refused(redirect_uri, state, refusal.error, refusal.description) from None
        request.redirect_uri_given = given is not None
        self._requests[request.id] = request
        heapq.heappush(self._forget, (request.expires_at, request.id))
        return request

    def pending(self, request_id: str, now: Now) -> AuthorizationRequest:
        """Return the request that a person is looking at.

        Raises:
            RefusalError: there is none, it was decided upon, or it was left lying too long.
        """
        self.sweep(now)
        request = self._requests.get(request_id)
        if request is None:
            raise RefusalError("invalid_request", "This request is over. Start again in the app.", status=410)
        return request

    def approve(
        self, request: AuthorizationRequest, user: User, now: Now, scopes: tuple[str, ...] | None = None
    ) -> str:
        """Return the URL that takes a new code back to the client (RFC 6749 4.1.2).

        Raises:
            ValueError: `scopes` holds one that was not asked for.
        """
        if scopes is not None and not set(scopes) <= set(request.scopes):
            raise ValueError("a person can only approve scopes that were asked for")
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
        # A used code is remembered for as long as its refresh token may live, so that its reuse is noticed.
        heapq.heappush(self._forget, (expires_at + self._policy.refresh_token_lifetime, code))
        return self._location(request.redirect_uri, request.state, {"code": code})

    def deny(self, request: AuthorizationRequest) -> str:
        """Return the URL that tells the client that the person refused."""
        self._requests.pop(request.id, None)
        return self.refused(request.redirect_uri, request.state, "access_denied", "The person refused.").location

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
        """Return the good code `code` of `app` (RFC 6749 4.1.3, RFC 7636 4.6); the caller attaches a grant to it.

        The contract's endpoint has no parameter for the redirect URI, so comparing it is the caller's choice.

        Raises:
            RefusalError: ``invalid_grant``; where the code was used before, its grant is revoked (RFC 6749 4.1.2).
        """
        self.sweep(now)
        issued = self._codes.get(code)
        if issued is None or issued.request.app is not app:
            raise RefusalError("invalid_grant", "The code is unknown or was issued to another client.")
        if issued.grant is not None:
            issued.grant.revoked = True
            raise RefusalError("invalid_grant", "The code was already used; its tokens are revoked.")
        if issued.expires_at <= now.seconds:
            raise RefusalError("invalid_grant", "The code has expired.")
        # RFC 6749 4.1.3: required and identical where the authorization request named one.
        expected = issued.request.redirect_uri
        named = issued.request.redirect_uri_given or redirect_uri is not None
        if compare_redirect_uri and named and redirect_uri != expected:
            raise RefusalError("invalid_grant", "The redirect URI is not the one of the authorization request.")
        _check_verifier(verifier, issued.request.code_challenge)
        return issued

    def sweep(self, now: Now) -> None:
        """Forget what nobody came back for."""
        while self._forget and self._forget[0][0] <= now.seconds:
            key = heapq.heappop(self._forget)[1]
            self._requests.pop(key, None)
            self._codes.pop(key, None)

    def refused(self, redirect_uri: str, state: str | None, error: str, description: str) -> RedirectRefusalError:
        """Make the refusal that goes back to the client."""
        answer = {"error": error, "error_description": description}
        return RedirectRefusalError(error, description, location=self._location(redirect_uri, state, answer))

    def _checked(self, app: App, form: Form, redirect_uri: str, state: str | None, now: Now) -> AuthorizationRequest:
        form.known("login_hint", "max_age", "display", "ui_locales", "acr_values", "id_token_hint")
        if form.required("response_type") != "code":
            raise RefusalError("unsupported_response_type", "The response type is code.")
        if form.optional("response_mode") not in {None, "query"}:
            raise RefusalError("invalid_request", "The response mode is query.")
        for name in ("request", "request_uri"):  # OpenID Connect Core 3.1.2.6
            if form.optional(name) is not None:
                raise RefusalError(f"{name}_not_supported", f"The parameter {name} is not supported.")
        if form.optional("prompt") == "none":  # OpenID Connect Core 3.1.2.6: there is always a person to ask
            raise RefusalError("interaction_required", "A person has to be asked.")
        challenge, method = form.optional("code_challenge"), form.optional("code_challenge_method")
        if challenge is None and (self._policy.pkce_required or app.secret is None):
            raise RefusalError("invalid_request", "The parameter code_challenge is missing.")  # RFC 7636 4.4.1
        if challenge is not None and (method != "S256" or not _CHALLENGE.fullmatch(challenge)):
            # RFC 9700 2.1.1: plain, which a missing method stands for, gives the verifier away.
            raise RefusalError("invalid_request", "The code challenge must be an S256 one.")
        scope = form.optional("scope")
        audiences = form.optional("audience")
        return AuthorizationRequest(
            id=self._ids.text(32),
            app=app,
            redirect_uri=redirect_uri,
            scopes=check_scopes(app, scope.split(" ") if scope else ()),
            audiences=check_audiences(app, (audiences,) if audiences else ()),
            state=state,
            nonce=form.optional("nonce"),
            code_challenge=challenge,
            expires_at=now.seconds + REQUEST_LIFETIME,
        )

    def _location(self, redirect_uri: str, state: str | None, answer: dict[str, str]) -> str:
        if state is not None:
            answer["state"] = state
        answer["iss"] = self._issuer  # RFC 9207 2: in successes and in errors
        parts = urlsplit(redirect_uri)
        query = "&".join(filter(None, (parts.query, urlencode(answer))))
        return urlunsplit(parts._replace(query=query))


def registered_uris(uris: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return redirect URIs as they are registered with an app (RFC 6749 3.1.2); None: none are.

    Raises:
        ValueError: one is not absolute, has a fragment, or has characters that a URI does not have.
    """
    if uris is None:
        return None
    registered = tuple(uris)
    for uri in registered:
        if not _is_absolute(uri):
            raise ValueError("a redirect URI is an absolute URI without a fragment")
    return registered


def _is_absolute(uri: str) -> bool:
    if not _URI.fullmatch(uri):
        return False
    try:
        parts = urlsplit(uri)
    except ValueError:  # a bracket without the other
        return False
    return bool(parts.scheme and (parts.netloc or parts.path))


def _checked_redirect_uri(app: App, given: str | None) -> str:
    if given is None:
        if app.redirect_uris is not None and len(app.redirect_uris) == 1:
            return app.redirect_uris[0]  # RFC 6749 3.1.2.3: may be left out where one is registered
        raise RefusalError("invalid_request", "The parameter redirect_uri is missing.")
    if app.redirect_uris is None:
        allowed = _loopback_without_port(given) is not None
    else:
        loopback = _loopback_without_port(given)
        allowed = given in app.redirect_uris or (
            # RFC 8252 7.3: on loopback the port is the client's choice at the time of the request.
            loopback is not None and loopback in map(_loopback_without_port, app.redirect_uris)
        )
    if not allowed:
        raise RefusalError("invalid_request", "The redirect URI is not registered for this client.")
    return given


def _loopback_without_port(uri: str) -> str | None:
    """`uri` without its port if it is plain HTTP to a loopback address, else None."""
    if not uri.isascii() or not uri.isprintable() or set(uri) & set(' \\"<>'):
        return None
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        return None
    host = parts.netloc if port is None else parts.netloc.removesuffix(f":{port}")
    if parts.scheme != "http" or host not in _LOOPBACK_HOSTS or parts.fragment:
        return None
    return urlunsplit(parts._replace(netloc=host, path=parts.path or "/"))


def _check_verifier(verifier: str | None, challenge: str | None) -> None:
    if challenge is None:
        if verifier is not None:
            # RFC 9700 2.1.1: a verifier without a challenge means that somebody cut the challenge out on the way.
            raise RefusalError("invalid_grant", "The authorization request had no code challenge.")
        return
    if verifier is None:
        raise RefusalError("invalid_grant", "The code verifier is missing.")
    if not _VERIFIER.fullmatch(verifier):
        raise RefusalError("invalid_grant", "The code verifier is malformed.")
    # RFC 7636 4.6: S256 is the one method that `begin` lets through.
    if not same_secret(base64url.encode(hashlib.sha256(verifier.encode("ascii")).digest()), challenge):
        raise RefusalError("invalid_grant", "The code verifier does not match the challenge.")
