"""`IdTokenVerifier`: verifies ID tokens with the keys of the server."""

from __future__ import annotations

from collections.abc import Sequence

from twilio_oauth_async.client.jwks_cache import JwksCache
from twilio_oauth_async.client.session import OAuthSession
from twilio_oauth_async.errors import ConfigurationError
from twilio_oauth_async.oidc import id_token_validation as rules
from twilio_oauth_async.oidc.claims import IdTokenClaims
from twilio_oauth_async.oidc.jwa import allowed_algorithms
from twilio_oauth_async.oidc.jwk import require_jose
from twilio_oauth_async.oidc.jws import SignedMessage, read_compact
from twilio_oauth_async.protocol.argument_checks import check_methods, number
from twilio_oauth_async.protocol.endpoints import is_secure
from twilio_oauth_async.protocol.parameters import check_client
from twilio_oauth_async.protocol.server_time import shift


class IdTokenVerifier:
    """Verifies the ID tokens of one client (OpenID Connect Core 3.1.3.7). Needs the extra ``jwt``.

    Create one verifier and reuse it, because it caches the keys of the server. It fetches them over the session when
    it first needs them, and again when they are older than five minutes. Any number of tasks of one event loop can use
    it at once.
    """

    def __init__(
        self,
        session: OAuthSession,
        *,
        client_sid: str,
        issuer: str | None = None,
        algorithms: Sequence[str] = ("ES256", "RS256"),
        leeway: float = rules.MAX_LEEWAY,
    ) -> None:
        """Create a verifier; nothing is sent.

        Args:
            session: fetches the keys; it must be open when a token is verified.
            client_sid: the SID of the OAuth app that the tokens are issued to.
            issuer: the required issuer, compared exactly; None: the issuer of the session.
            algorithms: the accepted signature algorithms, by the names of RFC 7518 or of Twilio's discovery document.
            leeway: the allowed difference between the clocks of issuer and session, in seconds; at most 60. A
                difference that the session has measured (`OAuthSession.clock_skew`) is taken into account before.

        Raises:
            ConfigurationError: `client_sid` is empty, `issuer` is not an https URL, `algorithms` is empty or contains
                an algorithm that is not supported, or `leeway` is out of range.
            MissingExtraError: the extra ``jwt`` is not installed.
        """
        check_client(client_sid)
        if issuer is not None and not is_secure(issuer):
            raise ConfigurationError("issuer must be an https URL")
        check_methods("session", session, ("exchange",), "an OAuthSession")
        seconds = number(leeway)
        if seconds is None or not 0 <= seconds <= rules.MAX_LEEWAY:
            raise ConfigurationError(f"leeway must be from 0 to {rules.MAX_LEEWAY:.0f} seconds")
        require_jose()
        self.client_sid = client_sid
        self.issuer: str = session.issuer if issuer is None else issuer
        self._session = session
        self._allowed = allowed_algorithms(algorithms)
        self._leeway = seconds
        self._keys = JwksCache(session)

    async def verify(
        self, id_token: str, *, nonce: str | None = None, access_token: str | None = None
    ) -> IdTokenClaims:
        """Verify an ID token and return its claims.

        Args:
            id_token: the ID token of a token response.
            nonce: the nonce of the authorization request; None: the request had none.
            access_token: the access token of the same response; compared with the claim ``at_hash`` if there is one.

        Raises:
            IdTokenError: the ID token is invalid.
            TransportError, ProtocolError, ApiError: the keys of the server could not be fetched.
            ConfigurationError: `id_token` is not a string, or the session is not open.
        """
        if not isinstance(id_token, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ConfigurationError(
                "id_token must be a string; the server issues an ID token only with the scope openid"
            )
        message = read_compact(id_token, self._allowed)
        rules.check_type(message)  # also here, so that no keys are fetched for an access token
        await self._check_signature(message)
        return rules.check_claims(
            message,
            issuer=self.issuer,
            client_sid=self.client_sid,
            now=shift(self._session.clock.now(), self._session.clock_skew),  # the claims have dates of the server
            leeway=self._leeway,
            nonce=nonce,
            access_token=access_token,
        )

    async def _check_signature(self, message: SignedMessage) -> None:
        algorithm, kid = message.algorithm, message.kid
        since = self._keys.fetches
        keys = self._keys.cached(algorithm, kid) or await self._keys.find(algorithm, kid)
        if rules.is_signed(message, keys):
            return
        # The key may have been replaced under the same key ID.
        newer = await self._keys.find_newer(algorithm, kid, tried=keys, since=since)
        if not rules.is_signed(message, newer):
            raise rules.signature_error(newer or keys)

    def check_without_keys(self, id_token: str, *, nonce: str | None = None, access_token: str | None = None) -> None:
        """Check everything that `verify` checks except the signature, while the keys cannot be fetched.

        An ID token that passes is not verified: do not use its claims.

        Raises:
            IdTokenError: the ID token is invalid, whichever key signed it.
        """
        message = read_compact(id_token, self._allowed)
        rules.check_type(message)
        rules.check_claims(
            message,
            issuer=self.issuer,
            client_sid=self.client_sid,
            now=self._session.clock.now(),
            leeway=self._leeway,
            nonce=nonce,
            access_token=access_token,
        )

    async def verify_refreshed(self, id_token: str, *, previous: str, access_token: str | None = None) -> IdTokenClaims:
        """Verify the ID token of a refresh response: user, issuer and client must be the same as before.

        Args:
            id_token: the new ID token.
            previous: the ID token of the sign-in or of an earlier refresh. It is not verified again: the caller must
                have verified it when it was received, and stored it in a safe place. An ID token of a refresh usually
                has no nonce, so the nonce of the sign-in can only be compared if `previous` is the ID token of the
                sign-in.
            access_token: the access token of the same response.

        Raises:
            IdTokenError: as `verify`; ``iss``, ``sub``, ``azp`` or ``auth_time`` has changed; ``aud`` does not include
                the previous audiences; or the token has a ``nonce`` or ``azp`` other than that of `previous`, or where
                `previous` has none (OpenID Connect Core 12.2).
            TransportError, ProtocolError, ApiError, ConfigurationError: as `verify`.
        """
        claims = await self.verify(id_token, access_token=access_token)
        rules.check_refreshed(claims, rules.read_stored(previous))
        return claims

    def __repr__(self) -> str:
        return f"IdTokenVerifier(client_sid={self.client_sid!r}, issuer={self.issuer!r})"
